"""The body of a register request for a model that somebody else serves.

Exactly one of a connector's id and a connector itself is sent. The server checks neither: with both it takes the id and
drops the other, with none it says so late. Source: ML Commons ``TransportRegisterModelAction``, tag 3.6.0.0.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import is_since
from release_tool.core.ml.connector import SINCE, is_alike
from release_tool.core.ml.register import ordered
from release_tool.core.ml.safe_text import safe_text_fault
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def is_same(body: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Tell whether a model of the server is the one that a request asks for: a remote one has no hash.

    Args:
        body: of ``by_connector``.
        source: the model as the server keeps it; an interface that was not asked for is the server's own.
    """
    if body.get("connector_id") != source.get("connector_id"):
        return False
    if "connector" in body and not is_alike(body["connector"], source.get("connector") or {}):
        return False
    group = body.get("model_group_id")
    if group and group != source.get("model_group_id"):
        return False
    if "interface" in body and _sides(body["interface"]) != _sides(source.get("interface")):
        return False
    return all(body.get(name) == (source.get(name) or None) for name in ("description", "guardrails"))


def _sides(interface: Any) -> dict[str, Any]:
    """The server keeps each side as a text."""
    found = interface if isinstance(interface, dict) else {}
    return {name: json.loads(side) if isinstance(side, str) else side for name, side in found.items()}
