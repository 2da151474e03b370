"""Look whether a model has room on the nodes that would run it, and refuse with the figures where it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import get_settings, profile
from release_tool.core.ml.memory import estimate, figures, lacking, read_nodes
from release_tool.core.ml.request import Request
from release_tool.core.ml.shapes import inner
from release_tool.errors import RemoteFailed, ServiceUnable

if TYPE_CHECKING:
    from release_tool.console import Console
    from release_tool.services.cluster.sender import Sender

ONLY_ML = "plugins.ml_commons.only_run_on_ml_node"


def check_room(cluster: Sender, size: int, model_format: str, console: Console, *, force: bool = False) -> None:
    """Refuse a model that fits on none of the nodes that may run it; warn where it fits on some only.

    Args:
        cluster: where it would run; one that does not tell its nodes is let be.
        size: bytes of the archive.
        model_format: as registered.
        console: for warnings.
        force: warn only.

    Raises:
        ServiceUnable: there is no room; the figures are in the message.
    """
    try:
        stats = cluster.send(Request(method="GET", path="/_nodes/stats/os,jvm"))
        held = cluster.send(profile("models"))
        only_ml = setting(cluster.send(get_settings()), ONLY_ML) == "true"
    except RemoteFailed as error:
        console.debug(f"The nodes' memory is not told: {error}")
        return
    nodes = read_nodes(stats, held, roles=("ml",) if only_ml else ("data", "ml"))
    needed = estimate(size, model_format)
    short = lacking(needed, nodes)
    if not short:
        return
    told = figures(needed, short)
    if len(short) < len(nodes) or force:
        console.warning(f"The model has no room on {len(short)} of {len(nodes)} nodes. {told}")
        return
    raise ServiceUnable(
        f"The model has room on no node. {told}",
        hint="Undeploy other models or add memory; --force tries nevertheless.",
    )


def setting(reply: Any, name: str) -> str:
    """Return a setting's value from the reply to ``get_settings``: transient before persistent before default."""
    parts = [inner(reply, part) for part in ("transient", "persistent", "defaults")]
    return next((str(part[name]) for part in parts if name in part), "")
