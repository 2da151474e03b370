"""The files of batches, among the paid answers: questions that were sent, and under which ids.

``batch-<digest>.jsonl`` holds questions, ``batch-<digest>.json`` the ids that a service gave it, and
``batch-<digest>.answers.jsonl`` is where somebody else may put the answers. All three go when the answers are stored.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import DocumentFault, decode_text, encode_text
from release_tool.documents import write_atomic
from release_tool.errors import IntegrityError
from release_tool.part_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from release_tool.core.finetune.writing import Question, Questions

MAX_QUESTIONS = 50_000
MAX_BYTES = 90_000_000
"""Of a file: half of what OpenAI takes, for it is sent out of memory."""
MAX_LINE = 16 << 20
DIGEST_SIGNS = 16
FURTHER = frozenset(str(attempt) for attempt in range(1, 100))
"""Numbers of further answers; a recipe allows fewer."""


def custom_id(name: str, attempt: int) -> str:
    """Return what a question is called in a batch: its id, letters and digits alone; otherwise each further time."""
    return f"{name}-{attempt}" if attempt else name


def asked_as(called: Any) -> tuple[str, int]:
    """Return question and attempt of what ``custom_id`` made; a question that nobody asks for anything else."""
    name, _, attempt = called.partition("-") if isinstance(called, str) else ("", "", "")
    number = int(attempt) if attempt in FURTHER else 0
    return (name, number) if called == custom_id(name, number) else ("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """What a service calls a file and its batch; "" while it does not know them."""

    file_id: str = ""
    batch_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One batch file."""

    path: Path
    file_id: str = ""
    batch_id: str = ""

    @property
    def ids(self) -> Path:
        """The file with the ids."""
        return self.path.with_suffix(".json")

    @property
    def answers(self) -> Path:
        """The file of answers that somebody else may write."""
        return self.path.with_suffix(".answers.jsonl")


@dataclass(frozen=True, slots=True)
class BatchFiles:
    """All batch files of one provider."""

    folder: Path

    def open(self) -> list[Sent]:
        """Return the batches whose answers are not stored yet, in the order of their names.

        Raises:
            IntegrityError: a file with ids can't be read.
        """
        found = []
        for path in sorted(self.folder.glob("batch-*.jsonl")):
            if path.name.endswith(".answers.jsonl"):
                continue
            sent = Sent(path=path)
            if sent.ids.is_file():
                try:
                    ids = decode_text(Ids, sent.ids.read_text(encoding="utf-8"))
                except (DocumentFault, UnicodeDecodeError) as error:
                    raise IntegrityError(
                        f"{sent.ids.name} can't be read: {error}", hint="Remove it to send that batch again."
                    ) from error
                sent = replace(sent, file_id=ids.file_id, batch_id=ids.batch_id)
            if sent.batch_id or sent.file_id or sent.answers.is_file():
                found.append(sent)
            else:
                path.unlink()  # never sent: what is asked now is written anew
        return found

    def write(
        self, questions: Questions, wanted: Mapping[str, str], body_of: Callable[[Question], dict[str, Any]], url: str
    ) -> Iterator[Sent]:
        """Write questions into as few files as may be, and yield each.

        Args:
            questions: all of them.
            wanted: id → what it is called in the file, of those that are sent.
            body_of: makes the body of a request.
            url: that the requests are for.

        Raises:
            MachineError: the disk is full.
        """
        held: list[bytes] = []
        size = 0
        for one in questions:
            if one.id not in wanted:
                continue
            row = {"custom_id": wanted[one.id], "method": "POST", "url": url, "body": body_of(one)}
            line = json.dumps(row, ensure_ascii=True, allow_nan=False).encode() + b"\n"
            if held and (len(held) == MAX_QUESTIONS or size + len(line) > MAX_BYTES):
                yield self._write(held)
                held, size = [], 0
            held.append(line)
            size += len(line)
        if held:
            yield self._write(held)

    def _write(self, lines: list[bytes]) -> Sent:
        digest = hashlib.sha256(b"".join(lines)).hexdigest()[:DIGEST_SIGNS]
        path = self.folder / f"batch-{digest}.jsonl"
        with whole_file(path) as stream:
            stream.writelines(lines)
        return Sent(path=path)

    def note(self, sent: Sent, *, file_id: str, batch_id: str = "") -> Sent:
        """Write down the ids before anything is waited for."""
        sent = replace(sent, file_id=file_id, batch_id=batch_id)
        write_atomic(sent.ids, encode_text(Ids(file_id=sent.file_id, batch_id=sent.batch_id)))
        return sent

    def answers_beside(self, sent: Sent) -> Path | None:
        """Return the file of answers that somebody else wrote, if there is one."""
        return sent.answers if sent.answers.is_file() else None

    def lines(self, path: Path) -> Iterator[bytes]:
        """Yield the lines of a file of answers; those that are too long are passed over."""
        with path.open("rb") as stream:
            while line := stream.readline(MAX_LINE + 1):
                if len(line) <= MAX_LINE:
                    yield line

    def done(self, sent: Sent) -> None:
        """Remove a batch's files; its answers are stored."""
        for path in (sent.answers, sent.path, sent.ids):
            path.unlink(missing_ok=True)
