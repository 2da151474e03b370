"""Work that loads a model runs in a process of its own, without credentials, and reports in JSON lines.

A child prints one JSON object a line on stdout: ``{"event": "progress", "done": 3, "total": 9}``,
``{"event": "note", "text": ...}`` for who asks for more, ``{"event": "said", "text": ...}`` for everybody,
``{"event": "warning", "text": ...}`` or, when it fails,
``{"event": "error", "class": ..., "message": ..., "hint": ...}``, which the parent raises as the same class. The child
has no network (offline switches are set), no tokens and no cloud credentials in its environment, and a fixed hash
seed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from release_tool import errors
from release_tool.core.escape import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from release_tool.console import Console

_PR_SET_PDEATHSIG = 1

STARTING = "release_tool.models.starting"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Export, oracle and rings work side by side: more threads than cores wait for each other in OpenMP's spin locks (24 s
of CPU instead of 11 for a BERT base), and sums differ by the number of threads."""

MAX_CAUSE = 300
SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "API_KEY", "ACCESS_KEY")
SECRET_PREFIXES = ("AWS_", "ACTIONS_", "GITHUB_", "JENKINS_")
DEVICES = "CUDA_VISIBLE_DEVICES"


def clean_environment(env: Mapping[str, str], *, gpu: bool = False) -> dict[str, str]:
    """Return the environment for a process that runs a model: no secret, no hub, one fixed hash seed.

    Args:
        env: of this process.
        gpu: let it see the GPUs that this process sees; else it sees none.
    """
    kept = {
        name: value
        for name, value in env.items()
        if not name.startswith(SECRET_PREFIXES) and not any(word in name.upper() for word in SECRET_WORDS)
    }
    kept |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": kept.get("PYTHONDONTWRITEBYTECODE", ""),
    }
    return kept if gpu else kept | {DEVICES: ""}


@dataclass
class Worker:
    """A running child; ``wait`` reads its events to the end."""

    name: str
    process: subprocess.Popen[str]

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the child's events as they come; anything else that it prints is a note."""
        stream = self.process.stdout
        if stream is None:
            return
        for line in stream:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                event = None
            if isinstance(event, dict) and "event" in event:
                yield event
            elif line.strip():
                yield {"event": "note", "text": line.rstrip("\n")}

    def wait(
        self,
        console: Console,
        progress: Callable[[int, int], None] | None = None,
        result: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """Read events until the child ends; tell those of other kinds (its results) as they come, and return them.

        Raises:
            ReleaseError: the error that the child reported, as the same class.
            MachineError: the child was killed by the system.
        """
        results: list[dict[str, Any]] = []
        failure: dict[str, Any] | None = None
        for event in self.events():
            match event["event"]:
                case "progress" if progress is not None:
                    progress(int(event["done"]), int(event["total"]))
                case "progress":
                    pass
                case "note":
                    console.debug(f"{self.name}: {event.get('text', '')}")
                case "said":
                    console.info(str(event.get("text", "")))
                case "warning":
                    console.warning(str(event.get("text", "")))
                case "error":
                    failure = event
                case _:
                    results.append(event)
                    result(event)
        code = self.process.wait()
        if failure is not None:
            raise _as_error(failure)
        if code != 0:
            raise _died(self.name, code)
        return results

    def begin(self, arguments: Sequence[str]) -> None:
        """Give the arguments to a child that was started ahead of its work; one that died says so in ``wait``."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps(list(arguments)) + "\n")
                self.process.stdin.close()

    def stop(self) -> None:
        """Kill the child if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def start(
    name: str,
    module: str,
    arguments: Sequence[str] | None,
    *,
    lean: bool = False,
    debug: bool = False,
    gpu: bool = False,
    processes: int = 0,
) -> Worker:
    """Start a module's ``main`` as a child; its stderr is ours, its stdout carries events.

    Args:
        name: for messages.
        module: has ``main(arguments)``.
        arguments: null starts it ahead of its work: it imports the module and waits for ``Worker.begin``.
        lean: import torch and transformers without their compilers (``release_tool.models.lean``).
        debug: let it print its traces.
        gpu: let it see the GPUs that there are.
        processes: that torchrun starts of it, all of them reporting on one stdout; 0: one, without torchrun.
    """
    how = [*(["--lean"] if lean else []), *(["--ahead"] if arguments is None else [])]
    runner = [*TORCHRUN, f"--nproc-per-node={processes}"] if processes else []
    command = [sys.executable, "-P", *runner, "-m", STARTING, *how, module, *(arguments or ())]
    # torchrun starts its children without -P; the variable says the same to all of them.
    env = clean_environment(os.environ, gpu=gpu) | ONE_THREAD | ({"PYTHONSAFEPATH": "1"} if processes else {})
    env["RELEASE_TOOL_DEBUG"] = "1" if debug else ""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE if arguments is None else subprocess.DEVNULL,
        text=True,
        env=env,
        preexec_fn=partial(_belong_to, os.getpid()),  # noqa: PLW1509 - system calls, nothing that a thread could hold
    )
    return Worker(name=name, process=process)


def _belong_to(parent: int) -> None:
    """Leave the terminal's interrupt to the parent, which stops this child; and end when the parent dies.

    An orphan would go on writing into the work folder. A parent that died before the kernel was told gives no signal
    any more, therefore the question at the end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _as_error(event: dict[str, Any]) -> errors.ReleaseError:
    cls = getattr(errors, str(event.get("class")), errors.ExportError)
    if not (isinstance(cls, type) and issubclass(cls, errors.ReleaseError)):
        cls = errors.ExportError
    error = cls.__new__(cls)
    errors.ReleaseError.__init__(error, str(event.get("message")), hint=event.get("hint"))
    return error


def _died(name: str, code: int) -> errors.ReleaseError:
    if code == -signal.SIGKILL:
        return errors.MachineError(
            f"The {name} process was killed, most likely for want of memory.",
            hint="Free memory (a model needs about twice its size) and run the step again.",
        )
    if code < 0:
        return errors.MachineError(f"The {name} process died of signal {signal.Signals(-code).name}.")
    return errors.ExportError(f"The {name} process ended with code {code}.", hint="Run again with --debug.")


def report(event: str, **values: Any) -> None:
    """Print one event; called in the child."""
    sys.stdout.write(json.dumps({"event": event, **values}, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def cause(error: BaseException) -> str:
    """Return what a library raised on one line: its kind, and the first line that says something.

    Libraries raise KeyError('foo') and assertions without a word, and C++ ends its messages with its stack.
    """
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return one_line(f"{type(error).__name__}: {said}" if said else type(error).__name__)[:MAX_CAUSE]


def run_child(work: Callable[[], None]) -> int:
    """Run the child's work and report a known error as an event; return the exit code."""
    try:
        work()
    except errors.ReleaseError as error:
        if os.environ.get("RELEASE_TOOL_DEBUG"):
            traceback.print_exc()
        report("error", **{"class": type(error).__name__}, message=str(error), hint=error.hint)
        return error.exit_code
    except MemoryError:
        report("error", **{"class": "MachineError"}, message="Not enough memory for this model.", hint="Free memory.")
        return errors.MachineError.exit_code
    except BrokenPipeError:
        os._exit(errors.MachineError.exit_code)  # whom it would be reported to is gone
    except OSError as error:
        report("error", **{"class": "MachineError"}, message=f"The system refused: {one_line(str(error))}",
               hint="Check disk space and permissions, then run the step again.")  # fmt: skip
        return errors.MachineError.exit_code
    except Exception as error:  # noqa: BLE001 - what a model makes the libraries raise has no end
        if os.environ.get("RELEASE_TOOL_DEBUG"):
            traceback.print_exc()
        report("error", **{"class": "ExportError"}, message=f"The libraries can't work with this model: {cause(error)}",
               hint="Look at its config.json and at --model-init-kwargs; --debug shows the trace.")  # fmt: skip
        return errors.ExportError.exit_code
    return 0
