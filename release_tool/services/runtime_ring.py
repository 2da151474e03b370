"""Ask an archive the probes in fresh processes that do what the server does; torch is never imported here.

ONNX archives and sparse tokenizers are answered by one process in the environment with the servers' versions;
TorchScript by two: tokens there, the graph in the Python that has torch. Each process opens only the archive and its
config.json. What a server would refuse when it registers or deploys ends here as ``ValidationFailed``; a probe that
it would refuse is an entry of ``errors``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import Format, ModelKind
from release_tool.core.opensearch import stack_of
from release_tool.errors import MachineError, MissingExtra, ValidationFailed
from release_tool.packaged import emulator_program
from release_tool.services.ring_processes import Running
from release_tool.services.runtime_env import RuntimeEnvironment, legacy_environment, runtime_environment
from release_tool.services.scratch import scratch_folder
from release_tool.services.stand_in import limits_of, stand_in_named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from release_tool.console import Console
    from release_tool.core.probes import Probe

SERVER = "3.6"
"""OpenSearch whose translators are emulated: the newest that a real node has confirmed."""
LEGACY_SERVER = "2.19"
TIME_LIMIT_SECONDS = 1800.0
LAST_CHARACTERS = 400

CLEAN_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "TOKENIZERS_PARALLELISM": "false",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""One thread as the server sets it, no GPU: the answers must not depend on the machine.

Weights lie in pages of 2 MiB where the kernel leaves that to the program: a model is loaded in half of the time. Other
C libraries don't read that variable.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingAnswers:
    """What one archive answered in the runtime ring, in the order of the probes."""

    arrays: dict[str, Any]
    """Name → numpy array, the shared format of answers of the kind."""
    texts: tuple[str | None, ...]
    """Question answering: the answers' texts; null otherwise."""
    errors: dict[str, str]
    """Probe id → the runtime's words; its row is NaN or empty."""
    versions: dict[str, str]
    pinned: bool
    """True when tokenizers and, for ONNX, onnxruntime (``legacy``: torch) are the servers' own versions."""
    note: str | None
    """Why not pinned, and whatever else a reader of the proof must know."""
    dimension: int | None
    """Dense: length of the embedding, measured."""
    inputs: tuple[str, ...] | None = None
    """ONNX: names of the graph's inputs."""
    outputs: tuple[dict[str, Any], ...] = ()
    """Name, dtype, rank and shape of each output for the server's warm-up text."""
    collisions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Sparse: probe id → active tokens that WORD format loses (``shared`` words, ``special`` tokens)."""
    peak_bytes: int = 0
    """Largest resident memory of a process."""


def answer(  # noqa: D417 - the dataclass says what comes back
    archive: Path,
    config: Path,
    probes: Sequence[Probe],
    kind: ModelKind,
    *,
    console: Console,
    cache: Path,
    legacy: bool = False,
    scratch: Path | None = None,
    environment: RuntimeEnvironment | None = None,
    time_limit: float = TIME_LIMIT_SECONDS,
    running: Running | None = None,
) -> RingAnswers:
    """Ask an archive all probes as the server would.

    Args:
        archive: the zip; its config.json need not lie beside it.
        legacy: answer as OpenSearch 2.19 does, with torch 1.13.1.
        scratch: parent of the temporary folder, by default in the cache.
        environment: a Python with onnxruntime and tokenizers, by default made or found.
        time_limit: seconds for each process.
        running: counts the processes in, so that another thread can end them.

    Raises:
        ValidationFailed: the server would not register or deploy it, or clients would not find what they read.
        MachineError: no memory, no time, no environment for ``legacy``.
        MissingExtra: torch, onnxruntime or tokenizers are not installed.
    """
    torch_script = kind is not ModelKind.SPARSE_TOKENIZER and is_torch_script(config)
    untokenized = kind is ModelKind.METRICS_CORRELATION
    if environment is None and untokenized and not legacy:
        # Nothing but torch answers, and that is the installed one for every kind.
        environment = RuntimeEnvironment(python=python_with_torch(), pinned=True, versions={})
    if environment is None:
        make = legacy_environment if legacy and torch_script else runtime_environment
        environment = make(cache, console=console)
    with scratch_folder(scratch or cache / "scratch") as folder, stand_in_named(environment):
        request = {
            "archive": str(archive.absolute()),
            "config": str(config.absolute()),
            "kind": kind.value,
            "server": LEGACY_SERVER if legacy else SERVER,
            "probes": [_as_data(probe) for probe in probes],
            "scratch": str(folder),
            "answers": str(folder / "answers.npz"),
            "prepared": str(folder / "prepared.npz"),
            "limits": None if environment.pinned else limits_of(LEGACY_SERVER if legacy else SERVER),
        }
        process = Processes(folder, console, len(probes), time_limit, running)
        if torch_script:
            torch_python = environment.python if legacy else python_with_torch()
            first = {"peak_bytes": 0}
            if not untokenized:
                first = process.run(environment.python, {**request, "stage": "tokenize"}, isolated=environment.pinned)
            report = process.run(torch_python, {**request, "stage": "infer"}, isolated=legacy)
            report["peak_bytes"] = max(first["peak_bytes"], report["peak_bytes"])
        else:
            report = process.run(environment.python, {**request, "stage": "all"}, isolated=environment.pinned)
        return _answers(report, folder / "answers.npz", environment, torch_script=torch_script, legacy=legacy)


def is_torch_script(config: Path) -> bool:
    """Tell the format by the register request."""
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
        return str(data.get("model_format", "")).lower() == Format.TORCH_SCRIPT.value
    except (OSError, ValueError, AttributeError):
        return False  # The emulator says what is wrong with it.


def _as_data(probe: Probe) -> dict[str, Any]:
    role = probe.role.value if probe.role else None
    return {"id": probe.id, "text": probe.text, "second": probe.second, "role": role, "series": probe.series}


def python_with_torch() -> Path:
    """Return the Python that runs TorchScript: this one."""
    if find_spec("torch") is None:
        raise MissingExtra("trace", "torch")
    return Path(sys.executable)


class Processes:
    """Runs the emulator's stages, one after the other."""

    def __init__(
        self,
        folder: Path,
        console: Console,
        probes: int,
        time_limit: float = TIME_LIMIT_SECONDS,
        running: Running | None = None,
    ) -> None:
        self.folder = folder
        self.running = running or Running()
        self.console = console
        self.probes = probes
        self.time_limit = time_limit

    def run(self, python: Path, request: dict[str, Any], *, isolated: bool) -> dict[str, Any]:
        """Run one stage in a fresh process and return its report."""
        stage = request["stage"]
        report = self.folder / f"report-{stage}.json"
        path = self.folder / f"request-{stage}.json"
        path.write_text(json.dumps({**request, "report": str(report)}), encoding="utf-8")
        # -I would hide packages of the user's own folder, where the installed torch may be.
        switches = ["-I"] if isolated else ["-P"]
        command = [str(python), *switches, "-B", "-X", "utf8", str(emulator_program()), str(path)]
        said = self.folder / f"stderr-{stage}.txt"
        with said.open("wb") as stream, self.console.progress("Probes", self.probes) as bar:
            code, late = self._wait(command, stream, bar.set)
        if late:
            raise MachineError(
                f"The runtime did not answer all probes within {self.time_limit:.0f} s.",
                hint="Run on a quieter or faster machine, or with fewer probes (--probes FILE).",
            )
        if code != 0 or not report.is_file():
            raise death(code, said)
        result: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        if result["fatal"]:
            raise fatal_error(result["fatal"])
        return result

    def _wait(self, command: list[str], stderr: Any, advance: Callable[[int], None]) -> tuple[int, bool]:
        late = threading.Event()
        with (
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **CLEAN_VARIABLES},
                cwd=self.folder,
            ) as child,
            self.running.holding(child),
        ):

            def stop() -> None:
                late.set()
                child.kill()

            timer = threading.Timer(self.time_limit, stop)
            timer.daemon = True
            timer.start()
            try:
                for line in child.stdout or ():
                    if line.startswith("probe "):
                        with contextlib.suppress(ValueError):
                            advance(int(line.split()[1]))
                code = child.wait()
            except BaseException:
                child.kill()
                raise
            finally:
                timer.cancel()
        return code, late.is_set()


def fatal_error(fatal: dict[str, str]) -> Exception:
    """Return the error of what a report calls fatal."""
    message = fatal["message"]
    match fatal["why"]:
        case "memory":
            return MachineError(f"The runtime: {message}.", hint="Run on a machine with more memory.")
        case "contract":
            return ValidationFailed(
                f"The archive does not keep the serving contract: {message}",
                hint="Trace it again; an archive made elsewhere has to be corrected where it was made.",
            )
        case _:
            return ValidationFailed(
                f"The server would refuse the archive: {message}",
                hint="release-tool compat ARCHIVE says on which versions it deploys, and what to do.",
            )


def death(code: int, said: Path) -> Exception:
    """Return the error of a process that ended without a report."""
    words = said.read_text(encoding="utf-8", errors="replace").strip()[-LAST_CHARACTERS:]
    if code == -signal.SIGKILL:
        return MachineError(
            "The process of the runtime was killed; most often the machine was out of memory.",
            hint="Run on a machine with more memory, or end what else runs.",
        )
    if code < 0:
        name = signal.Signals(-code).name
        return ValidationFailed(
            f"The runtime crashed with {name}: {words or 'it said nothing'}",
            hint="A server would crash in the same way; do not publish this archive.",
        )
    return MachineError(
        f"The emulator of the server ended with {code}: {words or 'it said nothing'}",
        hint="The environment may be broken: remove the folder environments in the cache and run again.",
    )


def _answers(
    report: dict[str, Any], path: Path, environment: RuntimeEnvironment, *, torch_script: bool, legacy: bool
) -> RingAnswers:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    notes = list(report["notes"])
    if not environment.pinned:
        notes.insert(0, f"stand-in, not the servers' versions: {environment.reason}")
    if torch_script and not legacy:
        libtorch = stack_of(SERVER).libtorch
        torch = report["versions"]["torch"]
        notes.append(f"TorchScript ran in torch {torch}; OpenSearch {SERVER} has libtorch {libtorch}")
    if legacy and not torch_script:
        notes.append(f"onnxruntime and tokenizers of OpenSearch {LEGACY_SERVER} are those of {SERVER}")
    return RingAnswers(
        arrays=arrays,
        texts=tuple(report["texts"]),
        errors=report["errors"],
        versions=report["versions"],
        pinned=environment.pinned,
        note="; ".join(notes) or None,
        dimension=report["dimension"],
        inputs=None if report["inputs"] is None else tuple(report["inputs"]),
        outputs=tuple(report["outputs"]),
        collisions=report["collisions"],
        peak_bytes=report["peak_bytes"],
    )
