"""The probes: the texts, pairs of texts and time series that every archive answers in every ring.

A probe set is a file of this project (``data/probes.json``) or of a user (``--probes FILE``). Both are read
by the same strict rules; the sha256 of the file's bytes stands in every proof: it says what was measured on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from release_tool.core.codec import DocumentFault, decode_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import ModelKind
from release_tool.errors import UsageError

MAX_PROBES = 10_000
MAX_TEXT_CHARACTERS = 100_000
"""Characters: far beyond 512 tokens of any tokenizer, small enough that a set stays quick to tokenise."""
MAX_SERIES_NUMBERS = 100_000
"""Numbers of one probe, all its metrics together."""

TEXT_KINDS = frozenset({ModelKind.DENSE, ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER})
PAIR_KINDS = frozenset({ModelKind.CROSS_ENCODER, ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER})
SERIES_KINDS = frozenset({ModelKind.METRICS_CORRELATION})


class Role(StrEnum):
    """Which prefix an asymmetric model puts before the text."""

    QUERY = "query"
    PASSAGE = "passage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One text, one pair of texts, or the time series of some metrics."""

    id: str
    """Unique in the set, such as ``len-512``; letters, digits, ``-``, ``_`` and ``.``."""
    shape: str
    """What the probe is there for; proofs and plots group by it."""
    text: str = ""
    """The text; of a pair the query or question; empty for series."""
    second: str | None = None
    """Of a pair the document or context; null for a single text."""
    role: Role | None = None
    """Of a single text; null for a pair."""
    series: tuple[tuple[float, ...], ...] | None = None
    """One row a metric, all of one length; null but for metrics correlation."""

    @property
    def first(self) -> str:
        """The query or question of a pair; the same as ``text``."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSet:
    """All probes of a file, in its order, and the digest of its bytes."""

    texts: tuple[Probe, ...]
    pairs: tuple[Probe, ...]
    sha256: str
    series: tuple[Probe, ...] = ()

    def for_kind(self, kind: ModelKind) -> tuple[Probe, ...]:
        """Return the probes that a kind of model answers, in the order of all arrays of answers.

        Raises:
            UsageError: the set has none for this kind.
        """
        if kind in TEXT_KINDS:
            chosen, name = self.texts, "texts"
        elif kind is ModelKind.HIGHLIGHTER:
            chosen, name = tuple(pair for pair in self.pairs if highlightable(pair)), "pairs"
        elif kind in PAIR_KINDS:
            chosen, name = self.pairs, "pairs"
        else:
            chosen, name = self.series, "series"
        if not chosen:
            raise UsageError(
                f"The probe set has no {name} for models of kind {kind.value}.",
                hint=f"Add {name} to the file of --probes, or leave --probes out.",
            )
        return chosen


MAX_QUESTION_CHARACTERS = 1_000
"""The highlighter shortens the context only: a question that fills the model's input can't be answered."""


def highlightable(pair: Probe) -> bool:
    """Tell whether the highlighter can choose: the context has a word, the question leaves room for it."""
    return bool((pair.second or "").split()) and len(pair.text) <= MAX_QUESTION_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    id: str
    shape: str
    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    id: str
    shape: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    id: str
    shape: str
    metrics: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProbeFile:
    SCHEMA: ClassVar[str] = "release-tool/probes@1"

    schema: str
    texts: tuple[_Text, ...]
    pairs: tuple[_Pair, ...]
    series: tuple[_Series, ...] | None = None
    """May be left out: a set of texts needs none."""


def parse(data: bytes, name: str = "probes.json") -> ProbeSet:
    """Read a probe set strictly.

    Raises:
        UsageError: not UTF-8 JSON of the schema, an id twice or malformed, a text too long or not Unicode.
    """
    try:
        file = decode_text(_ProbeFile, data.decode("utf-8"))
        _check(file)
    except (UnicodeDecodeError, DocumentFault) as fault:
        raise UsageError(
            f"{name} is not a probe set: {fault}",
            hint=f'--probes wants {{"schema": "{_ProbeFile.SCHEMA}", '
            '"texts": [{"id", "shape", "role", "text"}], "pairs": [{"id", "shape", "first", "second"}], '
            '"series": [{"id", "shape", "metrics": [[numbers], ...]}]}.',
        ) from fault
    return ProbeSet(
        texts=tuple(Probe(id=item.id, shape=item.shape, text=item.text, role=item.role) for item in file.texts),
        pairs=tuple(Probe(id=item.id, shape=item.shape, text=item.first, second=item.second) for item in file.pairs),
        sha256=sha256_bytes(data),
        series=tuple(Probe(id=item.id, shape=item.shape, series=item.metrics) for item in file.series or ()),
    )


def _check(file: _ProbeFile) -> None:
    if file.schema != _ProbeFile.SCHEMA:
        raise DocumentFault(f"$.schema: {file.schema!r} is not {_ProbeFile.SCHEMA}")
    every: tuple[_Text | _Pair | _Series, ...] = (*file.texts, *file.pairs, *(file.series or ()))
    if len(every) > MAX_PROBES:
        raise DocumentFault(f"more than {MAX_PROBES} probes")
    seen: set[str] = set()
    for item in every:
        _check_word("id", item.id)
        _check_word("shape", item.shape)
        if item.id in seen:
            raise DocumentFault(f"the id {item.id!r} is given twice")
        seen.add(item.id)
        if isinstance(item, _Series):
            _check_series(item)
            continue
        for text in (item.text,) if isinstance(item, _Text) else (item.first, item.second):
            _check_text(item.id, text)


def _check_series(item: _Series) -> None:
    lengths = {len(row) for row in item.metrics}
    if len(lengths) != 1 or lengths == {0}:
        raise DocumentFault(f"the metrics of probe {item.id!r} are not series of one length")
    if sum(len(row) for row in item.metrics) > MAX_SERIES_NUMBERS:
        raise DocumentFault(f"probe {item.id!r} has more than {MAX_SERIES_NUMBERS} numbers")


def _check_word(field: str, value: str) -> None:
    plain = value.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or not value.isascii():
        raise DocumentFault(f"{field} {value!r} of a probe is not made of letters, digits, '-', '_' and '.'")


def _check_text(probe: str, text: str) -> None:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise DocumentFault(f"probe {probe!r} is longer than {MAX_TEXT_CHARACTERS} characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # JSON may hold half a surrogate pair; no tokenizer and no HTTP body can.
        raise DocumentFault(f"probe {probe!r} holds half of a surrogate pair") from None
