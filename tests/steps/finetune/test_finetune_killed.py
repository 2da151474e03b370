"""A run that is killed at any moment and run again ends with the digests of one that was never killed."""

from __future__ import annotations

import json
import signal

import pytest
import toy_stages
from killed_stages import killed_at

RUN = ["-q", "--work", "{place}/work", "finetune", "run", "--recipe", "{place}/recipe.toml"]


@pytest.fixture
def project(tmp_path):
    toy_stages.write_project(tmp_path / "project")
    return tmp_path / "project"


def assert_same(said, stages=10):
    whole = said[-1]
    assert whole["codes"] == [0]
    assert len(whole["digests"]) == stages
    for one in said[:-1]:
        assert one["codes"] == [-signal.SIGKILL, 0], one
        assert one["digests"] == whole["digests"], one


def test_killed_at_moments_of_a_run(project, tmp_path):
    """For each stage its mark, two parts and its state get a name: 160 moments, of which every seventh is died at."""
    said = killed_at(RUN, RUN, tmp_path / "runs", points=[*range(0, 161, 7), 999], start=project, toys=True)
    assert len(said) == 24
    assert_same(said)


def test_killed_at_moments_of_a_run_that_goes_on_elsewhere(project, tmp_path):
    """The second run has an empty work folder and only what the first one has sent."""
    state = ["--state", "{place}/state"]
    elsewhere = [word.replace("/work", "/again") for word in RUN]
    said = killed_at(
        [*RUN, *state],
        [*elsewhere, *state, "--take-over"],
        tmp_path / "runs",
        points=[*range(0, 300, 19), 999],
        start=project,
        toys=True,
    )
    assert len(said) > 12
    assert_same(said)


REAL = """[model]
name = "acme"
base = "base"

[corpus]
path = "articles.jsonl"

[queries]
per_document = 2

[teach]
models = []

[select]
negatives = 2
"""


def test_the_real_stages_up_to_training_killed_in_their_midst(project, tmp_path):
    (project / "recipe.toml").write_text(REAL)
    words = ["wing", "flow", "shock", "plate", "heat", "jet", "wave", "layer", "drag", "lift", "mach", "nozzle"]
    lines = []
    for number in range(60):
        first, second, third = (words[number * step % len(words)] for step in (1, 5, 7))
        text = f"The {first} of the {second} {number} was measured. It showed that {third} and {first} move together."
        lines.append(json.dumps({"title": f"{first} {second}", "text": text}))
    (project / "articles.jsonl").write_text("\n".join(lines) + "\n")
    to_select = [*RUN, "--to", "select"]
    said = killed_at(to_select, to_select, tmp_path / "runs", points=[5, 13, 22, 31, 40, 48, 999], start=project)
    assert len(said) == 7
    assert_same(said, stages=7)
