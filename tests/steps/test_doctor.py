"""``release-tool doctor`` and ``node``: what a person reads, and the exit codes."""

from __future__ import annotations

import configparser
import json
import sys
from pathlib import Path

import pytest
from model_files import Files, dense

from release_tool.cli import run
from release_tool.errors import MissingExtra, UsageError
from release_tool.services import extras, machine
from release_tool.services.extras import numbers, require_trace_extra
from release_tool.services.machine import Level, look


@pytest.fixture
def env(monkeypatch, tmp_path):
    """Give the command an empty cache and no way to a hub."""
    monkeypatch.setenv("RELEASE_TOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return monkeypatch


def by_name(capsys) -> dict[str, dict]:
    return {item["name"]: item for item in json.loads(capsys.readouterr().out)["checks"]}


def test_the_packages_are_those_of_the_extra(repository: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    wanted = {}
    for line in parser["options.extras_require"]["trace"].split():
        name, _, bounds = line.partition(">=")
        wanted[name] = bounds.partition(",")[0]
    assert wanted == extras.TRACE_PACKAGES


def test_every_part_is_looked_at_and_a_complete_machine_is_ready(env, tmp_path, capsys) -> None:
    env.setattr(extras, "TRACE_PACKAGES", {"numpy": "2"})
    assert run(["--json", "--work", str(tmp_path / "work"), "doctor"]) == 0
    found = by_name(capsys)
    assert {
        "python",
        "numpy",
        "runtime ring",
        "memory",
        "disk",
        "model hub",
        "node: JDK",
        "node: Maven",
        "node",
    } <= set(found)
    assert found["model hub"]["level"] == "note"
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "work").exists()


def test_a_missing_package_is_exit_12_with_the_install_line(env, capsys) -> None:
    env.setattr(extras, "TRACE_PACKAGES", {"numpy": "2", "no-such-package-at-all": "1"})
    assert run(["doctor"]) == 12
    shown = capsys.readouterr()
    assert "MISSING no-such-package-at-all" in shown.out
    assert "release-tool[trace]" in shown.err


def test_an_extra_that_only_some_commands_need_is_a_note_with_the_install_line(env, capsys) -> None:
    env.setitem(machine.OTHER_EXTRAS, "finetune", ({"numpy": "2", "no-such-package": "1"}, "finetune"))
    run(["--json", "doctor"])
    found = by_name(capsys)["extra finetune"]
    assert (found["level"], "no-such-package" in found["found"], "numpy" in found["found"]) == ("note", True, False)
    assert "release-tool[finetune]" in found["hint"]


def test_an_old_package_is_missing_too(env, capsys) -> None:
    env.setattr(extras, "TRACE_PACKAGES", {"numpy": "999"})
    assert run(["--json", "doctor"]) == 12
    assert "older than 999" in by_name(capsys)["numpy"]["found"]


def test_no_java_and_no_maven_are_notes_only(env, tmp_path, capsys) -> None:
    env.setattr(extras, "TRACE_PACKAGES", {})
    env.setattr("release_tool.services.jdk.JVM_FOLDER", tmp_path)
    env.setenv("PATH", str(tmp_path))
    for name in ("OPENSEARCH_JAVA_HOME", "JAVA_HOME", "JAVA_HOME_21_X64", "JAVA_HOME_25_X64"):
        env.delenv(name, raising=False)
    assert run(["--json", "doctor"]) == 0
    found = by_name(capsys)
    assert found["node: Maven"]["level"] == "note"
    assert "settings.xml" in found["node: Maven"]["hint"]


def test_too_little_memory_for_a_trace_is_missing(env, tmp_path) -> None:
    env.setattr(machine, "available_memory", lambda: 10**9)
    found = {
        check.name: check for check in look(tmp_path, {"HF_HUB_OFFLINE": "1", "RELEASE_TOOL_CACHE": str(tmp_path)})
    }
    assert found["memory"].level is Level.MISSING


def test_a_repository_without_github_is_refused_and_the_variable_of_every_job_is_not(env, monkeypatch, capsys) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "octo-org/models")
    assert run(["doctor"]) in (0, 12)
    assert "--repository" not in capsys.readouterr().err
    assert run(["doctor", "--repository", "octo-org/models"]) == 2
    assert "--repository means nothing without --github" in capsys.readouterr().err


def test_a_hub_that_answers_is_told(hub, env, tmp_path) -> None:
    env.delenv("HF_HUB_OFFLINE")
    found = {
        check.name: check
        for check in look(tmp_path, {"HF_ENDPOINT": hub.endpoint, "RELEASE_TOOL_CACHE": str(tmp_path)})
    }
    assert (found["model hub"].level, found["model hub"].found) == (Level.OK, f"{hub.endpoint} answers")


def test_a_hub_out_of_reach_is_a_note_with_what_still_works(env, tmp_path) -> None:
    env.delenv("HF_HUB_OFFLINE")
    # The library reads its environment once, at import.
    env.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    settings = {"HF_ENDPOINT": "http://127.0.0.1:9", "RELEASE_TOOL_CACHE": str(tmp_path)}
    found = {check.name: check for check in look(tmp_path, settings)}
    assert found["model hub"].level is Level.NOTE
    assert "HF_ENDPOINT" in found["model hub"].hint


def test_an_endpoint_that_is_no_address_is_a_note(env, tmp_path) -> None:
    env.delenv("HF_HUB_OFFLINE")
    found = {check.name: check for check in look(tmp_path, {"HF_ENDPOINT": "hub.example"})}
    assert found["model hub"].level is Level.NOTE
    assert "HF_ENDPOINT is 'hub.example'" in found["model hub"].found


@pytest.mark.parametrize(
    ("version", "parts"),
    [("2.13.0+cu130", (2, 13, 0)), ("0.23.3", (0, 23, 3)), ("4.0rc1", (4, 0)), ("7", (7,)), ("1.dev3", (1,))],
)
def test_versions_are_compared_by_number(version: str, parts: tuple) -> None:
    assert numbers(version) == parts


def test_a_node_that_is_not_there_is_said(env, capsys) -> None:
    assert run(["node", "status"]) == 0
    assert "state: down" in capsys.readouterr().out
    assert run(["node", "status", "--url"]) == 1
    assert run(["node", "down"]) == 0
    assert "No node was running." in capsys.readouterr().out
    assert run(["node", "up", "--version", "1.2.3"]) == 2
    assert "Pinned: 3.6.0" in capsys.readouterr().err


def test_what_doctor_calls_missing_is_what_trace_and_validate_refuse(env) -> None:
    require_trace_extra()
    for packages, error, words in (
        ({"numpy": "2", "no-such-package-at-all": "1"}, MissingExtra, "'no-such-package-at-all', which is not"),
        ({"numpy": "999"}, UsageError, "needs numpy 999 or newer"),
    ):
        env.setattr(extras, "TRACE_PACKAGES", packages)
        with pytest.raises(error, match=words) as raised:
            require_trace_extra()
        assert "pip install 'release-tool[trace]'" in raised.value.hint


@pytest.mark.parametrize("arguments", [["trace", "MODEL", "--version", "1.0.0"], ["validate"]])
def test_a_command_that_needs_the_extra_says_so_before_it_starts_anything(arguments, env, tmp_path, capsys) -> None:
    model = Files(dense()).write(tmp_path / "tiny")
    env.setattr(extras, "TRACE_PACKAGES", {"no-such-package-at-all": "1"})
    assert run(["--work", str(tmp_path / "w"), *(str(model) if word == "MODEL" else word for word in arguments)]) == 2
    assert "pip install 'release-tool[trace]'" in capsys.readouterr().err


@pytest.fixture
def light(env):
    """Take the packages of the extra away, as where only the base is installed."""
    for name in ("huggingface_hub", "huggingface_hub.constants", "huggingface_hub.utils", "httpx2", "torch", "onnx"):
        env.setitem(sys.modules, name, None)
    env.delenv("HF_HUB_OFFLINE")
    return env


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_the_light_install_looks_at_the_machine_and_asks_no_hub(endpoint, light, tmp_path, capsys) -> None:
    light.delenv("HF_ENDPOINT", raising=False)
    if endpoint:
        light.setenv("HF_ENDPOINT", endpoint)
    assert run(["doctor", "--json", "--work", str(tmp_path)]) in (0, 12)
    assert "'huggingface_hub', which is not installed" in by_name(capsys)["model hub"]["found"]
    assert run(["plan", "acme/tiny", "--version", "1.0.0", "--work", str(tmp_path / "w")]) == 2
    assert "pip install 'release-tool[trace]'" in capsys.readouterr().err


def test_the_light_install_plans_and_fetches_a_folder(light, tmp_path, capsys) -> None:
    model = Files(dense()).write(tmp_path / "tiny")
    assert run(["plan", str(model), "--version", "1.0.0", "--work", str(tmp_path / "w")]) == 0
    assert run(["fetch", "--work", str(tmp_path / "w")]) == 0


@pytest.mark.parametrize(
    ("system", "processor", "version", "fits"),
    [
        ("Darwin", "x86_64", "15.1", False),
        ("Darwin", "arm64", "13.6.1", False),
        ("Darwin", "arm64", "14.0", True),
        ("Linux", "x86_64", "", True),
        ("Linux", "aarch64", "", True),
    ],
)
def test_a_mac_that_torch_has_no_wheels_for_is_named(env, tmp_path, system, processor, version, fits) -> None:
    env.setattr(machine.platform, "system", lambda: system)
    env.setattr(machine.platform, "machine", lambda: processor)
    env.setattr(machine.platform, "mac_ver", lambda: (version, ("", "", ""), processor))
    check = machine._platform()
    assert check.level is (Level.OK if fits else Level.MISSING)
    assert processor in check.found
    assert fits or "Linux" in check.hint
