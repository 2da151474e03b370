"""Programs that hear an interrupt, whoever started the tests."""

from __future__ import annotations

import signal
from contextlib import contextmanager


@contextmanager
def heard():
    """Let what is started inside have the interrupt at its default: in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
