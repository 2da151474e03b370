from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release_tool.errors import MachineError, MissingExtra
from release_tool.packaged import read_packaged
from release_tool.services import runtime_env
from release_tool.services.runtime_env import (
    RUNTIME_PACKAGES,
    find_python,
    installed_environment,
    legacy_environment,
    pinned_versions,
    runtime_environment,
)

SERVERS = {"numpy": "1.26.4", "onnxruntime": "1.16.3", "tokenizers": "0.20.3"}


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def with_path(folder: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}


def test_the_pins_are_the_servers_versions_with_hashes_and_without_an_address():
    assert pinned_versions("runtime", RUNTIME_PACKAGES) == SERVERS
    assert pinned_versions("legacy", ("torch", "tokenizers")) == {"torch": "1.13.1", "tokenizers": "0.20.3"}
    for name in ("runtime", "legacy"):
        text = read_packaged(f"{name}-requirements.txt").decode()
        assert "://" not in text
        blocks = re.split(r"\n(?=[a-z])", text.split("\n", 3)[3])
        assert all("--hash=sha256:" in block for block in blocks), name


def test_the_environment_holds_the_servers_versions_where_there_is_a_python_for_them(environment):
    if find_python(os.environ) is None:
        assert "no Python 3.11 was found" in (environment.reason or "")
        return
    assert environment.pinned, environment.reason
    code = "import onnxruntime, tokenizers, numpy; print(onnxruntime.__version__, tokenizers.__version__)"
    done = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.16.3", "0.20.3"]


def test_it_is_made_once(environment, runtime_cache, quiet, tmp_path):
    """With nothing on PATH that could make it, the cached one still serves."""
    again = runtime_environment(runtime_cache, console=quiet, env={"PATH": str(tmp_path)})
    assert again.pinned is environment.pinned
    assert not environment.pinned or again == environment


def test_without_a_fitting_python_the_installed_packages_stand_in_and_say_why(tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(runtime_env, "WANTED_PYTHON", (3, 99))
    found = runtime_environment(tmp_path, console=quiet)
    assert found.pinned is False
    assert found.python == Path(sys.executable)
    assert set(found.versions) == set(SERVERS)
    assert "no Python 3.99 was found" in (found.reason or "")
    assert "onnxruntime 1.16.3" in (found.reason or "")


def test_offline_the_installer_is_quoted_and_nothing_is_left(tmp_path, quiet):
    fail = 'case "$1" in python) exit 1;; esac; echo "error: Could not connect, are you offline?" >&2; exit 2'
    program(tmp_path / "bin", "uv", fail)
    program(tmp_path / "bin", "python3.11", "echo '(3, 11)'")
    found = runtime_environment(tmp_path / "cache", console=quiet, env=with_path(tmp_path / "bin"))
    assert found.pinned is False
    assert found.reason == "uv failed: error: Could not connect, are you offline?"
    assert [path.suffix for path in (tmp_path / "cache" / "environments").iterdir()] == [".lock"]


def test_what_a_killed_run_left_is_made_again(environment, tmp_path, quiet):
    if not environment.pinned:
        assert environment.reason
        return
    real = environment.python.parent.parent
    copying = f'for last; do :; done; case "$1" in venv) cp -a {real} "$last"; rm "$last/complete.json";; esac'
    program(tmp_path / "bin", "uv", copying)
    program(tmp_path / "bin", "python3.11", "echo '(3, 11)'")
    folder = tmp_path / "cache" / "environments" / real.name
    for half in (folder, folder.with_name(f"{folder.name}.part")):
        (half / "bin").mkdir(parents=True)
        (half / "bin" / "python").write_text("half written")
    found = runtime_environment(tmp_path / "cache", console=quiet, env=with_path(tmp_path / "bin"))
    assert found.pinned, found.reason
    assert found.python == folder / "bin" / "python"
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]
    subprocess.run([found.python, "-I", "-c", "import onnxruntime"], check=True)


def test_packages_of_other_versions_are_not_taken(environment, tmp_path, quiet):
    """The installer says yes and installs something else: the versions are asked of the result."""
    making = f'for last; do :; done; case "$1" in venv) {sys.executable} -m venv --without-pip "$last";; esac'
    program(tmp_path / "bin", "uv", making)
    program(tmp_path / "bin", "python3.11", "echo '(3, 11)'")
    found = runtime_environment(tmp_path / "cache", console=quiet, env=with_path(tmp_path / "bin"))
    assert found.pinned is False
    assert "do not load or are others" in (found.reason or "")


def test_nothing_stands_in_for_torch_1_13(tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(runtime_env, "WANTED_PYTHON", (3, 99))
    with pytest.raises(MachineError, match=r"torch 1\.13\.1 can't be made: no Python") as caught:
        legacy_environment(tmp_path, console=quiet)
    assert "python3.11" in caught.value.hint


def test_a_full_disk_stops_the_3_gb_environment_before_it_starts(tmp_path, quiet, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000_000))
    program(tmp_path / "bin", "python3.11", "echo '(3, 11)'")
    with pytest.raises(MachineError, match=r"1\.0 GB of disk are free, 3\.4 GB are needed"):
        legacy_environment(tmp_path, console=quiet, env=with_path(tmp_path / "bin"))


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(runtime_env, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="numpy") as caught:
        installed_environment("offline")
    assert "release-tool[trace]" in caught.value.hint
