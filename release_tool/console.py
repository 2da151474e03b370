"""Everything that people read while a step runs: headings, progress, warnings, errors, annotations.

Promises: stdout carries results only, stderr everything else; text that came from a model, a card or a server is
escaped before it reaches a terminal, an annotation or a table; bars appear only where stderr is a terminal.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from release_tool.core.escape import annotation, annotation_property, log_text, plain, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BAR_WIDTH = 28
REDRAW_SECONDS = 0.1


class Console:
    """Talks on stderr; knows whether it runs under GitHub Actions."""

    def __init__(
        self, *, stream: IO[str] | None = None, env: Mapping[str, str] | None = None, verbosity: int = 0
    ) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.env = os.environ if env is None else env
        self.verbosity = verbosity
        self.actions = self.env.get("GITHUB_ACTIONS") == "true"
        self.terminal = bool(getattr(self.stream, "isatty", bool)()) and not self.actions
        wants = self.env.get("FORCE_COLOR") or (self.terminal and self.env.get("TERM") != "dumb")
        self.colour = bool(wants) and not self.env.get("NO_COLOR")

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def line(self, text: str) -> None:
        """Write one raw line: the caller has escaped it."""
        self.stream.write(text + "\n")
        self.stream.flush()

    def info(self, text: str) -> None:
        """Say what happens; silent with -q."""
        if self.verbosity >= 0:
            self.line(log_text(text))

    def debug(self, text: str) -> None:
        """Say more; only with -v."""
        if self.verbosity > 0:
            self.line(self._paint(log_text(text), "2"))

    def warning(self, text: str, *, title: str = "release-tool") -> None:
        """Warn; an annotation under Actions. Very long names are cut."""
        text = shortened(text)
        if self.actions:
            self.line(f"::warning title={annotation_property(title)}::{annotation(text)}")
        else:
            self.line(self._paint("warning: ", "33") + log_text(text))

    def error(self, text: str, hint: str, *, title: str = "release-tool") -> None:
        """Print an error and its hint; an annotation under Actions too. Very long names are cut."""
        text, hint = shortened(text), shortened(hint)
        self.line(self._paint("error: ", "31;1") + log_text(text))
        self.line(self._paint("hint: ", "36") + log_text(hint))
        if self.actions:
            self.line(f"::error title={annotation_property(title)}::{annotation(text)} {annotation(hint)}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Head a part of the work: a fold group under Actions, a heading and the time taken elsewhere."""
        started = time.monotonic()
        if self.actions:
            self.line(f"::group::{annotation(title)}")
        elif self.verbosity >= 0:
            self.line(self._paint(log_text(title), "1"))
        try:
            yield
        finally:
            taken = time.monotonic() - started
            if self.verbosity >= 0:
                self.line(self._paint(f"  {taken:.1f} s", "2"))
            if self.actions:
                self.line("::endgroup::")

    @contextmanager
    def progress(self, title: str, total: int, unit: str = "") -> Iterator[Progress]:
        """Show a bar on a terminal, nothing elsewhere."""
        bar = Progress(self, title, total, unit)
        try:
            yield bar
        finally:
            bar.close()

    def summary(self, markdown: str, *, whole: str = "") -> None:
        """Append to the step summary under Actions; the caller has escaped what models wrote.

        GitHub drops a summary that is too large as a whole. Of such a one the beginning is written.

        Args:
            markdown: the text.
            whole: where the whole of it is, for the reader of a beginning; a sentence.
        """
        path = self.env.get("GITHUB_STEP_SUMMARY")
        if path:
            from release_tool.core.beginning import MAX_SUMMARY_BYTES, beginning

            try:
                with open(path, "ab") as stream:  # noqa: PTH123 - named by Actions
                    room = MAX_SUMMARY_BYTES - stream.tell()
                    text = beginning(markdown.rstrip("\n") + "\n", room, whole)
                    stream.write(text.encode())
            except OSError as error:  # the step itself has succeeded
                self.warning(f"The step summary can't be written: {error.strerror}.")
                return
            if len(text.encode()) < len(markdown.encode()):
                self.warning(f"The step summary is too large for GitHub and was cut. {whole}".rstrip())

    def outputs(self, values: Mapping[str, str]) -> None:
        """Append to the outputs of the step under Actions; a value may hold anything.

        Raises:
            OSError: it can't be written; the jobs that need the outputs would go wrong.
        """
        path = self.env.get("GITHUB_OUTPUT")
        if path:
            # Nobody who wrote a value can know the mark that ends it.
            mark = os.urandom(16).hex()
            with open(path, "a", encoding="utf-8") as stream:  # noqa: PTH123 - named by Actions
                stream.writelines(f"{name}<<{mark}\n{value}\n{mark}\n" for name, value in values.items())


class Progress:
    """A bar of known length; ``advance`` is cheap when there is no terminal."""

    def __init__(self, console: Console, title: str, total: int, unit: str) -> None:
        self.console = console
        self.title = plain(title)
        self.total = max(total, 1)
        self.unit = unit
        self.done = 0
        self.drawn = 0.0
        self.shown = console.terminal and console.verbosity >= 0

    def advance(self, amount: int = 1) -> None:
        """Count work done and redraw now and then."""
        self.set(self.done + amount)

    def set(self, done: int) -> None:
        """Say how much is done in all."""
        self.done = done
        now = time.monotonic()
        if self.shown and (now - self.drawn > REDRAW_SECONDS or done >= self.total):
            self.drawn = now
            filled = int(BAR_WIDTH * min(1.0, done / self.total))
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            self.console.stream.write(f"\r  {self.title} {bar} {self._amount()}\x1b[K")
            self.console.stream.flush()

    def reach(self, done: int, total: int) -> None:
        """Say how much is done in all, and of how much, as a child process tells it."""
        self.total = max(total, 1)
        self.set(done)

    def _amount(self) -> str:
        if self.unit == "B":
            return f"{self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
        return f"{self.done} of {self.total} {self.unit}".rstrip()

    def close(self) -> None:
        """End the line of the bar."""
        if self.shown:
            self.console.stream.write("\r\x1b[K")
            self.console.stream.flush()
