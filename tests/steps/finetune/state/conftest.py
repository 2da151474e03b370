"""Runs of toy stages whose state lies in a place that several machines share."""

from __future__ import annotations

import pytest
import toy_stages

from release_tool.cli import run
from release_tool.run_folder import RunFolder


@pytest.fixture
def ran(monkeypatch):
    return toy_stages.put(monkeypatch)


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "state")
    return f"s3://{request.getfixturevalue('s3').make_bucket()}/runs/acme"


@pytest.fixture
def on(tmp_path, ran):
    """Return a call of ``finetune run`` on a machine: a project, a work folder, and the state that all share."""

    def call(machine, place, *words):
        ran.clear()
        ran.parts.clear()
        project = tmp_path / machine
        if not project.exists():
            toy_stages.write_project(project)
        base = ["-q", "--work", str(project / "work"), "finetune", "run", "--recipe", str(project / "recipe.toml")]
        return run([*base, "--state", place, *words])

    call.folder = lambda machine: RunFolder.below(tmp_path / machine / "work")
    return call
