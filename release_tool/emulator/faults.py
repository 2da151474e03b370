"""Two ways to fail: the server says no, or the archive breaks the contract that its clients rely on."""

from __future__ import annotations


class Refused(Exception):
    """The server's own words when it registers, deploys or answers."""


class ContractFault(Exception):
    """The server would answer, but not with what its clients read."""
