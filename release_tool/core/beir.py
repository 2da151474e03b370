"""The lines of a judged set in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/*.tsv. Pure: bytes in, values out.

Keys that BEIR's own files have beside the id and the text (metadata, urls) mean nothing here and are passed over.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from release_tool.core.probes import MAX_TEXT_CHARACTERS
from release_tool.errors import UsageError

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
TEST = "test.tsv"
MAX_ID = 200
HEADER = ("query-id", "corpus-id", "score")
GRADE = re.compile(r"-?\d{1,6}")
LAYOUT = "A set has corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR lays them out."


@dataclass(frozen=True, slots=True)
class Entry:
    """A document or a query."""

    id: str
    text: str
    """Title and text with a space between, as BEIR joins them; empty where the file has none."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How relevant a document is to a query."""

    query: str
    document: str
    grade: int
    """0: not at all."""


def wrong(where: str, problem: str) -> UsageError:
    """Return the error of a set that can't be used."""
    return UsageError(f"{where}: {problem}.", hint=LAYOUT)


def parse_entry(line: bytes, where: str) -> Entry:
    """Read one line of corpus.jsonl or queries.jsonl.

    Raises:
        UsageError: not JSON, no id, a text that is none or that no tokenizer can take.
    """
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise wrong(where, "it is no JSON object") from error
    if not isinstance(data, dict):
        raise wrong(where, "it is no JSON object")
    name = data.get("_id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name or len(name) > MAX_ID or not name.isprintable():
        raise wrong(where, f"its _id is no text of 1 to {MAX_ID} printable characters")
    parts = [data.get(key) or "" for key in ("title", "text")]
    if not all(isinstance(part, str) for part in parts):
        raise wrong(where, "its title or its text is no text")
    text = " ".join(part.strip() for part in parts if part.strip())
    if len(text) > MAX_TEXT_CHARACTERS:
        raise wrong(where, f"it is longer than {MAX_TEXT_CHARACTERS:,} characters")
    try:
        text.encode()
        name.encode()
    except UnicodeEncodeError:
        raise wrong(where, "it holds half of a surrogate pair") from None
    return Entry(name, text)


def parse_judgement(line: bytes, where: str) -> Judgement | None:
    """Read one line of a file of judgements; null for the heading.

    Raises:
        UsageError: it has not three columns, or its grade is no whole number.
    """
    try:
        columns = tuple(line.decode().rstrip("\r\n").split("\t"))
    except UnicodeDecodeError as error:
        raise wrong(where, "it is not UTF-8") from error
    if columns == HEADER:
        return None
    if len(columns) != len(HEADER):
        raise wrong(where, f"it has {len(columns)} columns between tabs; query-id, corpus-id and score are wanted")
    query, document, grade = columns
    if not GRADE.fullmatch(grade):
        raise wrong(where, "its score is no whole number")
    return Judgement(query, document, int(grade))


def choose_qrels(names: list[str], where: str) -> str:
    """Return the file of judgements that counts: test.tsv, else the only one.

    Raises:
        UsageError: there is none, or several and none of them is test.tsv.
    """
    if TEST in names:
        return TEST
    if len(names) == 1:
        return names[0]
    if not names:
        raise wrong(where, f"there are no judgements: {QRELS} has no .tsv file")
    raise wrong(where, f"{QRELS} has {len(names)} files and none is {TEST}")
