"""The provider ``file``: a user's own queries, each with the document that answers it.

Which document that is, somebody must have judged: a file of judgements (qrels), or ``document`` in the query's line.
Taking the first hit of a search for it would train the model to do what that search does already, so it is not done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.finetune.own import query_row
from release_tool.core.finetune.records import Document, Judgement, Query
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.writing import record_id
from release_tool.core.quantity import clip
from release_tool.errors import UsageError
from release_tool.part_files import PartWriter, read_rows
from release_tool.steps.finetune.given_files import lines_of, planned_file

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.steps.finetune.running import Made, Work

MAX_QUERIES = 1_000_000
MAX_JUDGEMENTS = 10_000_000
HOW = (
    'Name a BEIR file of judgements at queries.qrels (query, document, grade, with tabs between), or write "document" '
    "into the lines; ids are those of the corpus."
)


@dataclass
class _Own:
    """What the files say."""

    queries: dict[str, str] = field(default_factory=dict)
    """Id → text, in the order of the file."""
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    doubles: int = 0
    """Lines with a text that came before."""
    unknown: int = 0
    """Judgements of queries or documents that are not there."""


def make_own(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: a line is wrong, or no query has a document that is in the corpus.
        IntegrityError: a file is not the one that was planned with.
    """
    from release_tool.steps.finetune.running import Made

    own = _Own()
    for word, read in (("path", _read_queries), ("qrels", _read_judgements)):
        with planned_file(work, word) as path:
            if path is not None:
                read(path, own)
    _known_only(own, work.of(Stage.CORPUS))
    counts = _write(own, work.folder)
    return Made(counts=counts | {"doubles": own.doubles, "judgements_of_unknown": own.unknown})


def _read_queries(path: Path, own: _Own) -> None:
    texts: set[str] = set()
    for number, line in lines_of(path):
        where = f"{one_line(path.name)}, line {number}"
        row = query_row(line, where)
        name = row.id or record_id(row.text)
        if name in own.queries and row.id is not None:
            raise UsageError(f"{where}: the id {clip(row.id, 80)} is given twice.")
        if row.text in texts:
            own.doubles += 1
            continue
        if len(texts) == MAX_QUERIES:
            raise UsageError(f"{where}: {MAX_QUERIES:,} queries are read at most.")
        texts.add(row.text)
        own.queries[name] = row.text
        if row.document is not None:
            own.grades[name] = {row.document: 1}


def _read_judgements(path: Path, own: _Own) -> None:
    from release_tool.core.beir import parse_judgement

    for number, line in lines_of(path):
        where = f"{one_line(path.name)}, line {number}"
        if number > MAX_JUDGEMENTS:
            raise UsageError(f"{where}: {MAX_JUDGEMENTS:,} judgements are read at most.")
        judged = parse_judgement(line, where)
        if judged is None:
            continue
        if judged.query not in own.queries:
            own.unknown += 1
            continue
        grades = own.grades.setdefault(judged.query, {})
        if grades.get(judged.document, judged.grade) != judged.grade:
            raise UsageError(f"{where}: the same pair has another grade before.", hint="Keep one of them.")
        grades[judged.document] = judged.grade


def _known_only(own: _Own, corpus: Path) -> None:
    """Leave out judgements of documents that the corpus does not hold."""
    asked = {document for grades in own.grades.values() for document in grades}
    known = {row.id for row in read_rows(corpus, Document) if row.id in asked}
    for grades in own.grades.values():
        for document in [name for name in grades if name not in known]:
            del grades[document]
            own.unknown += 1


def _write(own: _Own, folder: Path) -> dict[str, float]:
    """Write queries and judgements; the best judged document is the query's, of several the first.

    Raises:
        UsageError: there is no pair.
    """
    made = judgements = 0
    with PartWriter(folder, Query.STEM) as queries, PartWriter(folder, Judgement.STEM) as judged:
        for name, text in own.queries.items():
            grades = own.grades.get(name, {})
            best = max(grades, key=lambda document: grades[document], default=None)
            if best is None or grades[best] <= 0:
                continue
            queries.add(Query(id=name, text=text, document=best))
            made += 1
            for document, grade in grades.items():
                judged.add(Judgement(query=name, document=document, grade=grade))
                judgements += 1
    if not made:
        raise UsageError(
            f"None of the {len(own.queries):,} own queries has a document of the corpus that answers it.", hint=HOW
        )
    return {"queries": made, "without_document": len(own.queries) - made, "judgements": judgements}
