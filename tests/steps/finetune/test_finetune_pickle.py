"""A base whose weights are in pickle only, as those of the default base are: taken after consent, and then used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_models import make

from release_tool.cli import run
from release_tool.run_folder import RunFolder

RISK = "pickle files, which can run code"


@pytest.fixture(scope="module")
def pickled(tmp_path_factory):
    """A model like BAAI/bge-m3, but small: pooling by the first token, and weights in a pickle file alone."""
    import torch
    from safetensors.torch import load_file

    folder = make(tmp_path_factory.mktemp("pickled") / "base", "xlm-roberta", "dense", pooling="cls")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@dataclass
class Project:
    folder: Path
    base: Path

    def run(self, *words, model="", teach=()):
        rows = [{"id": f"d{at}", "text": f"river {at} and a mountain {at * 7}"} for at in range(9)]
        (self.folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (self.folder / "recipe.toml").write_text(
            f'[model]\nname = "acme"\nbase = "{self.base}"\nmax_length = 32\n{model}\n'
            '[corpus]\npath = "documents.jsonl"\n[split]\ndev = 0.2\ntest = 0.2\n'
            f'[filter]\nround_trip = "model"\n[teach]\nmodels = {list(map(str, teach))}\n'
        )
        recipe = ("--recipe", str(self.folder / "recipe.toml"))
        return run(["--work", str(self.folder / "work"), "finetune", words[0], *recipe, *words[1:]])


@pytest.fixture
def project(tmp_path, pickled):
    return Project(tmp_path, pickled)


def test_plan_refuses_it_and_names_the_key_that_takes_it(project, capsys):
    assert project.run("plan") == 4
    said = capsys.readouterr().err
    assert "weights in pickle only" in said
    assert "model.allow_pickle = true" in said
    assert "--allow-pickle" not in said  # which is an option of the release's plan


def test_with_consent_it_is_pinned_with_a_warning_and_its_weights_are_read(project, capsys):
    assert project.run("run", "--to", "filter", model="allow_pickle = true") == 0
    assert RISK in capsys.readouterr().err
    taken = {path.name for path in (project.folder / "work" / "finetune" / "models").rglob("*.bin")}
    assert taken == {"pytorch_model.bin"}
    assert RunFolder.below(project.folder / "work").plan().recipe.model.allow_pickle


def test_the_consent_is_for_the_base_alone(project, capsys):
    assert project.run("plan", model="allow_pickle = true", teach=[project.base]) == 4
    assert "weights in pickle only" in capsys.readouterr().err
