"""Everything before the model: prefixes, tokens, chunks; and a file of it, for a second process with torch.

The tokenizers of the server and the torch of this machine may need two environments, so what the first process
prepared travels to the second as one ``.npz``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import feeds
from .faults import Refused
from .sentences import segment, token_sentences, word_sentences
from .tokens import DEFAULT_MAX_LENGTH, Chunks, Encoded, Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from .archive import Archive
    from .config import ServedConfig

Row: TypeAlias = dict[str, NDArray[np.int64]]

WARM_UP = -1
"""Owner of the rows that the server runs when it deploys."""

WARM_UP_TEXT = "warm up sentence"
WARM_UP_PAIR = (
    "How is the weather?",
    "The weather is nice, it is beautiful day. The sun is shining. The sky is blue.",
)
"""The server's own texts (TextEmbeddingModel, QAConstants): part of the contract, a model must answer them."""

PAIRS = frozenset({"cross-encoder", "question-answering", "highlighter"})
MAX_MESSAGE = 300
FIELDS = (feeds.IDS, feeds.MASK, feeds.TYPES, feeds.SENTENCES)


@dataclass
class Prepared:
    """Model inputs of all probes, in order; a probe has one row, of the highlighter one a chunk, or an error."""

    rows: list[Row] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    """Index of each row's probe, or ``WARM_UP``."""
    lengths: list[int] = field(default_factory=list)
    """Tokens of each probe's (first) row; 0 where it was refused."""
    errors: dict[str, str] = field(default_factory=dict)
    tokens: list[list[str]] = field(default_factory=list)
    """Question answering: the tokens of each probe."""
    sentence_counts: list[int] = field(default_factory=list)
    """Highlighter: sentences of each probe's context."""
    words: list[str] = field(default_factory=list)
    """Sparse: each token id, decoded; empty for special tokens."""
    versions: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write one file for the process that runs the model."""
        lengths = np.asarray([len(row[feeds.IDS]) for row in self.rows], np.int64)
        arrays = {"owner": np.asarray(self.owner, np.int64), "row_lengths": lengths}
        for name in FIELDS:
            if self.rows and name in self.rows[0]:
                arrays[name] = np.concatenate([row[name] for row in self.rows])
        rest = {key: value for key, value in asdict(self).items() if key not in {"rows", "owner"}}
        save_arrays(path, {"rest": np.frombuffer(json.dumps(rest).encode(), np.uint8), **arrays})

    @classmethod
    def load(cls, path: Path) -> Prepared:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            ends = np.cumsum(file["row_lengths"])[:-1]
            columns = {name: np.split(file[name], ends) for name in FIELDS if name in file.files}
            owner = [int(item) for item in file["owner"]]
            rows = [{name: column[i] for name, column in columns.items()} for i in range(len(owner))]
            return cls(rows=rows, owner=owner, **json.loads(file["rest"].tobytes()))


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an ``.npz`` under exactly this name."""
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def tokenizer_of(archive: Archive, config: ServedConfig) -> Tokenizer:
    """Set up the tokenizer as the translator of this model does."""
    text = archive.text("tokenizer.json")
    if config.kind == "highlighter":
        return Tokenizer(text, chunks=chunks_of(config.all_config))
    honours_length = (
        config.kind == "dense" and config.model_format == "TORCH_SCRIPT" and config.framework != "SENTENCE_TRANSFORMERS"
    )
    if honours_length and config.model_max_length is not None:
        return Tokenizer(text, model_max_length=config.model_max_length)
    return Tokenizer(text, model_max_length=DEFAULT_MAX_LENGTH)


def chunks_of(settings: dict[str, Any]) -> Chunks:
    """Read the highlighter's options from all_config; what can't be read counts as absent, as on the server."""

    def number(key: str, default: int) -> int:
        try:
            return int(str(settings.get(key, default)))
        except ValueError:
            return default

    def flag(key: str, *, default: bool) -> bool:
        return str(settings.get(key, default)).lower() == "true"

    return Chunks(
        max_length=number("token_max_length", Chunks.max_length),
        stride=number("token_overlap_stride", Chunks.stride),
        overflowing=flag("with_overflowing_tokens", default=Chunks.overflowing),
        padding=flag("padding", default=Chunks.padding),
    )


def prepare(archive: Archive, config: ServedConfig, probes: list[dict[str, Any]]) -> Prepared:
    """Encode the warm-up and every probe.

    Raises:
        Refused: the tokenizer can't be set up, or the warm-up can't be encoded.
    """
    import tokenizers

    tokenizer = tokenizer_of(archive, config)
    prepared = Prepared(versions={"tokenizers": tokenizers.__version__})
    for encoded, sentences, _ in _inputs(tokenizer, config.kind, *warm_up(config)):
        _add(prepared, WARM_UP, encoded, sentences)
    for index, probe in enumerate(probes):
        first = config.prefix(probe.get("role")) + probe["text"]
        try:
            inputs = _inputs(tokenizer, config.kind, first, probe.get("second"))
        except Refused as refusal:
            prepared.errors[probe["id"]] = str(refusal)[:MAX_MESSAGE]
            inputs = []
        for encoded, sentences, _ in inputs:
            _add(prepared, index, encoded, sentences)
        head = inputs[0] if inputs else None
        prepared.lengths.append(len(head[0]) if head else 0)
        if config.kind == "question-answering":
            prepared.tokens.append(head[0].tokens if head else [])
        if config.kind == "highlighter":
            prepared.sentence_counts.append(head[2] if head else 0)
    if config.kind in {"sparse", "sparse-tokenizer"}:
        prepared.words = tokenizer.words(list(range(tokenizer.size())))
    return prepared


def warm_up(config: ServedConfig) -> tuple[str, str | None]:
    """Return what the server predicts when it deploys; it spares cross-encoders, we do not."""
    if config.kind in PAIRS:
        return WARM_UP_PAIR
    if config.kind == "dense" and config.model_max_length is not None:
        return "sentence " * config.model_max_length, None
    return WARM_UP_TEXT, None


def _add(prepared: Prepared, owner: int, encoded: Encoded, sentences: list[int] | None) -> None:
    prepared.rows.append(feeds.row_of(encoded, sentences))
    prepared.owner.append(owner)


def _inputs(
    tokenizer: Tokenizer, kind: str, first: str, second: str | None
) -> list[tuple[Encoded, list[int] | None, int]]:
    """Return (tokens, sentence ids, sentences of the context) of each model input of a text or pair."""
    if kind != "highlighter":
        return [(tokenizer.encode(first, second if kind in PAIRS else None), None, 0)]
    return highlighter_inputs(tokenizer, first, second or "")


def highlighter_inputs(
    tokenizer: Tokenizer, question: str, context: str
) -> list[tuple[Encoded, list[int] | None, int]]:
    """Return the chunks of a context, each with the sentence id of every token, and the number of sentences."""
    sentences = segment(context)
    of_words = word_sentences(sentences, context)
    encoded = tokenizer.encode(question, context)
    return [(chunk, token_sentences(chunk, of_words), len(sentences)) for chunk in (encoded, *encoded.overflowing)]
