"""The processes of rings, each waited for by a thread of its own and ended together with the command."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


class Running:
    """The processes of rings that other threads wait for, to be ended together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()
        self._ended = False

    def end(self) -> None:
        """Kill every process, and those that are started after this."""
        with self._lock:
            self._ended = True
            for child in self._children:
                child.kill()

    @contextmanager
    def holding(self, child: subprocess.Popen[str]) -> Iterator[None]:
        """Count a process in for as long as its thread waits for it."""
        with self._lock:
            self._children.add(child)
            if self._ended:
                child.kill()
        try:
            yield
        finally:
            with self._lock:
                self._children.discard(child)
