"""A clock that does not wait, and keeps what it was asked to wait for."""

from __future__ import annotations

from release_tool.services.clock import Clock


class Impatient(Clock):
    """Waits for nothing."""

    def __init__(self):
        self.waits = []

    def sleep(self, seconds):
        self.waits.append(seconds)
