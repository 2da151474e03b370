"""scripts/jenkins-stand-in: what the demo notifies; it says SUCCESS of what is whole, and ends with who started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from publications import reviewed

from release_tool.cli import run

VARIABLES = {"RELEASE_TOOL_JENKINS_USER": "demo", "RELEASE_TOOL_JENKINS_TOKEN": "token-of-the-test"}
STARTER = """
import subprocess, sys
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as child:
    print(child.stdout.readline(), end="", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Return a work folder whose release was published into a folder inside."""
    for name, value in {**VARIABLES, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    work = tmp_path / "work"
    digest = reviewed(work, pages=False, archive_of=lambda artifact: f"archive of {artifact}".encode())
    assert run(["--work", str(work), "-q", "publish", "--approved", digest]) == 0
    return work


@contextmanager
def standing_in(repository, bucket):
    """Yield the address of a stand-in, and the process that started it."""
    program = [sys.executable, str(repository / "scripts" / "jenkins-stand-in"), str(bucket)]
    command = [sys.executable, "-c", STARTER, *program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        try:
            yield starter.stdout.readline().strip(), starter
        finally:
            starter.kill()


def notify(work, server, *more):
    return run(["--work", str(work), "notify", "--server", server, *more])


def builds_of(work):
    return json.loads((work / "notice.json").read_text())["builds"]


def test_what_was_published_is_a_success_once_and_what_is_not_whole_a_failure(repository, work, capfd):
    with standing_in(repository, work / "published") as (server, _):
        assert notify(work, server) == 0
        assert notify(work, server) == 0
        assert [(one["result"], one["build_number"]) for one in builds_of(work)] == [("SUCCESS", 1)]
        (work / "notice.json").unlink()
        next((work / "published").rglob("*.zip")).write_bytes(b"other bytes")
        assert notify(work, server) == 0  # the build that was asked for already
        assert builds_of(work)[0]["build_number"] == 1
    (work / "notice.json").unlink()
    with standing_in(repository, work / "published") as (server, _):
        capfd.readouterr()
        assert notify(work, server) == 10
        assert "other bytes than its config.json says" in capfd.readouterr().err
        next((work / "published").rglob("config.json")).unlink()
        assert notify(work, server, "--again") == 10
        assert builds_of(work)[0]["build_number"] == 2


def test_it_answers_nobody_else_and_ends_with_who_started_it(repository, work, monkeypatch, capfd):
    with standing_in(repository, work / "published") as (server, starter):
        assert urlsplit(server).hostname == "127.0.0.1"
        monkeypatch.setenv("RELEASE_TOOL_JENKINS_TOKEN", "another")
        assert notify(work, server) == 10
        assert "401" in capfd.readouterr().err
        os.kill(starter.pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while is_there(server):
            assert time.monotonic() < until
            time.sleep(0.05)


def is_there(server):
    try:
        socket.create_connection(("127.0.0.1", urlsplit(server).port), timeout=1).close()
    except OSError:
        return False
    return True
