"""Look on a cluster whether what guardrails name is there: indexes, fields and models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml import guardrail_lookups as lookups
from release_tool.errors import Refused, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.ml.guardrails import Checked
    from release_tool.core.ml.request import Request
    from release_tool.errors import Fault
    from release_tool.services.cluster.sender import Sender


def check(cluster: Sender, checked: Checked) -> tuple[str, ...]:
    """Return what will surprise somebody about guardrails whose parts are all there.

    Raises:
        RequestError: what lacks; with it every text would pass, or none.
        Unreachable: no answer.
    """
    faults = tuple(_faults(cluster, checked))
    if faults:
        raise RequestError(faults, hint="Make what lacks first; a guardrail that can't look lets everything pass.")
    return tuple(_notes(cluster, checked))


def _faults(cluster: Sender, checked: Checked) -> Iterator[Fault]:
    for words in checked.stop_words:
        yield from lookups.mapping_faults(words, _found(cluster, lookups.mapping_of(words)))
    for guard in checked.models:
        yield from lookups.model_faults(guard, _found(cluster, lookups.model_of(guard)))


def _notes(cluster: Sender, checked: Checked) -> Iterator[str]:
    for words in checked.stop_words:
        reply = _found(cluster, lookups.count_of(words))
        if reply is not None and not reply.get("count"):
            yield f"{words.index} holds no stop words yet: every text passes until it does."


def _found(cluster: Sender, request: Request) -> Any:
    try:
        return cluster.send(request)
    except Refused as error:
        if error.status != 404:
            raise
        return None
