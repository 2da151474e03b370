"""Addresses of Jenkins: the one that a person names, and a job's below it."""

from __future__ import annotations

from urllib.parse import quote

from release_tool.core.server_address import address_problem
from release_tool.errors import Fault, RequestError


def check_server(address: str) -> str:
    """Return the address of a Jenkins without a final slash.

    Raises:
        RequestError: it is none, or it holds more than a place; it is not repeated then, it may hold a credential.
    """
    problem = address_problem(address)
    if problem:
        raise RequestError(
            (Fault("--server", problem, "such as https://ci.example.org or https://example.org/jenkins"),)
        )
    return address.rstrip("/")


def job_path(job: str) -> str:
    """Return the path of a job, which may lie in folders: a/b → job/a/job/b."""
    return "/".join(f"job/{quote(part, safe='')}" for part in job.split("/"))
