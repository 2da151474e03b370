"""The clock that waiting goes by; tests give one that does not wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The machine's own."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
