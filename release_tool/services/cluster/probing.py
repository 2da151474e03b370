"""Ask a deployed model of any cluster the probes, as the ``node`` ring asks the node of a proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import predict
from release_tool.errors import RemoteFailed, UsageError
from release_tool.services.cluster.asking import ask_all
from release_tool.services.node_replies import READERS
from release_tool.services.probe_asking import ONE_AT_A_TIME, NodeAnswers, collected, request_of, tensor_of
from release_tool.services.server_words import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.console import Console
    from release_tool.core.kinds import ModelKind
    from release_tool.core.probes import Probe
    from release_tool.services.cluster.sender import Sender

PARALLEL = 2
PREFIXES = frozenset({"query_prefix", "passage_prefix"})


def ask_probes(
    cluster: Sender, model_id: str, source: dict[str, Any], probes: Sequence[Probe], kind: ModelKind, console: Console
) -> NodeAnswers:
    """Return what a model answers to the probes; one that it refuses is an error of that probe.

    Args:
        cluster: where it is deployed.
        model_id: of the model.
        source: what the cluster says of it.
        probes: those of the kind.
        kind: what it does.
        console: gets a bar.

    Raises:
        UsageError: models of this kind are not asked by predict.
        RemoteFailed: it is not there, or one may not ask it.
        ServiceUnable, Unreachable: the cluster can't now, or is gone.
    """
    if kind not in READERS:
        raise UsageError(f"Models of kind {kind.value} can't be asked on a cluster.", hint="Name another release.")
    asymmetric = bool(PREFIXES & set(source.get("model_config") or {}))

    def send(probe: Probe) -> Any:
        return cluster.send(predict(model_id, request_of(probe, kind, asymmetric=asymmetric)))

    replies: list[Any] = []
    parallel = 1 if kind in ONE_AT_A_TIME else PARALLEL
    with console.progress(f"Ask {model_id}", len(probes), "probes") as bar:
        for turn in ask_all(probes, send, parallel=parallel):
            replies.append(str(turn.refused) if turn.refused is not None else _read(turn.reply, kind))
            bar.advance()
    return collected(replies, probes, kind, {"opensearch": cluster.version})


def _read(reply: Any, kind: ModelKind) -> Any:
    results = reply.get("inference_results") if isinstance(reply, dict) else None
    if not isinstance(results, list):
        return f"The reply to predict holds no results: {words_of(reply)}"
    try:
        return tensor_of(results, kind)
    except RemoteFailed as error:
        return str(error)
