"""The file of a run's answers, a line each in the order of the questions, written so that a killed run goes on.

Promises: until the last answer is there the file is called ``NAME.part``; each line in it is whole but the last one,
which a kill may have torn and the next run cuts off; a run goes on only where the lines that are there answer the very
questions that it would ask; two runs never write into one file.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import IO, TYPE_CHECKING, Self

from release_tool.core.escape import one_line
from release_tool.core.ml.answers import Lines, read_written
from release_tool.documents import disk_error
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.ml.answers import Answer


class AnswerFile:
    """Takes answers in order; use it in a ``with``."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.overwrite = overwrite
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Open the part and keep others from it.

        Raises:
            UsageError: the file is there already, can't be written to, or another run writes it.
        """
        if self.path.exists() and not self.overwrite:
            raise UsageError(
                f"{self.path} is there already.", hint="Name another --output, or replace it with --overwrite."
            )
        try:
            handle = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise UsageError(
                f"{self.part} can't be written: {error.strerror}.", hint="Name another --output."
            ) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise UsageError(f"{self.part} is no regular file.", hint="Name another --output.")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise UsageError(
                f"Another run writes {self.part}.", hint="Wait for it, or name another --output."
            ) from error
        self._stream = os.fdopen(handle, "r+b")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def stream(self) -> IO[bytes]:
        """The open part."""
        if self._stream is None:
            raise RuntimeError("the file of answers is not open")
        return self._stream

    def take_up(self, questions: Iterator[tuple[int, str]]) -> tuple[int, Lines]:
        """Skip the questions that are answered; the next answer goes after them.

        Returns how many they are, and which lines of the input among them failed.

        Args:
            questions: line of the input and digest of each question; just those that are answered are taken.

        Raises:
            UsageError: the lines that are there answer other questions.
        """
        kept = done = 0
        failed = Lines()
        for raw in self.stream:
            if not raw.endswith(b"\n"):
                break
            written = read_written(raw.decode("utf-8", errors="replace"))
            if written is None or next(questions, None) != (written.line, written.asked):
                raise UsageError(
                    f"{self.part} answers other questions than these (its line {done + 1}).",
                    hint="Another model, other options or another input: name another --output, or delete that file.",
                )
            kept, done = kept + len(raw), done + 1
            if written.failed:
                failed.add(written.line)
        self.stream.seek(kept)
        self.stream.truncate()
        return done, failed

    def write(self, answer: Answer) -> None:
        """Append one answer; whoever kills the run from now on loses none of it.

        Raises:
            MachineError: the disk is full.
        """
        try:
            self.stream.write(answer.text().encode() + b"\n")
            self.stream.flush()
        except OSError as error:
            raise disk_error(error, self.part) from error

    def finish(self) -> None:
        """Give the file its name: every question is answered.

        Raises:
            MachineError: the disk is full.
            UsageError: the name was taken meanwhile by something that can't be replaced.
        """
        try:
            os.fsync(self.stream.fileno())
        except OSError as error:
            raise disk_error(error, self.part) from error
        try:
            self.part.replace(self.path)
        except OSError as error:
            raise UsageError(
                f"{self.path} can't be written: {one_line(str(error.strerror))}.",
                hint=f"The answers lie in {self.part}.",
            ) from error
