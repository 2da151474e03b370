"""What ``ml predict`` does with a file: read lines, ask, write answers in their order."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import click

from release_tool.core.escape import one_line
from release_tool.core.ml.answers import SHOWN_FAULTS, Answer, Lines, results_of
from release_tool.core.ml.predict import ONE_AT_A_TIME, Row, RowFault, digest_of, read_row
from release_tool.core.quantity import plural
from release_tool.errors import RemoteFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.core.ml.predict import Wanted
    from release_tool.errors import ReleaseError
    from release_tool.services.cluster.answer_file import AnswerFile
    from release_tool.services.cluster.asking import Turn
    from release_tool.services.cluster.sender import Sender

MAX_LINE_BYTES = 16 * 1024 * 1024
STDIN = "-"
DEFAULT_PARALLEL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A line that is no question."""

    line: int
    raw: str
    why: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """How a run went."""

    asked: int = 0
    kept: int = 0
    """Answers that a run before this one had written."""
    refused: Lines = field(default_factory=Lines)
    """Lines that the server refused, and those that failed in a run before this one."""
    bad: Lines = field(default_factory=Lines)
    """Lines that are no questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One model, asked many times in one way."""

    cluster: Sender
    model_id: str
    wanted: Wanted
    parallel: int
    patience: float
    console: Console

    def answers(self, questions: Iterable[Row | Bad], tally: Tally) -> Iterator[Answer]:
        """Ask, and yield an answer each in their order; count them.

        Raises:
            RemoteFailed: every further question would be refused.
            ServiceUnable, Unreachable: the server went on to say that it can't, or it is gone.
        """
        from release_tool.services.cluster.asking import ask_all

        for turn in ask_all(
            questions, self._send, parallel=self.parallel, patience=self.patience, tell=self._tell_waiting
        ):
            tally.asked += 1
            answer = self._answer(turn)
            if answer.error is not None:
                lines = tally.bad if isinstance(turn.question, Bad) else tally.refused
                lines.add(answer.line)
                if tally.bad.count + tally.refused.count <= SHOWN_FAULTS:
                    self.console.warning(f"line {answer.line}: {answer.error['message']}")
            yield answer

    def _tell_waiting(self, why: str) -> None:
        self.console.warning(f"{why} It is asked again for {self.patience:.0f} s, more slowly.")

    def _send(self, question: Row | Bad) -> Any:
        if isinstance(question, Bad):
            return None
        return self.cluster.once(question.request(self.model_id, self.wanted))

    def _answer(self, turn: Turn) -> Answer:
        question, asked = turn.question, self.digest(turn.question)
        if isinstance(question, Bad):
            return Answer(line=question.line, id=None, asked=asked, error={"message": f"The line {question.why}."})
        if turn.refused is None:
            return self.answer_of(question, turn.reply)
        status = getattr(turn.refused, "status", 0)
        error = {"message": str(turn.refused), "hint": turn.refused.hint, "status": status}
        return Answer(line=question.line, id=question.id, asked=asked, error=error)

    def answer_of(self, question: Row, reply: Any) -> Answer:
        """Return what a reply says to a question."""
        results, asked = results_of(reply), self.digest(question)
        if results is not None:
            return Answer(line=question.line, id=question.id, asked=asked, results=results)
        error = {"message": f"The reply holds no results: {one_line(str(reply))[:300]}"}
        return Answer(line=question.line, id=question.id, asked=asked, error=error)

    def digest(self, question: Row | Bad) -> str:
        """Return what tells a question from any other."""
        return digest_of(self.model_id, question.raw if isinstance(question, Bad) else question, self.wanted)


def at_once(wanted: Wanted, parallel: int | None, console: Console) -> int:
    """Return how many questions are asked at once: one where the server would mix the answers."""
    if wanted.function not in ONE_AT_A_TIME:
        return parallel or DEFAULT_PARALLEL
    if parallel and parallel > 1:
        console.warning(
            f"A node mixes the answers of {wanted.function.value} where two are asked at once: one at a time."
        )
    return 1


def read_questions(stream: IO[bytes], wanted: Wanted, *, plain: bool) -> Iterator[Row | Bad]:
    """Yield the questions of a file, empty lines left out."""
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_LINE_BYTES)
            yield Bad(line=number, raw="", why=f"is longer than {MAX_LINE_BYTES:,} bytes")
        elif raw.strip():
            yield _question(raw, number, wanted, plain=plain)


def _question(raw: bytes, number: int, wanted: Wanted, *, plain: bool) -> Row | Bad:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return Bad(line=number, raw=raw.decode("utf-8", errors="surrogateescape"), why="is no UTF-8")
    try:
        return read_row(text.removeprefix("\ufeff") if number == 1 else text, number, wanted, plain=plain)
    except RowFault as fault:
        return Bad(line=number, raw=text, why=str(fault))


def open_input(path: Path) -> IO[bytes]:
    """Open the file of questions, or stdin.

    Raises:
        UsageError: it can't be read.
    """
    from release_tool.bounded import NotReadable, open_regular

    if str(path) == STDIN:
        if sys.stdin is None:
            raise UsageError("There is no stdin: it is closed.", hint="Name a file.")
        return sys.stdin.buffer
    try:
        return open_regular(path)
    except NotReadable as error:
        raise UsageError(f"{path} can't be read: {error}.", hint="Give a pipe on stdin: --input -") from error
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.", hint="Name another --input.") from error


def to_stdout(run: Run, questions: Iterator[Row | Bad]) -> Tally:
    """Write the answers on stdout, a line of JSON each as soon as it is there; errors as ``Run.answers``."""
    from release_tool.streams import carries

    tally = Tally()
    for answer in run.answers(questions, tally):
        text = answer.text()
        click.echo(text if carries(text) else text.encode("ascii", "backslashreplace"))
    return tally


def to_file(run: Run, questions: Iterator[Row | Bad], file: AnswerFile) -> Tally:
    """Write the answers into a file, after those that a run before this one has left there.

    Raises:
        UsageError: what lies there answers other questions, or the file can't be written.
        as ``Run.answers``: what is answered so far is kept.
    """
    tally = Tally()
    with file:
        tally.kept, tally.refused = file.take_up((question.line, run.digest(question)) for question in questions)
        if tally.kept:
            run.console.info(
                f"{plural(tally.kept, 'answer')} of a run before this one {'is' if tally.kept == 1 else 'are'} kept."
            )
        for answer in run.answers(questions, tally):
            file.write(answer)
        file.finish()
    return tally


def failure_of(tally: Tally, where: str) -> ReleaseError | None:
    """Return the error of a run in which questions failed; null where none did."""
    count = tally.bad.count + tally.refused.count
    if not count:
        return None
    first = sorted(tally.bad.first + tally.refused.first)[:SHOWN_FAULTS]
    some = ", ".join(str(line) for line in first) + (", …" if count > SHOWN_FAULTS else "")
    what = f"{count:,} of {plural(tally.asked + tally.kept, 'question')} got no answer (line {some})"
    hint = f"Their reasons stand {where}; all other answers are there."
    made: type[ReleaseError] = RemoteFailed if tally.refused.count else UsageError
    return made(f"{what}.", hint=hint)
