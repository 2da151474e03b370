"""How a probe is asked by predict and what its replies come to: the same on the node of a proof and on any cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from release_tool.core.kinds import ModelKind
from release_tool.errors import RemoteFailed
from release_tool.services.node_replies import READERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from release_tool.core.probes import Probe

ONE_AT_A_TIME = frozenset({ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER, ModelKind.METRICS_CORRELATION})
"""ML Commons' question answering translators keep the tokens of a request in a field, and a metrics correlation model
may keep its own state in one: not safe for two at once."""

MAX_ERROR_CHARACTERS = 300

INTERFACE_WORDS = ("Question is not provided", "Context is not provided")
"""How the server refuses an empty question or context, before any model is touched (seen on 3.6)."""


class NodeAnswers(NamedTuple):
    """What the node answered; rows follow the probes."""

    arrays: dict[str, np.ndarray]
    """As the oracle's of that kind, without what a node does not tell: the length of its input, logits per token,
    probabilities."""
    texts: tuple[str, ...]
    """Question answering: the answers. Else empty."""
    errors: dict[str, str]
    """Probe id → the node's own words."""
    not_asked: tuple[str, ...]
    """Ids of probes that the server's interface refuses for every model (an empty question): nothing about the
    archive follows, so they are not to be compared."""
    versions: dict[str, str]
    """opensearch, ml-commons, djl, libtorch, onnxruntime, tokenizers."""


def request_of(probe: Probe, kind: ModelKind, *, asymmetric: bool = False) -> dict[str, Any]:
    """Return the body of predict for a probe."""
    match kind:
        case ModelKind.CROSS_ENCODER:
            return {"query_text": probe.first, "text_docs": [probe.second]}
        case ModelKind.QUESTION_ANSWERING | ModelKind.HIGHLIGHTER:
            return {"question": probe.first, "context": probe.second}
        case ModelKind.SPARSE | ModelKind.SPARSE_TOKENIZER:
            # Since 3.2. Words would hide tokens that decode to the same text.
            return {"text_docs": [probe.text], "parameters": {"sparse_embedding_format": "TOKEN_ID"}}
        case _:
            body: dict[str, Any] = {"text_docs": [probe.text], "return_number": True}
            if asymmetric:
                body["parameters"] = {"content_type": str(probe.role or "passage")}
            return body


def tensor_of(results: list[Any], kind: ModelKind) -> dict[str, Any]:
    """Return the one output of a reply.

    Raises:
        RemoteFailed: the reply is not what this kind answers.
    """
    outputs = results[0].get("output") if results and isinstance(results[0], dict) else None
    found = [item for item in outputs or () if isinstance(item, dict)]
    if kind is ModelKind.DENSE:
        # TorchScript models may give further outputs beside it.
        found = [item for item in found if item.get("name") == "sentence_embedding"] or found
    if not found:
        raise RemoteFailed(f"The reply to predict holds no output of a {kind.value} model.")
    return found[0]


def collected(
    replies: Sequence[Any], probes: Sequence[Probe], kind: ModelKind, versions: dict[str, str]
) -> NodeAnswers:
    """Return the replies to all probes as arrays; a reply that is text is the server's refusal."""
    refused = {probe.id: reply for probe, reply in zip(probes, replies, strict=True) if isinstance(reply, str)}
    not_asked = tuple(key for key, words in refused.items() if words.endswith(INTERFACE_WORDS))
    errors = {key: words[:MAX_ERROR_CHARACTERS] for key, words in refused.items() if key not in not_asked}
    outputs = [None if isinstance(reply, str) else reply for reply in replies]
    arrays, texts, unread = READERS[kind](outputs, tuple(probe.id for probe in probes))
    return NodeAnswers(arrays, texts, {**unread, **errors}, not_asked, versions)
