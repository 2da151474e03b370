"""An archive is asked once, from the moment it is written; what has not begun when a command fails never begins."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from release_tool.console import Console
from release_tool.errors import MachineError
from release_tool.global_options import Context
from release_tool.services import processes
from release_tool.steps import asking, measuring


def target(name, size=1):
    archive = SimpleNamespace(size=size, sha256=f"{name}-sha")
    return SimpleNamespace(
        bundle=SimpleNamespace(artifact=name, archive=archive), probes=SimpleNamespace(sha256="probes")
    )


@pytest.fixture
def context(tmp_path):
    console = Console(stream=io.StringIO(), env={})
    return Context(console=console, work=tmp_path, repo=tmp_path, json=False, debug=False)


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the ring's processes: what is held here is only when they are started, and how often."""
    calls = []

    def ask(wanted, ring, *, console, cache, running):
        calls.append((wanted.bundle.artifact, ring))
        if wanted.bundle.artifact == "broken":
            raise MachineError("no memory")
        return f"{wanted.bundle.artifact} in {ring}"

    monkeypatch.setattr(measuring, "ask", ask)
    return calls


def test_what_was_started_early_is_not_asked_again(context, asked):
    first, second = target("torch_script"), target("onnx")
    with asking.Rings(context) as rings:
        rings.start(first, "runtime")
        got = rings.ask([(second, "runtime"), (first, "runtime")])
    assert got == ["onnx in runtime", "torch_script in runtime"]
    assert sorted(asked) == [("onnx", "runtime"), ("torch_script", "runtime")]


def test_an_archive_that_was_written_anew_is_asked_anew(context, asked):
    old, new = target("onnx"), target("onnx")
    new.bundle.archive.sha256 = "other"
    with asking.Rings(context) as rings:
        rings.start(old, "runtime")
        rings.ask([(new, "runtime")])
    assert asked == [("onnx", "runtime"), ("onnx", "runtime")]


def test_a_ring_that_fails_is_raised_when_all_are_done(context, asked):
    with asking.Rings(context) as rings, pytest.raises(MachineError, match="no memory"):
        rings.ask([(target("broken"), "runtime"), (target("onnx"), "runtime")])
    assert sorted(asked) == [("broken", "runtime"), ("onnx", "runtime")]


def test_without_memory_nothing_is_started_early_and_archives_are_asked_one_by_one(context, monkeypatch):
    at_once, most = 0, 0
    lock = threading.Lock()

    def ask(wanted, ring, *, console, cache, running):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.05)
        with lock:
            at_once -= 1
        return wanted.bundle.artifact

    monkeypatch.setattr(measuring, "ask", ask)
    monkeypatch.setattr(processes, "available_memory", lambda: 100)
    small = [(target("a", 10), "runtime"), (target("b", 10), "runtime")]
    large = [(target("a", 20), "runtime"), (target("b", 20), "runtime")]
    with asking.Rings(context) as rings:
        rings.start(target("a", 20), "runtime")
        assert most == 0
        assert rings.ask(large) == ["a", "b"]
        assert most == 1
        assert rings.ask(small) == ["a", "b"]
        assert most == 2


def test_what_has_not_begun_is_dropped_when_the_command_fails(context, monkeypatch):
    begun, go = [], threading.Event()

    def ask(wanted, ring, *, console, cache, running):
        begun.append(wanted.bundle.artifact)
        go.wait(5)

    monkeypatch.setattr(measuring, "ask", ask)

    def interrupted():
        with asking.Rings(context) as rings:
            for name in "abcd":
                rings.start(target(name), "runtime")
            for _ in range(1000):
                if len(begun) == asking.PARALLEL_RINGS:
                    break
                threading.Event().wait(0.01)
            threading.Timer(0.1, go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert begun == ["a", "b"]


def test_what_has_begun_is_ended_when_the_command_fails(context, monkeypatch):
    codes, begun = [], threading.Event()

    def ask(wanted, ring, *, console, cache, running):
        with (
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child,
            running.holding(child),
        ):
            begun.set()
            codes.append(child.wait(timeout=60))

    monkeypatch.setattr(measuring, "ask", ask)

    def interrupted():
        with asking.Rings(context) as rings:
            rings.start(target("a"), "runtime")
            assert begun.wait(timeout=60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert codes == [-signal.SIGKILL]
