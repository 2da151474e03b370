"""Cut texts into terms, once and for all engines that search here.

The embedded engine's own analyzers do it: cut at everything that is no letter or digit, lower case, Snowball's stemmer.
They run beside its indexing in compiled code (in Python, with the same stemmers, it takes five times as long), and they
can be asked for the terms of a text, which bm25s and the queries are given: so both engines see the same terms. For
``words`` and ``wordpiece`` there is no analyzer; texts are cut before, and the analyzer cuts at the spaces between.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from release_tool.core.finetune.mining import WORDPIECE, WORDS
from release_tool.core.words import words_of
from release_tool.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

EXTRA = "finetune"
TOKENIZER = "tokenizer.json"
MAX_TERM_BYTES = 255
"""Longer runs are no words; Lucene cuts there, too."""
AT_ONCE = 500
"""Documents that are analysed together."""

Item = TypeVar("Item")


def engine() -> Any:
    """Return the embedded engine's library.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import tantivy
    except ModuleNotFoundError as error:
        raise MissingExtra(EXTRA, "tantivy") from error
    return tantivy


@dataclass(frozen=True, slots=True)
class Analysis:
    """One way of cutting."""

    name: str
    """Of the recipe: a language, ``words`` or ``wordpiece``."""
    analyzer: Any
    """tantivy's, for what ``prepared`` returns."""
    prepared: Callable[[Sequence[str]], list[str]]
    """Returns texts as they go into the index."""

    def terms(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the terms of texts, in order; one that stands twice is there twice."""
        return [self.analyzer.analyze(text) for text in self.prepared(texts)]


def analysis_of(name: str, model: Callable[[], Path]) -> Analysis:
    """Return the analysis of a recipe's word.

    Args:
        name: one of ``core.finetune.mining.ANALYSES``.
        model: returns the base model's folder; only called for ``wordpiece``.

    Raises:
        UsageError: the base model has no tokenizer.json.
        MissingExtra: tantivy or tokenizers is not installed.
    """
    if name == WORDPIECE:
        return Analysis(name, _analyzer(""), _wordpiece(model()))
    if name == WORDS:
        return Analysis(name, _analyzer(""), _joined_words)
    return Analysis(name, _analyzer(name), list)


def _analyzer(language: str) -> Any:
    """Return an analyzer; without a language it cuts at spaces and changes nothing."""
    library = engine()
    tokenizer, filters = library.Tokenizer, library.Filter
    builder = library.TextAnalyzerBuilder(tokenizer.simple() if language else tokenizer.whitespace())
    builder = builder.filter(filters.remove_long(MAX_TERM_BYTES))
    if language:
        builder = builder.filter(filters.lowercase()).filter(filters.stemmer(language))
    return builder.build()


def _joined_words(texts: Sequence[str]) -> list[str]:
    return [" ".join(words_of(text)) for text in texts]


def _wordpiece(folder: Path) -> Callable[[Sequence[str]], list[str]]:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise MissingExtra("trace", "tokenizers") from error
    path = folder / TOKENIZER
    if not path.is_file():
        raise UsageError(
            f"mine.analysis is {WORDPIECE!r}, and the base model has no {TOKENIZER}.",
            hint=f"Set mine.analysis to a language or to {WORDS!r}.",
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def prepared(texts: Sequence[str]) -> list[str]:
        encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [" ".join(map(str, one.ids)) for one in encoded]

    return prepared


def in_blocks(texts: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield texts, or what else, in lists of ``size``, the last one of what is left."""
    rest = iter(texts)
    while block := list(islice(rest, size)):
        yield block
