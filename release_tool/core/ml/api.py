"""The paths of ML Commons' interface, in both generations of its names.

From 2.7 on a model is registered and deployed; from 2.4 to 2.6 it was uploaded and loaded. Later servers still know
most of the old names, the older ones do not know the new ones, so the server's version chooses.
Source: ML Commons' REST handlers, tags 2.4.0.0 to 3.8.0.0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.request import Request, segment
from release_tool.core.opensearch import number

if TYPE_CHECKING:
    from collections.abc import Sequence

ML = "/_plugins/_ml"
OLDEST = "2.4"
"""First OpenSearch that serves models."""
REGISTER_SINCE = "2.7"
GROUPS_SINCE = "2.8"


class Generation(StrEnum):
    """How a server calls what is done with a model."""

    UPLOAD = "upload"
    """2.4 to 2.6: _upload, _load, _unload."""
    REGISTER = "register"
    """From 2.7 on: _register, _deploy, _undeploy."""


_NAMES = {
    Generation.UPLOAD: {
        "register": "_upload", "meta": "meta", "chunk": "chunk", "deploy": "_load", "undeploy": "_unload",
    },
    Generation.REGISTER: {
        "register": "_register", "meta": "_register_meta", "chunk": "upload_chunk", "deploy": "_deploy",
        "undeploy": "_undeploy",
    },
}  # fmt: skip


def generation_of(version: str) -> Generation:
    """Return the generation of a server's version, such as ``2.6.0`` or ``3.6.0-SNAPSHOT``."""
    return Generation.REGISTER if is_since(version, REGISTER_SINCE) else Generation.UPLOAD


def is_since(version: str, first: str) -> bool:
    """Tell whether a server's version is ``first`` or later; its patch and its build count for nothing."""
    return number(minor(version)) >= number(first)


def minor(version: str) -> str:
    """Return a server's version as major and minor: ``3.6.0-SNAPSHOT`` is 3.6."""
    return ".".join(version.partition("-")[0].split(".")[:2])


def register(body: dict[str, Any], *, generation: Generation = Generation.REGISTER, deploy: bool = False) -> Request:
    """Return the request that registers a model by address, by its name, or a remote one."""
    query = {"deploy": "true"} if deploy else {}
    return Request(method="POST", path=f"{ML}/models/{_NAMES[generation]['register']}", body=body, query=query)


def register_meta(body: dict[str, Any], *, generation: Generation = Generation.REGISTER) -> Request:
    """Return the request that opens an upload by chunks."""
    return Request(method="POST", path=f"{ML}/models/{_NAMES[generation]['meta']}", body=body)


def upload_chunk(model_id: str, place: int, content: bytes, *, generation: Generation = Generation.REGISTER) -> Request:
    """Return the request that sends one chunk; ``place`` counts from 0."""
    path = f"{ML}/models/{segment(model_id)}/{_NAMES[generation]['chunk']}/{place}"
    return Request(method="POST", path=path, content=content)


def deploy(model_id: str, nodes: Sequence[str] = (), *, generation: Generation = Generation.REGISTER) -> Request:
    """Return the request that deploys a model, on the nodes of these ids where some are given."""
    path = f"{ML}/models/{segment(model_id)}/{_NAMES[generation]['deploy']}"
    return Request(method="POST", path=path, body={"node_ids": list(nodes)} if nodes else None)


def undeploy(
    model_ids: Sequence[str], nodes: Sequence[str] = (), *, generation: Generation = Generation.REGISTER
) -> Request:
    """Return the request that undeploys models: one by its own path, several by the common one."""
    name = _NAMES[generation]["undeploy"]
    on = {"node_ids": list(nodes)} if nodes else {}
    if len(model_ids) == 1:
        return Request(method="POST", path=f"{ML}/models/{segment(model_ids[0])}/{name}", body=on or None)
    return Request(method="POST", path=f"{ML}/models/{name}", body={"model_ids": list(model_ids), **on})


def predict(model_id: str, body: dict[str, Any], *, function: str | None = None) -> Request:
    """Return the request that asks a model; by the path of an algorithm where ``function`` is named."""
    if function is None:
        return Request(method="POST", path=f"{ML}/models/{segment(model_id)}/_predict", body=body)
    return Request(method="POST", path=f"{ML}/_predict/{segment(function.lower())}/{segment(model_id)}", body=body)


def get_model(model_id: str) -> Request:
    """Return the request for what the server knows of a model."""
    return Request(method="GET", path=f"{ML}/models/{segment(model_id)}")


def update_model(model_id: str, body: dict[str, Any]) -> Request:
    """Return the request that changes a model's fields."""
    return Request(method="PUT", path=f"{ML}/models/{segment(model_id)}", body=body)


def delete_model(model_id: str) -> Request:
    """Return the request that deletes a model with its chunks."""
    return Request(method="DELETE", path=f"{ML}/models/{segment(model_id)}")


def search(what: str, body: dict[str, Any]) -> Request:
    """Return the request that searches ``models``, ``model_groups``, ``tasks`` or ``connectors``."""
    return Request(method="POST", path=f"{ML}/{what}/_search", body=body)


def get_task(task_id: str) -> Request:
    """Return the request for a task's state."""
    return Request(method="GET", path=f"{ML}/tasks/{segment(task_id)}")


def profile(what: str = "", ident: str = "", *, view: str | None = None) -> Request:
    """Return the request for the nodes' profiles: of everything, of ``models`` or ``tasks``, or of one of them."""
    path = "/".join([f"{ML}/profile", *(segment(part) for part in (what, ident) if part)])
    return Request(method="GET", path=path, query={"view": view} if view else {})


def stats(node: str = "", stat: str = "") -> Request:
    """Return the request for the plugin's counters, of one node or one counter where named."""
    parts = [ML, *([segment(node)] if node else ()), "stats", *([segment(stat)] if stat else ())]
    return Request(method="GET", path="/".join(parts))


def register_group(body: dict[str, Any]) -> Request:
    """Return the request that makes a model group."""
    return Request(method="POST", path=f"{ML}/model_groups/_register", body=body)


def update_group(group_id: str, body: dict[str, Any]) -> Request:
    """Return the request that changes a model group."""
    return Request(method="PUT", path=f"{ML}/model_groups/{segment(group_id)}", body=body)


def delete_group(group_id: str) -> Request:
    """Return the request that deletes an empty model group."""
    return Request(method="DELETE", path=f"{ML}/model_groups/{segment(group_id)}")


def root() -> Request:
    """Return the request for the server's version."""
    return Request(method="GET", path="/")


def get_settings() -> Request:
    """Return the request for the cluster's settings, defaults included, keys flat."""
    query = {"include_defaults": "true", "flat_settings": "true"}
    return Request(method="GET", path="/_cluster/settings", query=query)
