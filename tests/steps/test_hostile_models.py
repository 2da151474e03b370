"""Models that make the libraries raise whatever they like, and commands that are interrupted: one error, no trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tiny_models import make

from release_tool.services.ring_processes import Running


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make(tmp_path_factory.mktemp("model") / "tiny", "bert", "dense")


def command(work, *arguments):
    return [sys.executable, "-m", "release_tool", "--work", str(work), *arguments]


def trace(work, model, *arguments):
    asked = command(work, "trace", str(model), "--version", "1.0.0", "--format", "onnx", "--no-answers", *arguments)
    return subprocess.run(asked, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pad_token_id": 99999}, "AssertionError"),
        ({"hidden_size": 64}, "its weights have other shapes than config.json says"),
        ({"hidden_act": "foo"}, "KeyError: 'foo'"),
        ({"max_position_embeddings": 10**30}, "can't"),
        ({"num_attention_heads": 7}, "multiple of the number of attention heads"),
    ],
)
def test_what_a_config_makes_the_libraries_raise_is_one_named_error(model, tmp_path, change, words):
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    path = next(broken.rglob("config.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    done = trace(tmp_path / "work", broken)
    assert done.returncode in {4, 5}, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "report above" not in done.stderr
    assert done.stderr.count("error:") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"pretrained_model_name_or_path": "x"}, 2),
        ({"config": {}}, 2),
        ({"device_map": "auto"}, 2),
        ({"nonsense": 1}, 5),
    ],
)
def test_arguments_of_the_loader_that_can_not_be_are_named(model, tmp_path, arguments, code):
    done = trace(tmp_path / "work", model, "--model-init-kwargs", json.dumps(arguments))
    assert done.returncode in {code, 4 if code == 5 else code}, done.stderr
    assert next(iter(arguments)) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4])
def test_an_interrupt_of_the_whole_terminal_prints_one_error(model, tmp_path, seconds):
    """The terminal interrupts every process of the group; only the parent speaks."""
    asked = command(tmp_path / "work", "trace", str(model), "--version", "1.0.0")
    with subprocess.Popen(
        asked, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGINT)
        err = run.communicate(timeout=60)[1]
    assert "Traceback" not in err
    assert run.returncode == 0 or (run.returncode, err.count("Interrupted")) == (130, 1), err


def test_the_processes_of_rings_are_ended_with_the_command_that_waits_for_them():
    running = Running()
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleeper) as first, running.holding(first):
        running.end()
        assert first.wait(timeout=30) == -signal.SIGKILL
    with subprocess.Popen(sleeper) as late, running.holding(late):
        assert late.wait(timeout=30) == -signal.SIGKILL
