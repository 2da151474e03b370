"""A project of toy stages, and a call of finetune in it."""

from __future__ import annotations

import pytest
import toy_stages

from release_tool.cli import run
from release_tool.run_folder import RunFolder


@pytest.fixture
def ran(monkeypatch):
    return toy_stages.put(monkeypatch)


@pytest.fixture
def recipe(tmp_path):
    return toy_stages.write_project(tmp_path / "project")


@pytest.fixture
def go(tmp_path, recipe, ran):
    """Return a call of ``finetune`` that gives its exit code and forgets what ran before."""

    def call(*words):
        ran.clear()
        ran.parts.clear()
        return run(["-q", "--work", str(tmp_path / "work"), "finetune", *words])

    call.run = lambda *words: call("run", "--recipe", str(recipe), *words)
    call.folder = RunFolder.below(tmp_path / "work")
    return call
