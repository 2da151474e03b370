"""Run one command and measure what its whole tree of processes took: time, memory, bytes written.

    python bench/measure.py --out numbers.json [--log FILE] -- COMMAND [ARGUMENT...]

Three numbers come from the kernel's own books and miss nothing, however short a process lives: a parent that reaps a
child inherits its CPU time, its largest resident set and its I/O (wait4(2), /proc/PID/io). This process makes itself
the reaper of orphans, reaps every process of the tree, and reads its own books before and after. It stays small,
because a child starts with its parent's resident set on its books.

The sums over all processes that live at one time are sampled, and may miss a peak between two samples.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
RSS_SECONDS = 0.1
PSS_EVERY = 10
"""RSS samples for one of PSS: the kernel walks the page tables for it (some milliseconds a gigabyte)."""
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
STAT_BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq, steal of the first line of /proc/stat."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What one run took; bytes and seconds."""

    command: list[str]
    exit_code: int
    wall_s: float
    cpu_s: float
    """User and system time of every process of the tree."""
    max_rss: int
    """Largest ``ru_maxrss`` of any one process."""
    sum_rss: int
    """Largest sum of resident sets at one sample; a page that two processes share counts twice."""
    sum_pss: int
    """The same with shared pages divided among those who share them; sampled more rarely."""
    written: int
    """Bytes of pages that were dirtied in files, temporary ones and those deleted later included (``write_bytes``)."""
    write_calls: int
    """Bytes handed to write(2) and its siblings, pipes and terminals included (``wchar``)."""
    read_from_disk: int
    """Bytes that were not in the page cache (``read_bytes``): a cold run shows here."""
    foreign_cpu_s: float
    """CPU time that the machine spent meanwhile on anything else, the sampler included."""
    sampler_cpu_s: float
    """CPU time of this process: what measuring cost."""


@dataclass
class _Peaks:
    rss: int = 0
    pss: int = 0
    samples: int = field(default=0)


def measure(command: list[str], log: Path | None) -> Numbers:
    """Run a command to its end, orphans included, and return its numbers."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "This kernel has no subreaper: orphans would be missed.")
    os.sync()  # What an earlier run left to the disk is not this one's to wait for.
    with (log or Path(os.devnull)).open("wb") as said:
        io, busy, own = _io(), machine_busy(), time.process_time()
        started = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        peaks, over = _Peaks(), threading.Event()
        sampler = threading.Thread(target=_sample, args=(peaks, over), daemon=True)
        sampler.start()
        code, wall = None, 0.0
        cpu, rss = 0.0, 0
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0)
            except ChildProcessError:
                break
            # Each is the process's own usage joined with that of all it has reaped itself.
            cpu += usage.ru_utime + usage.ru_stime
            rss = max(rss, usage.ru_maxrss * 1024)
            if pid == child.pid:
                wall = time.perf_counter() - started
                code = child.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    sampler.join()
    spent = time.process_time() - own
    after = _io()
    return Numbers(
        command=command,
        exit_code=code if code is not None else -1,
        wall_s=wall,
        cpu_s=cpu,
        max_rss=rss,
        sum_rss=peaks.rss,
        sum_pss=peaks.pss,
        written=after["write_bytes"] - io["write_bytes"],
        write_calls=after["wchar"] - io["wchar"],
        read_from_disk=after["read_bytes"] - io["read_bytes"],
        foreign_cpu_s=max(0.0, machine_busy() - busy - cpu),
        sampler_cpu_s=spent,
    )


def _io() -> dict[str, int]:
    """Return this process's I/O and that of every descendant which has been reaped."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, number in (line.split(": ") for line in lines)}


def machine_busy() -> float:
    """Return the CPU time that all processes have used since the machine was started, in seconds."""
    numbers = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    return sum(int(numbers[place]) for place in STAT_BUSY) / TICKS


def descendants(root: int) -> list[int]:
    """Return every process below one, by the kernel's lists of children."""
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(item) for item in (task / "children").read_text(encoding="ascii").split()]
                found += children
                waiting += children
    return found


def _sample(peaks: _Peaks, over: threading.Event) -> None:
    while not over.wait(RSS_SECONDS):
        alive = descendants(os.getpid())
        peaks.rss = max(peaks.rss, sum(_resident(pid) for pid in alive))
        if peaks.samples % PSS_EVERY == 0:
            peaks.pss = max(peaks.pss, sum(_shared_out(pid) for pid in alive))
        peaks.samples += 1


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _shared_out(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main(argv: list[str] | None = None) -> int:
    """Measure the command of the arguments and write its numbers; the exit code is the command's."""
    parser = argparse.ArgumentParser(prog="measure.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="file of numbers (JSON)")
    parser.add_argument("--log", type=Path, help="file for what the command prints")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no command")
    numbers = measure(command, options.log)
    options.out.write_text(json.dumps(asdict(numbers), indent=1) + "\n", encoding="utf-8")
    return numbers.exit_code


if __name__ == "__main__":
    sys.exit(main())
