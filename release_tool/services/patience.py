"""Ask a server again that can't answer now, with pauses that grow and an end."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, TypeVar

from release_tool.errors import ServiceUnable, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try. Java's collector frees a heap in less; what lasts longer won't pass by waiting."""

Result = TypeVar("Result")


def patiently(action: Callable[[], Result], pauses: Sequence[float] = PAUSES, *, repeatable: bool = False) -> Result:
    """Return what an action returns, tried once more after each pause while the server can't do it now.

    Args:
        action: what to do; its last error is raised.
        pauses: seconds.
        repeatable: try again after a lost connection, too: doing it twice does no harm.

    Raises:
        ServiceUnable: the server still can't after the last pause.
        Unreachable: the connection was lost, or is lost after the last pause; nobody listens; no answer in time.
    """
    for pause in pauses:
        try:
            return action()
        except ServiceUnable:
            pass
        except Unreachable as error:
            if not (repeatable and was_cut(error)):
                raise
        time.sleep(pause)
    return action()


def was_cut(error: Unreachable) -> bool:
    """Tell whether a connection was lost: not refused (nobody listens any more), and not silent until its limit."""
    cause = error.__cause__
    lost = isinstance(cause, (ConnectionError, http.client.HTTPException))
    return lost and not isinstance(cause, ConnectionRefusedError)
