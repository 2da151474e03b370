"""The body of a register request for a model that somebody else serves.

Exactly one of a connector's id and a connector itself is sent. The server checks neither: with both it takes the id and
drops the other, with none it says so late. Source: ML Commons ``TransportRegisterModelAction``, tag 3.6.0.0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import is_since
from release_tool.core.ml.connector import SINCE
from release_tool.core.ml.register import ordered
from release_tool.core.ml.safe_text import safe_text_fault
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.ml.register import Wishes

FUNCTION = "remote"


def by_connector(
    wishes: Wishes,
    *,
    connector_id: str | None = None,
    connector: dict[str, Any] | None = None,
    version: str | None = None,
) -> dict[str, Any]:
    """Return the body that registers a remote model.

    Args:
        wishes: of a person; the name must be among them.
        connector_id: of a connector that stands for itself.
        connector: one that is part of the model, checked.
        version: of the server, where known.

    Raises:
        RequestError: both or neither, no name, or what the server is too old for.
    """
    faults = tuple(_faults(wishes, connector_id, connector, version))
    if faults:
        raise RequestError(faults)
    said: dict[str, Any] = {"function_name": FUNCTION}
    if connector_id is not None:
        said["connector_id"] = connector_id
    else:
        said["connector"] = connector
    # A remote model has no version of its own and no format; what a person calls it, the server keeps as it is.
    return ordered(replace(wishes, model_config={}).body() | said)


def _faults(
    wishes: Wishes, connector_id: str | None, connector: dict[str, Any] | None, version: str | None
) -> Iterator[Fault]:
    if connector_id is not None and connector is not None:
        yield Fault("connector_id", "and connector are both given", "the server would drop the connector: give one")
    if not connector_id and connector is None:
        yield Fault("connector_id", "and connector are both missing", "a remote model needs exactly one of them")
    if not wishes.name:
        yield Fault("name", "is missing", "a connector does not name the model: give --name")
    for name in ("name", "description"):
        yield from safe_text_fault(name, getattr(wishes, name))
    if wishes.model_config:
        yield Fault("model_config", "is for local models; a connector has parameters")
    if version is not None and not is_since(version, SINCE):
        yield Fault("function_name", f"remote is known to servers from {SINCE} on; this one is {version}")
