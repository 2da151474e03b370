"""A process is known by number and start time, or by its marker; only that one is ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from release_tool.services.cache import cache_folder, share_tree
from release_tool.services.processes import available_memory, carrying, end, identify, is_alive, parse_stat

SLEEPER = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def started():
    processes: list[subprocess.Popen] = []

    def start(code: str = SLEEPER, **env: str) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **env}, stdout=subprocess.PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_name_with_brackets_and_blanks_does_not_confuse_the_reading() -> None:
    text = "42 (a ) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 1"
    assert parse_stat(text) == ("S", 987654)


def test_a_running_process_is_ended(started) -> None:
    process = started()
    found = identify(process.pid)
    assert found is not None
    assert end(found, patience=10)
    assert not is_alive(found)


def test_a_process_that_ignores_the_first_signal_is_killed(started) -> None:
    process = started(STUBBORN)
    assert process.stdout.readline() == b"ready\n"
    found = identify(process.pid)
    begun = time.monotonic()
    assert end(found, patience=0.5)
    assert time.monotonic() - begun >= 0.5


def test_a_number_that_another_process_has_now_is_left_alone(started) -> None:
    process = started()
    found = identify(process.pid)
    earlier = replace(found, started_ticks=found.started_ticks - 100)
    assert not is_alive(earlier)
    assert end(earlier, patience=1)
    assert process.poll() is None
    assert is_alive(found)


def test_a_number_that_nobody_has_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert identify(process.pid) is None


def test_an_orphan_is_found_by_the_marker_in_its_environment(started) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    process = started(RELEASE_TOOL_TEST_MARK=marker)
    other = started(RELEASE_TOOL_TEST_MARK=marker + "-other")
    deadline = time.monotonic() + 10
    while not carrying("RELEASE_TOOL_TEST_MARK", marker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [item.pid for item in carrying("RELEASE_TOOL_TEST_MARK", marker)] == [process.pid]
    assert other.poll() is None


def test_the_control_groups_limit_counts_where_it_is_tighter(tmp_path: Path) -> None:
    proc, group = tmp_path / "proc", tmp_path / "group"
    proc.mkdir()
    group.mkdir()
    (proc / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n", encoding="utf-8")
    assert available_memory(proc=proc, cgroup=group) == 8_000_000 * 1024
    (group / "memory.max").write_text("max\n", encoding="utf-8")
    assert available_memory(proc=proc, cgroup=group) == 8_000_000 * 1024
    (group / "memory.max").write_text("2000000000\n", encoding="utf-8")
    (group / "memory.current").write_text("1500000000\n", encoding="utf-8")
    (group / "memory.stat").write_text("anon 1\ninactive_file 500000000\n", encoding="utf-8")
    assert available_memory(proc=proc, cgroup=group) == 1_000_000_000
    assert available_memory(proc=tmp_path / "none", cgroup=group) is None


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"RELEASE_TOOL_CACHE": "/c", "XDG_CACHE_HOME": "/x"}) == Path("/c")
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/release-tool")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "release-tool"


def test_a_shared_tree_has_the_same_files_and_folders_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "a"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_text("x", encoding="utf-8")
    (source / "link").symlink_to("deep/file")
    share_tree(source, tmp_path / "b")
    assert (tmp_path / "b" / "deep" / "file").stat().st_ino == (source / "deep" / "file").stat().st_ino
    assert (tmp_path / "b" / "link").readlink() == Path("deep/file")
    (tmp_path / "b" / "deep" / "new").write_text("y", encoding="utf-8")
    assert not (source / "deep" / "new").exists()
