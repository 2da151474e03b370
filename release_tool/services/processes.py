"""Processes of this machine as /proc tells: which one it is, whether it lives, how to end exactly that one.

A process is known by its number *and* its start time, so a number that the kernel gave to another process since is
never signalled. A process that this tool starts carries a marker in its environment, so it is found again even when
the tool was killed before it could write the number down.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_SECONDS = 0.1
GONE_STATES = frozenset("ZXx")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """One process, not only its number."""

    pid: int
    started_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks from the machine's start to the process's."""


def parse_stat(text: str) -> tuple[str, int]:
    """Return (state, start ticks) from /proc/PID/stat; the name in it may hold spaces and brackets."""
    fields = text[text.rindex(")") + 1 :].split()
    return fields[0], int(fields[19])


def identify(pid: int, *, proc: Path = PROC) -> ProcessId | None:
    """Return the process that has this number now; null for none or one that has ended."""
    try:
        state, ticks = parse_stat((proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, IndexError):
        return None
    return None if state in GONE_STATES else ProcessId(pid=pid, started_ticks=ticks)


def is_alive(process: ProcessId) -> bool:
    """Tell whether exactly this process still runs."""
    return identify(process.pid) == process


def carrying(name: str, value: str, *, proc: Path = PROC) -> tuple[ProcessId, ...]:
    """Return the processes whose environment holds ``name=value``, as far as this user may read them."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            carries = wanted in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        process = identify(int(entry.name), proc=proc) if carries else None
        if process is not None:
            found.append(process)
    return tuple(sorted(found, key=lambda item: item.pid))


def end(process: ProcessId, *, patience: float) -> bool:
    """End exactly this process: ask, wait, then kill; return True when it runs no more.

    The signal goes through a process descriptor that was opened before the start time was compared, so there is no
    moment in which the number could have changed hands.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return True
        try:
            if not is_alive(process):
                return True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            select.select([handle], [], [], patience)
        finally:
            os.close(handle)
        _reap(process.pid)
        if not is_alive(process):
            return True
    deadline = time.monotonic() + patience
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return not is_alive(process)


def _reap(pid: int) -> None:
    # Only children can be waited for; somebody else's process is their parent's business.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def available_memory(*, proc: Path = PROC, cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that a new process can have: the machine's, or what the control group leaves of its limit.

    Null where the system does not tell.
    """
    try:
        lines = (proc / "meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="utf-8"))
        used = int((cgroup / "memory.current").read_text(encoding="utf-8"))
        stat = (cgroup / "memory.stat").read_text(encoding="utf-8").splitlines()
        # Cached file pages count as used and are given back on demand.
        used -= next((int(line.split()[1]) for line in stat if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError, IndexError):
        return free
    return max(0, min(free, limit - used))


def resident_bytes(pid: int, *, proc: Path = PROC) -> int | None:
    """Return the physical memory that a process holds now; null when it is gone."""
    try:
        lines = (proc / str(pid) / "status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
