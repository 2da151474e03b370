"""The life of the real node: lent, kept, found again after a kill, ended alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from interrupts import heard

from release_tool.console import Console
from release_tool.core.codec import encode_text
from release_tool.errors import IntegrityError, MachineError, UsageError
from release_tool.services import node as nodes
from release_tool.services import node_home, node_process, node_start, node_state, processes
from release_tool.services.cache import cache_folder
from release_tool.services.node_pins import pins_of
from release_tool.services.processes import carrying, identify, is_alive

QUIET = Console(verbosity=-1)
UP = [sys.executable, "-m", "release_tool", "-q", "node", "up"]


def wait_for(what, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def own_cache(node, tmp_path):
    """Return an environment with a cache of its own that shares the prepared node; nothing is left running in it."""
    version, pins = pins_of()
    ready = node_home.home_folder(cache_folder(os.environ), version, pins)
    (tmp_path / "cache" / "node").mkdir(parents=True)
    (tmp_path / "cache" / "node" / ready.name).symlink_to(ready)
    # The server runs as another user where the tests run as root; pytest's folders are closed to others.
    env = {**os.environ, "RELEASE_TOOL_CACHE": str(tmp_path / "cache")}
    yield env
    nodes.down(env=env)


def state(env) -> dict | None:
    try:
        return json.loads((Path(env["RELEASE_TOOL_CACHE"]) / "node" / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


@pytest.mark.node
def test_a_node_that_runs_is_lent_and_left_running(node) -> None:
    with nodes.running_node(QUIET, env=os.environ) as other:
        assert (other.pid, other.port) == (node.pid, node.port)
    found = nodes.status(env=os.environ)
    assert (found.state, found.pid, found.url) == ("up", node.pid, node.url)
    assert found.resident_bytes > 500_000_000


@pytest.mark.node
def test_the_server_listens_on_loopback_only_and_not_as_root(node) -> None:
    status = Path(f"/proc/{node.pid}/status").read_text(encoding="utf-8")
    uid = int(next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:")))
    assert uid != 0
    assert node.folder.stat().st_uid == uid
    assert node.folder.stat().st_mode & 0o077 == 0
    with node.client() as client:
        (info,) = client.request("GET", "/_nodes/http,transport,jvm")["nodes"].values()
    assert info["http"]["bound_address"] == [f"127.0.0.1:{node.port}"]
    assert all(address.startswith("127.0.0.1:") for address in info["transport"]["bound_address"])
    assert int(info["jvm"]["version"].split(".")[0]) >= 21


@pytest.mark.node
def test_the_prepared_files_are_shared_and_not_the_servers_to_change(node) -> None:
    version, pins = pins_of()
    ready = node_home.home_folder(cache_folder(os.environ), version, pins)
    for name in ("config/jvm.options", "bin/opensearch"):
        assert (node.folder / "server" / name).read_bytes() == (ready / "server" / name).read_bytes()
    assert not (ready / "server" / "data").exists()
    assert "release-tool" not in (ready / "server" / "config" / "opensearch.yml").read_text(encoding="utf-8")


@pytest.mark.node
def test_another_version_beside_a_running_node_is_refused(node, monkeypatch) -> None:
    pins = replace(pins_of()[1], java=22)
    monkeypatch.setattr(nodes, "pins_of", lambda version: ("9.9.9", pins))
    with pytest.raises(UsageError, match="Another node is running"):
        nodes.up(QUIET, env=os.environ)


@pytest.mark.node
def test_a_start_killed_half_way_is_found_and_ended_by_down(own_cache) -> None:
    tool = subprocess.Popen(UP, env=own_cache, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (state(own_cache) or {}).get("process"))
    tool.send_signal(signal.SIGKILL)
    tool.wait()
    left = state(own_cache)
    orphan = identify(left["process"]["pid"])
    assert orphan is not None
    assert nodes.status(env=own_cache).state == "starting"
    assert nodes.down(env=own_cache)
    assert not is_alive(orphan)
    assert not Path(left["folder"]).exists()
    assert nodes.status(env=own_cache).state == "down"
    assert not nodes.down(env=own_cache)


@pytest.mark.node
def test_an_orphan_whose_number_was_never_written_is_found_by_its_marker(own_cache) -> None:
    tool = subprocess.Popen(UP, env=own_cache, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (state(own_cache) or {}).get("process"))
    tool.send_signal(signal.SIGKILL)
    tool.wait()
    # As a kill between the start and the writing of the number leaves it.
    cache = Path(own_cache["RELEASE_TOOL_CACHE"])
    known = node_state.read_state(cache)
    node_state.write_state(cache, replace(known, process=None))
    assert known.process in carrying(node_process.MARKER, known.folder)
    assert nodes.down(env=own_cache)
    assert not is_alive(known.process)
    assert carrying(node_process.MARKER, known.folder) == ()


@pytest.mark.node
def test_an_interrupt_ends_the_node_that_was_being_started(own_cache) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with heard():
        tool = subprocess.Popen(UP, env=own_cache, **quiet)
    process = wait_for(lambda: (state(own_cache) or {}).get("process"))
    orphan = identify(process["pid"])
    tool.send_signal(signal.SIGINT)
    assert tool.wait(timeout=60) == 130
    assert orphan is None or not is_alive(orphan)
    assert state(own_cache) is None


@pytest.mark.node
def test_a_server_that_ends_while_it_starts_is_reported_in_its_own_words(own_cache, monkeypatch) -> None:
    broken = node_process.SETTINGS + "no.such.setting: 1\n"
    monkeypatch.setattr(node_process, "SETTINGS", broken)
    with pytest.raises(MachineError, match=r"ended while it started.*no\.such\.setting"):
        nodes.up(QUIET, env=own_cache)
    assert state(own_cache) is None


@pytest.fixture
def recorded(tmp_path):
    """Return a function that writes the state of a node, and its environment."""

    def record(**over: object) -> dict[str, str]:
        folder = tmp_path / "cache" / "node" / f"{node_state.FOLDER_PREFIX}1"
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"version": "3.6.0", "pins": "0", "folder": str(folder), **over}
        node_state.write_state(tmp_path / "cache", node_state.NodeState(**facts))
        return {"RELEASE_TOOL_CACHE": str(tmp_path / "cache")}

    return record


def test_down_leaves_a_process_alone_that_has_only_the_number(recorded) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            now = identify(stranger.pid)
            env = recorded(process=replace(now, started_ticks=now.started_ticks - 1))
            assert nodes.status(env=env).state == "dead"
            assert nodes.down(env=env)
            assert stranger.poll() is None
            assert nodes.status(env=env).state == "down"
        finally:
            stranger.kill()


def test_the_folder_of_a_start_that_never_had_a_process_is_deleted(recorded, tmp_path: Path) -> None:
    env = recorded()
    assert nodes.down(env=env)
    assert not list((tmp_path / "cache" / "node").glob(f"{node_state.FOLDER_PREFIX}*"))


def test_a_state_that_names_a_strange_folder_deletes_nothing(recorded, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    env = recorded(folder=str(precious))
    with pytest.raises(IntegrityError, match="no node's"):
        nodes.down(env=env)
    assert precious.is_dir()


def test_a_damaged_state_is_said_with_the_way_out(recorded, tmp_path: Path) -> None:
    env = recorded()
    (tmp_path / "cache" / "node" / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"state\.json") as raised:
        nodes.status(env=env)
    assert "delete" in raised.value.hint


def test_too_little_memory_is_said_before_anything_is_downloaded(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(node_start, "available_memory", lambda: 2_900_000_000)
    env = {"RELEASE_TOOL_CACHE": str(tmp_path), "PATH": os.environ["PATH"]}
    with pytest.raises(MachineError, match=r"3 GB of free memory; 2\.9 GB"):
        nodes.up(QUIET, env=env)
    assert nodes.status(env=env).state == "down"


def test_too_little_disk_is_said_with_the_way_out(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(node_home, "MIN_DISK_BYTES", 10**18)
    with pytest.raises(MachineError, match="GB of free disk") as raised:
        node_home.check_disk(tmp_path / "not" / "there" / "yet")
    assert "RELEASE_TOOL_CACHE" in raised.value.hint


def test_another_platform_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(node_home, "machine", lambda: "aarch64")
    with pytest.raises(MachineError, match="aarch64"):
        node_home.check_platform(pins_of()[1])


def test_an_unknown_version_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError) as raised:
        pins_of("1.0")
    assert "3.6.0" in raised.value.hint


def test_a_damaged_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("top/../../outside", "x")
    with pytest.raises(IntegrityError, match="leaves its folder"):
        node_home.unzip(tmp_path / "a.zip", tmp_path / "in", strip=1)
    assert not (tmp_path / "outside").exists()


def test_the_state_survives_writing_and_reading(recorded, tmp_path: Path) -> None:
    process = processes.ProcessId(pid=1, started_ticks=2)
    recorded(process=process, port=9, kept=True, user=65534, start_seconds=1.5, libraries={"djl": "0.31.1"})
    known = node_state.read_state(tmp_path / "cache")
    assert known.process == process
    assert (tmp_path / "cache" / "node" / "state.json").read_text(encoding="utf-8") == encode_text(known)
