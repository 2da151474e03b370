"""answers-<kind>.safetensors: the oracle's answers to every probe, whole or absent, equal bytes for equal numbers.

The file outlives the release: another cluster can be checked against it later, so it names its probes, their
digest, the plan and the snapshot that it belongs to. All facts stand in one metadata entry, because
safetensors writes several entries in random order.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from release_tool.core.codec import DocumentFault, decode_text, encode_text
from release_tool.core.kinds import ModelKind
from release_tool.documents import write_atomic
from release_tool.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENTRY = "release-tool"
HEADER_LENGTH_BYTES = 8

REQUIRED: dict[ModelKind, tuple[str, ...]] = {
    ModelKind.DENSE: ("embedding",),
    ModelKind.SPARSE: ("indptr", "ids", "weights"),
    ModelKind.SPARSE_TOKENIZER: ("indptr", "ids", "weights"),
    ModelKind.CROSS_ENCODER: ("logit",),
    ModelKind.QUESTION_ANSWERING: ("indptr", "start", "end", "margin"),
    ModelKind.HIGHLIGHTER: ("indptr", "selected", "probability_indptr", "probability", "margin"),
    ModelKind.METRICS_CORRELATION: ("indptr", "sizes", "window", "pattern", "suspected", "margin"),
}
"""Arrays of each kind beside ``tokens`` [n], ``input_indptr`` [n+1] and ``input_ids``, which all kinds
have (metrics correlation empty). Metrics correlation: ``indptr`` counts events, ``sizes`` [events, 3] says how many
numbers of the flat ``window``, ``pattern`` and ``suspected`` belong to each; ``margin`` is 0 where the source's own
answer is another one when its input is rounded, else 1."""

COMMON = ("tokens", "input_indptr", "input_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """What the answers belong to."""

    SCHEMA: ClassVar[str] = "release-tool/answers@1"

    schema: str = "release-tool/answers@1"
    kind: ModelKind
    plan_sha256: str
    probes_sha256: str
    source_tree: str
    """The digest over all files of the snapshot that was loaded."""
    max_length: int
    """Tokens."""
    batching: str
    """``padded``: in batches, shown not to change the answers; ``single``: one by one."""
    versions: dict[str, str]
    probes: tuple[str, ...]
    """Ids, in the order of the rows."""
    texts: tuple[str, ...] = ()
    """Question answering: the answers by the server's rule."""
    special_ids: tuple[int, ...] = ()
    """Token ids that no sparse answer holds."""
    content: str | None = None
    """The sha256 of names and bytes of all arrays: a bit that flips later must not look like a fault of an archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Arrays and what they belong to; rows follow ``facts.probes``."""

    facts: AnswerFacts
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def inputs(self) -> dict[str, frozenset[int]]:
        """Return probe id → the token ids of the oracle's input."""
        bounds = self.arrays["input_indptr"]
        ids = self.arrays["input_ids"]
        return {
            probe: frozenset(ids[bounds[row] : bounds[row + 1]].tolist()) for row, probe in enumerate(self.facts.probes)
        }


def answers_name(kind: ModelKind) -> str:
    """Return the file's name in the work folder."""
    return f"answers-{kind.value}.safetensors"


def write_answers(path: Path, answers: Answers) -> None:
    """Write the file atomically; equal answers give equal bytes.

    Raises:
        MachineError: the disk is full.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(answers.arrays.items())}
    facts = replace(answers.facts, content=content_of(arrays))
    compact = json.dumps(json.loads(encode_text(facts)), ensure_ascii=False, separators=(",", ":"))
    write_atomic(path, save(arrays, metadata={ENTRY: compact}))


def read_answers(path: Path) -> Answers:
    """Read the file strictly.

    Raises:
        IntegrityError: not safetensors, no facts of the schema, or arrays that don't fit them.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = path.read_bytes()
    try:
        size = int.from_bytes(data[:HEADER_LENGTH_BYTES], "little")
        header = json.loads(data[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + size])
        facts = decode_text(AnswerFacts, header["__metadata__"][ENTRY])
        arrays: dict[str, np.ndarray] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, DocumentFault) as error:
        raise _broken(path, str(error)) from error
    fault = _fault(facts, arrays)
    if fault:
        raise _broken(path, fault)
    return Answers(facts=replace(facts, content=None), arrays=arrays)


def _broken(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} does not hold the oracle's answers: {why}",
        hint="Remove it and run release-tool validate again.",
    )


def content_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 over names, types, shapes and bytes of arrays."""
    whole = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _fault(facts: AnswerFacts, arrays: Mapping[str, np.ndarray]) -> str:
    if facts.schema != AnswerFacts.SCHEMA:
        return f"it is a {facts.schema}, expected {AnswerFacts.SCHEMA}"
    wanted = {*COMMON, *REQUIRED[facts.kind]}
    if set(arrays) != wanted:
        return f"its arrays are {sorted(arrays)}, expected {sorted(wanted)}"
    if facts.content is not None and facts.content != content_of(arrays):
        return "its numbers changed after they were written"
    count = len(facts.probes)
    for name, array in arrays.items():
        if name.endswith("indptr") and (len(array) != count + 1 or array[0] != 0 or np.any(np.diff(array) < 0)):
            return f"{name} does not index {count} probes"
    if len(arrays["tokens"]) != count:
        return f"tokens has {len(arrays['tokens'])} rows for {count} probes"
    return ""


def pack_rows(rows: list[np.ndarray], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return (indptr int64 [n+1], values) of rows of different lengths."""
    lengths = [len(row) for row in rows]
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    values = np.concatenate([np.asarray(row, dtype=dtype) for row in rows]) if rows else np.zeros(0, dtype)
    return indptr, values.astype(dtype)
