"""Rules about what the server does with the embeddings: only where it pools, that is ONNX and huggingface_transformers.

Source: TextEmbeddingModelConfig.PoolingMode and the two translators, tag by tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import Format, ModelKind, PoolingMode
from release_tool.core.serving import LAST_POOLING_SINCE, POOLED_BY_SERVER_SINCE
from release_tool.core.verdicts import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts, Tensor
    from release_tool.core.verdicts import Target

NONE_SINCE = "3.6"
"""NONE is no member of the enum before (ml-commons #4710)."""
_WRONG = "Wrong pooling method: register refuses the request."


def server_pools(facts: ArchiveFacts) -> bool:
    """Tell whether the server's translator pools this model."""
    if facts.kind is not ModelKind.DENSE:
        return False
    framework = str(facts.model_config.get("framework_type", "")).lower()
    return facts.format is Format.ONNX or (facts.config is not None and framework != "sentence_transformers")


def _mode(facts: ArchiveFacts) -> PoolingMode | None:
    """Return the mode; MEAN where the request says nothing, null for a word that is none."""
    value = facts.model_config.get("pooling_mode")
    if value is None:
        return PoolingMode.MEAN
    return next((mode for mode in PoolingMode if isinstance(value, str) and mode.value == value.lower()), None)


def modes(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Which pooling modes a version knows."""
    if facts.kind is not ModelKind.DENSE or facts.config is None:
        return
    mode, written = _mode(facts), str(facts.model_config.get("pooling_mode"))[:40]
    if target.before(POOLED_BY_SERVER_SINCE):
        # ONNX is not served at all there.
        asks = server_pools(facts) and facts.format is not Format.ONNX
        if asks and (mode is not PoolingMode.MEAN or facts.model_config.get("normalize_result")):
            yield Finding(
                rule="pooling-ignored",
                severity=Severity.FATAL,
                what="The request asks the server to pool in a way of its own or to normalise.",
                why="The version skips pooling_mode and normalize_result, so every answer is another one.",
                fix=f"Serve it from {POOLED_BY_SERVER_SINCE} on, or pool inside of the model.",
            )
        return
    if mode is None:
        yield Finding(
            rule="pooling-mode",
            severity=Severity.FATAL,
            what=f"pooling_mode is {written!r}.",
            why=_WRONG,
            fix="Write one of " + ", ".join(member.value.upper() for member in PoolingMode) + ".",
        )
    elif mode is PoolingMode.NONE and target.before(NONE_SINCE):
        yield Finding(
            rule="pooling-none",
            severity=Severity.FATAL,
            what=f"pooling_mode NONE came with {NONE_SINCE}.",
            why=_WRONG,
            fix="For a graph that pools itself CLS does the same on every version.",
        )
    elif mode is PoolingMode.LAST_TOKEN and server_pools(facts) and target.before(LAST_POOLING_SINCE):
        yield Finding(
            rule="pooling-last-token",
            severity=Severity.FATAL,
            what=f"pooling_mode LAST_TOKEN works from {LAST_POOLING_SINCE} on.",
            why="Unsupported pooling method: the name is known before, the code is not there.",
            fix="Pool inside of the model: TorchScript with framework_type sentence_transformers.",
        )


def defects(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Poolings that answer something else than the model's embedding."""
    if not server_pools(facts) or facts.config is None or target.before(POOLED_BY_SERVER_SINCE):
        return
    mode, normalize = _mode(facts), facts.model_config.get("normalize_result") is True
    if mode is PoolingMode.MAX and normalize:
        yield Finding(
            rule="max-normalize",
            severity=Severity.FATAL,
            what="pooling_mode MAX together with normalize_result.",
            why="The server keeps a dimension and normalises each number by itself: every value becomes 1 or -1.",
            fix="Normalise inside of the model, or pool another way.",
        )
    if facts.onnx is None or not facts.onnx.outputs or mode is None:
        return
    outputs = facts.onnx.outputs
    pooled = outputs[1] if mode is PoolingMode.NONE and len(outputs) > 1 else outputs[0]
    yield from _of_output(mode, pooled, normalize=normalize)


def _of_output(mode: PoolingMode, output: Tensor, *, normalize: bool) -> Iterator[Finding]:
    rank = output.rank
    if rank is None:
        yield Finding(
            rule="output-rank",
            severity=Severity.UNKNOWN,
            what=f"The graph does not say how many dimensions {output.name} has.",
            why="Whether the pooling fits can't be told.",
            fix="Export with shapes, or validate the archive in the runtime ring.",
        )
    elif rank == 2 and mode not in (PoolingMode.CLS, PoolingMode.NONE):
        yield Finding(
            rule="pre-pooled",
            severity=Severity.FATAL,
            what=f"The output {output.name} is pooled already, and pooling_mode is {mode.value.upper()}.",
            why="The server pools it again and fails to broadcast (ml-commons #4708).",
            fix="Export token embeddings as the first output, or write pooling_mode CLS, which keeps it as it is.",
        )
    elif rank == 2 and mode is PoolingMode.NONE and normalize:
        yield Finding(
            rule="none-normalize",
            severity=Severity.FATAL,
            what="pooling_mode NONE together with normalize_result.",
            why="The server normalises each number by itself: every value becomes 1 or -1.",
            fix="Normalise inside of the model, or write pooling_mode CLS.",
        )
    elif rank == 3 and mode is PoolingMode.NONE:
        yield Finding(
            rule="none-unpooled",
            severity=Severity.FATAL,
            what=f"pooling_mode is NONE, and {output.name} holds the embedding of each token.",
            why="The answer is all tokens' numbers in a row instead of one embedding.",
            fix="Write the model's own pooling_mode.",
        )
    elif rank not in (2, 3):
        yield Finding(
            rule="output-rank",
            severity=Severity.FATAL,
            what=f"The output {output.name} has {rank} dimensions.",
            why="The server expects [1, length, dimension], or [1, dimension] with CLS or NONE.",
            fix="Export token embeddings as the first output.",
        )


RULES = (modes, defects)
