"""What a cluster can do with models: its version, plugins, nodes and settings, and what stands in the way of what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from release_tool.core.ml import cluster_settings as names
from release_tool.core.ml.changes import is_address
from release_tool.core.ml.memory import gigabytes, read_nodes
from release_tool.core.ml.shapes import inner, rows, table
from release_tool.core.ml.trusted import SETTING as TRUSTED_ENDPOINTS
from release_tool.core.ml.trusted import is_trusted
from release_tool.core.quantity import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.ml.cluster_settings import Effective

ML_PLUGIN, KNN_PLUGIN, NEURAL_PLUGIN = "opensearch-ml", "opensearch-knn", "opensearch-neural-search"


class Level(StrEnum):
    """How a thing stands."""

    OK = "ok"
    NOTE = "note"
    BLOCKED = "blocked"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that people want to do with models."""

    what: str
    level: Level
    why: str = ""
    """A sentence, or several; empty where all is well."""
    apply: tuple[str, ...] = ()
    """What to give to --apply, so that it can be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node; bytes."""

    name: str
    roles: tuple[str, ...]
    memory: int | None
    """What a model may take at most; null where the node runs none, or does not tell."""
    heap_percent: int | None
    disk_free: int | None
    models: int | None
    """Models that it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One cluster, as far as it tells."""

    version: str
    plugins: tuple[str, ...] | None
    """Names; null where the cluster does not tell."""
    settings: Effective | None
    nodes: tuple[NodeFacts, ...] | None


def read_plugins(reply: Any) -> tuple[str, ...]:
    """Return the names of the plugins from ``_cat/plugins``: those that all of its nodes have."""
    nodes: dict[str, set[str]] = {}
    for item in reply if isinstance(reply, list) else ():
        nodes.setdefault(str(item.get("name")), set()).add(str(item.get("component")))
    return tuple(sorted(set.intersection(*nodes.values()))) if nodes else ()


def read_node_facts(stats: Any, profile: Any) -> tuple[NodeFacts, ...]:
    """Return the nodes from the replies of ``_nodes/stats/os,jvm,fs`` and ``_ml/profile/models``."""
    held = inner(profile, "nodes")
    rooms = {node.node_id: node.available for node in read_nodes(stats, profile)}
    return tuple(
        NodeFacts(
            name=str(table(node).get("name") or key),
            roles=tuple(map(str, rows(table(node).get("roles")))),
            memory=rooms.get(key),
            heap_percent=_within(node, "jvm", "mem", "heap_used_percent"),
            disk_free=_within(node, "fs", "total", "available_in_bytes"),
            models=None if profile is None else len(inner(held.get(key), "models")),
        )
        for key, node in inner(stats, "nodes").items()
    )


def _within(found: Any, *path: str) -> int | None:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return int(found) if isinstance(found, (int, float)) else None


def findings(state: State, url: str | None = None) -> tuple[Finding, ...]:
    """Return what can be done, and what stands in the way of the rest.

    Args:
        state: of the cluster.
        url: an address that a person wants to register from, or to call by a connector.
    """
    found = list(_plugins(state))
    if state.settings is None:
        found.append(Finding(what="settings", level=Level.UNSEEN, why="The cluster does not tell its settings."))
        return tuple(found)
    found += [
        _switched("register by address", state.settings, names.VIA_URL, names.LOCAL_MODEL),
        _switched("register from a file", state.settings, names.VIA_FILE, names.LOCAL_MODEL),
        _deploy(state, state.settings),
        _breakers(state, state.settings),
        _switched("choose the nodes of a model", state.settings, names.CUSTOM_PLAN, level=Level.NOTE),
        _switched("remote models", state.settings, names.REMOTE),
        _switched("connectors into a private network", state.settings, names.PRIVATE_IP, level=Level.NOTE),
        _switched("limits of rates", state.settings, names.CONTROLLER),
        _access(state.settings),
    ]
    if url:
        found += _addresses(state.settings, url)
    found += _idle(state, state.settings)
    return tuple(found)


def _plugins(state: State) -> Iterator[Finding]:
    uses = {
        ML_PLUGIN: "Without it no model is served.",
        KNN_PLUGIN: "Without it there are no indices of dense vectors.",
        NEURAL_PLUGIN: "Without it there are no neural and neural_sparse queries.",
    }
    if state.plugins is None:
        yield Finding(what="plugins", level=Level.UNSEEN, why="The cluster does not tell its plugins.")
        return
    for name, why in uses.items():
        if name in state.plugins:
            yield Finding(what=f"plugin {name}", level=Level.OK)
        else:
            level = Level.BLOCKED if name == ML_PLUGIN else Level.NOTE
            yield Finding(what=f"plugin {name}", level=level, why=f"Not every node has it. {why}")


def _switched(what: str, settings: Effective, *switches: str, level: Level = Level.BLOCKED) -> Finding:
    """Return whether all switches of a thing are on; a server without one of them lets it be done."""
    off = [name for name in switches if not settings.is_on(name, unless_told=True)]
    if not off:
        return Finding(what=what, level=Level.OK)
    why = " ".join(f"{name} is false." for name in off)
    return Finding(what=what, level=level, why=why, apply=tuple(f"{name}=true" for name in off))


def _may_run(settings: Effective) -> tuple[str, ...]:
    if settings.is_on(names.ONLY_ML_NODE, unless_told=False):
        return ("ml",)
    return settings.texts(names.LOCAL_ROLES) or ("data", "ml")


def _deploy(state: State, settings: Effective) -> Finding:
    what = "deploy local models"
    if not settings.is_on(names.LOCAL_MODEL, unless_told=True):
        why = f"{names.LOCAL_MODEL} is false."
        return Finding(what=what, level=Level.BLOCKED, why=why, apply=(f"{names.LOCAL_MODEL}=true",))
    if state.nodes is None:
        return Finding(what=what, level=Level.UNSEEN, why="The cluster does not tell its nodes.")
    roles, excluded = _may_run(settings), settings.texts(names.EXCLUDED) or ()
    nodes = [node for node in state.nodes if set(roles) & set(node.roles) and node.name not in excluded]
    if not nodes:
        only = settings.is_on(names.ONLY_ML_NODE, unless_told=False)
        why = f"No node has the role {' or '.join(roles)}" + (f": {names.ONLY_ML_NODE} is true." if only else ".")
        return Finding(what=what, level=Level.BLOCKED, why=why, apply=(f"{names.ONLY_ML_NODE}=false",) if only else ())
    most = settings.number(names.MAX_MODELS)
    full = [node for node in nodes if most is not None and node.models is not None and node.models >= most]
    if len(full) == len(nodes):
        why = f"Every node that may run models runs {most} already: undeploy one, or raise {names.MAX_MODELS}."
        more = max(10, 2 * (most or 0))
        return Finding(what=what, level=Level.BLOCKED, why=why, apply=(f"{names.MAX_MODELS}={more}",))
    room = max((node.memory or 0 for node in nodes), default=0)
    dedicated = sum("ml" in node.roles for node in nodes)
    kind = f"{dedicated} of the role ml" if dedicated else "none of them of the role ml"
    return Finding(
        what=what, level=Level.OK, why=f"On {plural(len(nodes), 'node')}, {kind}; the roomiest has {gigabytes(room)}."
    )


def _breakers(state: State, settings: Effective) -> Finding:
    what = "circuit breakers"
    heap, disk = settings.number(names.HEAP), names.size_of(settings.text(names.DISK) or "")
    open_ones = []
    apply = []
    for node in state.nodes or ():
        if heap is not None and heap < 100 and node.heap_percent is not None and node.heap_percent > heap:
            open_ones.append(f"{node.name} uses {node.heap_percent} % of its heap, {names.HEAP} is {heap}.")
        if disk is not None and node.disk_free is not None and node.disk_free < disk:
            text = settings.text(names.DISK)
            open_ones.append(f"{node.name} has {gigabytes(node.disk_free)} of free disk, {names.DISK} is {text}.")
            apply = [f"{names.DISK}={max(1, node.disk_free // (2 << 20))}mb"]
    if state.nodes is None:
        return Finding(what=what, level=Level.UNSEEN, why="The cluster does not tell its nodes.")
    if open_ones:
        return Finding(what=what, level=Level.BLOCKED, why=" ".join(open_ones), apply=tuple(apply))
    return Finding(what=what, level=Level.OK)


def _access(settings: Effective) -> Finding:
    what = "access of model groups"
    if settings.is_on(names.ACCESS_CONTROL, unless_told=False):
        return Finding(what=what, level=Level.OK, why="A new group is private unless it says otherwise.")
    return Finding(what=what, level=Level.NOTE, why=f"{names.ACCESS_CONTROL} is not true: every group is public.")


def _addresses(settings: Effective, url: str) -> Iterator[Finding]:
    expression = settings.text(names.TRUSTED_URL)
    if expression is not None and is_address(url):
        yield _trusted("archives from", url, _found(expression, url), names.TRUSTED_URL)
    endpoints = settings.texts_as_they_are(TRUSTED_ENDPOINTS.removeprefix(names.PREFIX))
    if endpoints is not None and url.startswith("http"):
        name = TRUSTED_ENDPOINTS.removeprefix(names.PREFIX)
        yield _trusted("connectors to", url, is_trusted(url, endpoints), name)


def _trusted(what: str, url: str, is_one: bool | None, name: str) -> Finding:  # noqa: FBT001 - its third value
    if is_one is None:
        why = f"{name} holds an expression that only Java reads."
        return Finding(what=f"{what} {url}", level=Level.UNSEEN, why=why)
    if is_one:
        return Finding(what=f"{what} {url}", level=Level.OK)
    why = f"{name} does not match it."
    return Finding(what=f"{what} {url}", level=Level.BLOCKED, why=why, apply=(f"{name}={url}",))


def _found(expression: str, url: str) -> bool | None:
    try:
        return re.search(expression, url) is not None
    except re.error:
        return None


def _idle(state: State, settings: Effective) -> Iterator[Finding]:
    """Yield what somebody has set and what has no effect."""
    for setting in names.SETTINGS:
        stands = settings.all.get(setting.name)
        if stands is None or stands.source == "default":
            continue
        if stands.source == "transient":
            why = f"It is {str(stands.value)[:80]} until the next full restart, and hides what is persistent."
            yield Finding(what=setting.name, level=Level.NOTE, why=why)
        if not setting.is_heeded(state.version):
            also = f" {setting.instead} took its place." if setting.instead else ""
            why = f"It is set to {str(stands.value)[:80]} and has had no effect since {setting.until}.{also}"
            yield Finding(what=setting.name, level=Level.NOTE, why=why)
