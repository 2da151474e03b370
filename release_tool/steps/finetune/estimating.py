"""What a run will take, as far as a plan can know: documents, questions, tokens, dollars, bytes.

The files of a corpus are counted. What lies in S3 or in a cluster is not read for a plan: of such a run the plan says
at most how much, and the stage of the queries reckons with the documents themselves before it asks anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.finetune.money import (
    BYTES_A_TOKEN,
    PAID,
    Cost,
    answer_tokens,
    check_estimate,
    cost_of,
    tokens_of,
)
from release_tool.core.finetune.prompt import EXAMPLES_A_PROMPT, SYSTEM, examples_text
from release_tool.steps.finetune.given_files import given_file, lines_of
from release_tool.steps.finetune.prompting import read_examples, read_template

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from release_tool.core.finetune.recipe import Recipe

AT_MOST = "_at_most"
"""Behind the names of what is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What a plan knows of the documents."""

    documents: int
    document_tokens: float
    """Of one, on average, cut as the prompt cuts it."""
    size: int | None = None
    """Bytes; null where nobody counted."""


def estimates_of(recipe: Recipe, folder: Path) -> dict[str, float]:
    """Return what a run will take.

    Args:
        recipe: with paths relative to ``folder``.
        folder: where the recipe lies.

    Raises:
        RequestError: the prompt has faults; all of them are listed.
        UsageError: the examples or the own queries are none, or the queries would cost more than the recipe allows.
    """
    corpus = _corpus(recipe, folder)
    found: dict[str, float] = {"documents": corpus.documents}
    if recipe.queries.provider == "file":
        found["queries"] = _own_queries(recipe, folder)
    else:
        questions = min(recipe.queries.documents, corpus.documents)
        found |= {"questions": questions, "queries": questions * recipe.queries.per_document}
        cost = _cost(recipe, folder, corpus, questions)
        if recipe.queries.provider in PAID:
            found |= {"tokens_in": cost.tokens_in, "tokens_out": cost.tokens_out, "dollars": round(cost.dollars, 2)}
            if corpus.size is not None:
                check_estimate(recipe.queries, cost, questions)
    found["teacher_pairs"] = found["queries"] * (1 + recipe.teach.negatives) * len(recipe.teach.models)
    if corpus.size is not None:
        return {"bytes": corpus.size, **found}
    return {f"{name}{AT_MOST}": value for name, value in found.items()}


def _corpus(recipe: Recipe, folder: Path) -> Corpus:
    from release_tool.steps.finetune.pinning import files_of

    most, limit = recipe.corpus.max_documents, recipe.queries.max_document_tokens
    if recipe.corpus.source != "files":
        return Corpus(documents=most, document_tokens=limit)
    _, paths = files_of(recipe, folder)["corpus"]
    lines, size, tokens = _counted(paths, limit)
    return Corpus(documents=min(lines, most), document_tokens=tokens / max(1, lines), size=size)


def _counted(paths: Iterable[Path], limit: int) -> tuple[int, int, float]:
    """Return lines, bytes on disk, and tokens of all lines, each cut to ``limit``."""
    from release_tool.services.finetune.lines import lines_of as document_lines

    lines = size = 0
    tokens = 0.0
    for path in paths:
        with path.open("rb") as stream:
            for line, count in document_lines(stream, path.name):
                size += count
                lines += line != b""
                tokens += limit if line is None else min(limit, len(line) / BYTES_A_TOKEN)
    return lines, size, tokens


def _cost(recipe: Recipe, folder: Path, corpus: Corpus, questions: int) -> Cost:
    """Return about what the questions cost; the prompt and the examples are read, and refused where they are wrong."""
    section = recipe.queries
    with given_file(recipe, folder, "prompt") as path:
        template = read_template(recipe, path)
    with given_file(recipe, folder, "examples") as path:
        examples = read_examples(path) if path is not None else ()
    shown = examples_text(sorted(examples, key=len)[-EXAMPLES_A_PROMPT:])
    around = tokens_of(SYSTEM) + tokens_of(template.text) + tokens_of(shown)
    sent = int(questions * (around + corpus.document_tokens))
    return cost_of(section, sent, questions * answer_tokens(section.per_document, section.max_tokens))


def _own_queries(recipe: Recipe, folder: Path) -> int:
    with given_file(recipe, folder, "path") as path:
        return sum(1 for _ in lines_of(path)) if path is not None else 0
