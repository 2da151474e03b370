"""Time archives as the server would run them: a process each, one thread, the servers' own libraries.

All of them are loaded at once and asked in turn. The processes are started anew for every part of the rounds, so that
where one happens to lie in memory does not decide; each opens only the archive and its config.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from release_tool.core.opensearch import stack_of
from release_tool.errors import MachineError, UsageError, ValidationFailed
from release_tool.packaged import emulator_program
from release_tool.services.runtime_env import RuntimeEnvironment, runtime_environment
from release_tool.services.runtime_ring import (
    CLEAN_VARIABLES,
    SERVER,
    Processes,
    death,
    fatal_error,
    python_with_torch,
)
from release_tool.services.scratch import scratch_folder
from release_tool.services.speed_rounds import Candidate, Found, Rounds, Timed, run_rounds, until_clear
from release_tool.services.stand_in import limits_of, stand_in_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from release_tool.console import Console

STARTS = 3
TIME_LIMIT_SECONDS = 600.0
VARIABLES = {name: value for name, value in CLEAN_VARIABLES.items() if name != "GLIBC_TUNABLES"}
"""As the rings that prove, but with the pages of memory that a server has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """What one archive can be asked."""

    candidate: Candidate
    least: int
    limit: int
    impossible: tuple[int, ...]
    """Lengths between the two of which its tokenizer makes no text."""
    texts: dict[int, tuple[str, str | None]]
    request: dict[str, Any]
    """Of the emulator, for the stage that times."""


class Ring:
    """A folder, an environment, and the processes of one run."""

    def __init__(self, folder: Path, environment: RuntimeEnvironment, console: Console) -> None:
        self.folder = folder
        self.environment = environment
        self.console = console

    def lengths(self, place: int, candidate: Candidate, wanted: Sequence[int]) -> Lengths:
        """Let an archive's own tokenizer make texts of the wanted lengths.

        Raises:
            ValidationFailed: the server would refuse the archive.
        """
        folder = self.folder / str(place)
        folder.mkdir()
        request = {
            "archive": str(candidate.archive.absolute()),
            "config": str(candidate.config_path.absolute()),
            "kind": candidate.kind.value,
            "server": SERVER,
            "lengths": list(wanted),
            "scratch": str(folder),
            "prepared": str(folder / "prepared.npz"),
            "limits": None if self.environment.pinned else limits_of(SERVER),
        }
        processes = Processes(folder, self.console, len(wanted))
        with stand_in_named(self.environment), _named(candidate):
            report = processes.run(
                self.environment.python, {**request, "stage": "lengths"}, isolated=self.environment.pinned
            )
        texts = {int(length): (first, second) for length, (first, second) in report["texts"].items()}
        return Lengths(
            candidate=candidate,
            least=report["least"],
            limit=report["limit"],
            impossible=tuple(report["impossible"]),
            texts=texts,
            request=request,
        )

    def start(self, prepared: Lengths) -> Worker:
        """Start the process that loads an archive and waits to be asked."""
        torch_script = prepared.candidate.torch_script
        python = python_with_torch() if torch_script else self.environment.python
        return Worker(python, prepared.request, isolated=self.environment.pinned and not torch_script)

    def time(
        self, prepared: Sequence[Lengths], lengths: Sequence[int], rounds: int, is_open: Callable[[Found], bool]
    ) -> list[Timed]:
        """Time all archives in turn, each part of the rounds in fresh processes; see ``until_clear``."""
        ready: list[list[dict[str, Any]]] = [[] for _ in prepared]
        peaks = [0 for _ in prepared]
        with self.console.progress("Rounds", rounds) as bar:

            def measure(part: int) -> Found:
                with ExitStack() as stack:
                    workers = [stack.enter_context(self.start(one)) for one in prepared]
                    for place, worker in enumerate(workers):
                        with stand_in_named(self.environment), _named(prepared[place].candidate):
                            ready[place].append(worker.ready())
                    found = run_rounds(workers, lengths, part, bar.advance)
                    peaks[:] = [max(peak, worker.peak()) for peak, worker in zip(peaks, workers, strict=True)]
                return found

            found = until_clear(measure, _parts(rounds, STARTS), is_open)
        return [self._timed(*parts) for parts in zip(prepared, found, ready, peaks, strict=True)]

    def _timed(
        self, prepared: Lengths, rounds: dict[int, Rounds], ready: list[dict[str, Any]], peak_bytes: int
    ) -> Timed:
        notes = []
        if not self.environment.pinned:
            notes.append(f"stand-in, not the servers' versions: {self.environment.reason}")
        if prepared.candidate.torch_script:
            torch, libtorch = ready[0]["versions"]["torch"], stack_of(SERVER).libtorch
            notes.append(f"TorchScript ran in torch {torch}; OpenSearch {SERVER} has libtorch {libtorch}")
        return Timed(
            rounds=rounds,
            load_seconds=median(one["load_seconds"] for one in ready),
            starts=len(ready),
            loaded_bytes=max(one["loaded_bytes"] for one in ready),
            peak_bytes=peak_bytes,
            versions=ready[0]["versions"],
            pinned=self.environment.pinned,
            note="; ".join(notes) or None,
        )


def _parts(rounds: int, starts: int) -> list[int]:
    """Divide the rounds over the starts, as evenly as it goes."""
    return [part for place in range(starts) if (part := rounds // starts + (place < rounds % starts))]


@contextmanager
def _named(candidate: Candidate) -> Iterator[None]:
    """Say which archive a refusal is about."""
    try:
        yield
    except ValidationFailed as error:
        raise ValidationFailed(f"{candidate.archive.name}: {error}", hint=error.hint) from error


class Worker:
    """One process that holds a loaded model."""

    def __init__(self, python: Path, request: dict[str, Any], *, isolated: bool) -> None:
        folder = Path(request["scratch"])
        self.report, self.said = folder / "report-time.json", folder / "stderr-time.txt"
        self.report.unlink(missing_ok=True)
        path = folder / "request-time.json"
        path.write_text(json.dumps({**request, "stage": "time", "report": str(self.report)}), encoding="utf-8")
        switches = ["-I"] if isolated else ["-P"]
        self.late = threading.Event()
        with self.said.open("wb") as stderr:
            self.child = subprocess.Popen(
                [str(python), *switches, "-B", "-X", "utf8", str(emulator_program()), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **VARIABLES},
                cwd=folder,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing of it is wanted any more, and taking a runtime apart takes time.
        self.child.kill()
        self.child.communicate()

    def ready(self) -> dict[str, Any]:
        """Wait until the model is loaded and has answered each length once.

        Raises:
            ValidationFailed: the server would refuse the archive, or it does not answer.
            MachineError: no memory, no time.
        """
        facts: dict[str, Any] = json.loads(self._line("ready"))
        return facts

    def ask(self, place: int, count: int) -> list[float]:
        """Return the milliseconds of some answers; errors as in ``ready``."""
        return [int(number) / 1e6 for number in self._exchange(f"ask {place} {count}", "took").split()]

    def peak(self) -> int:
        """Return the largest resident memory that the process has had; errors as in ``ready``."""
        return int(self._exchange("peak", "peak"))

    def _exchange(self, line: str, word: str) -> str:
        try:
            print(line, file=self.child.stdin, flush=True)
        except OSError:
            raise self._ended() from None
        return self._line(word)

    def _line(self, word: str) -> str:
        timer = threading.Timer(TIME_LIMIT_SECONDS, self._stop)
        timer.daemon = True
        timer.start()
        try:
            # Libraries may write to stdout, too.
            for line in self.child.stdout or ():
                if line.startswith(f"{word} "):
                    return line.removeprefix(word)
        finally:
            timer.cancel()
        raise self._ended()

    def _stop(self) -> None:
        self.late.set()
        self.child.kill()

    def _ended(self) -> Exception:
        code = self.child.wait()
        if self.late.is_set():
            return MachineError(
                f"The model did not answer within {TIME_LIMIT_SECONDS:.0f} s.", hint="Run on a faster machine."
            )
        if self.report.is_file():
            fatal = json.loads(self.report.read_text(encoding="utf-8"))["fatal"]
            if fatal:
                return fatal_error(fatal)
        return death(code, self.said)


def choose_lengths(prepared: Sequence[Lengths], wanted: Sequence[int], *, named: bool) -> tuple[int, ...]:
    """Return the lengths that every archive can be asked.

    Args:
        prepared: what each archive can be asked.
        wanted: lengths in tokens.
        named: a person named them, so that each is needed; else those above a model's limit are left out.

    Raises:
        UsageError: a length is above a limit, below the least, or no text has it; or none is left.
    """
    chosen = []
    for length in wanted:
        reason = next((reason for one in prepared if (reason := _impossible(one, length))), None)
        if reason is None:
            chosen.append(length)
        elif named:
            raise UsageError(reason, hint="Name other lengths with --lengths.")
    if not chosen:
        lengths = ", ".join(map(str, wanted))
        raise UsageError(
            f"No archive can be asked inputs of {lengths} tokens.", hint="Name lengths of its own with --lengths."
        )
    return tuple(chosen)


def _impossible(one: Lengths, length: int) -> str | None:
    name = one.candidate.archive.name
    if length > one.limit:
        return f"{name} takes {one.limit} tokens at most, {length} were asked for."
    if length <= one.least:
        return f"{name} has inputs of {one.least + 1} tokens at least, {length} were asked for."
    return f"The tokenizer of {name} makes no text of exactly {length} tokens." if length in one.impossible else None


@contextmanager
def open_ring(cache: Path, console: Console) -> Iterator[Ring]:
    """Open a ring in the cache, with the servers' environment; its folder is gone afterwards."""
    environment = runtime_environment(cache, console=console)
    with scratch_folder(cache / "scratch") as folder:
        yield Ring(folder, environment, console)
