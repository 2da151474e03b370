"""What an OpenSearch version can serve, and what keeps a model out of a format.

Source: ML Commons' releases, tag by tag (when a function or a format came), and its translators (what they do with
a pooling mode). Each obstacle is a sentence that plan, review and errors show as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import MAX_ONNX_BYTES, TRAITS, Format, ModelKind, PoolingMode
from release_tool.core.opensearch import number

if TYPE_CHECKING:
    from release_tool.core.plan import ModelFacts

INTRODUCED = {
    ModelKind.DENSE: "2.4",
    ModelKind.SPARSE: "2.11",
    ModelKind.SPARSE_TOKENIZER: "2.11",
    ModelKind.CROSS_ENCODER: "2.12",
    ModelKind.QUESTION_ANSWERING: "2.13",
    ModelKind.HIGHLIGHTER: "3.0",
    ModelKind.METRICS_CORRELATION: "2.7",
}
"""First OpenSearch that serves the kind."""

ONNX_SINCE = "2.5"
POOLED_BY_SERVER_SINCE = "2.5"
"""First OpenSearch whose model_config knows pooling_mode and normalize_result."""

LAST_POOLING_SINCE = "3.6"
"""The enum has LAST_TOKEN since 2.5, the code since 3.6 (ml-commons #4711)."""

SPARSE_ONNX_MEASURED = ("3.6",)
"""OpenSearch versions on which a real node served sparse ONNX; on others it follows from the code only."""


def since(kind: ModelKind, fmt: Format) -> str:
    """Return the first OpenSearch that serves a kind in a format."""
    first = INTRODUCED[kind]
    return max(first, ONNX_SINCE, key=number) if fmt is Format.ONNX else first


def able(kind: ModelKind, fmt: Format, targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets that serve a kind in a format."""
    return tuple(version for version in targets if number(version) >= number(since(kind, fmt)))


def pooling_obstacle(
    facts: ModelFacts, pooling: PoolingMode | None, *, normalize: bool, targets: tuple[str, ...]
) -> str | None:
    """Return why the server can't pool this model's token embeddings; ``None`` when it can.

    Args:
        facts: of the model.
        pooling: null when the model joins several poolings.
        normalize: whether the vector is normalised after pooling.
        targets: OpenSearch versions that must serve it.
    """
    if facts.dense_module:
        return "a Dense module follows the pooling, and the server can only pool and normalise"
    if pooling is None:
        words = " and ".join(facts.pooling_words or ())
        return f"the model joins the poolings {words}, and the server knows one at a time"
    if pooling is PoolingMode.LAST_TOKEN:
        old = [version for version in targets if number(version) < number(LAST_POOLING_SINCE)]
        if old:
            return (
                f"pooling last_token is served from {LAST_POOLING_SINCE} on, and {', '.join(old)} is among the targets"
            )
    if pooling is PoolingMode.MAX and normalize:
        return "with pooling max the server normalises each number by itself, so every value becomes 1 or -1"
    return None


def format_obstacle(
    kind: ModelKind, fmt: Format, *, targets: tuple[str, ...], pooling: str | None, expected_bytes: int
) -> str | None:
    """Return why an artifact can't be made; ``None`` when it can.

    Args:
        kind: of the artifact.
        fmt: of the artifact.
        targets: OpenSearch versions asked for.
        pooling: what ``pooling_obstacle`` said.
        expected_bytes: of the archive.
    """
    if fmt not in TRAITS[kind].formats:
        return f"ML Commons serves {kind} as {TRAITS[kind].formats[0]} only"
    if not able(kind, fmt, targets):
        return f"{kind} is served as {fmt} from OpenSearch {since(kind, fmt)} on"
    if fmt is Format.ONNX:
        if expected_bytes > MAX_ONNX_BYTES:
            return f"about {expected_bytes:,} bytes are more than one ONNX file can hold ({MAX_ONNX_BYTES:,})"
        if kind is ModelKind.DENSE and pooling:
            return pooling
    return None
