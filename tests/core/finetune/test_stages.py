"""Laws of fingerprints: what a stage does not depend on changes nothing, and what it depends on changes it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from release_tool.core.finetune.keys import keys_of
from release_tool.core.finetune.recipe import SECTIONS, Recipe, parse_recipe
from release_tool.core.finetune.sections_aws import AwsSection
from release_tool.core.finetune.stages import (
    NOT_IN_FINGERPRINTS,
    RULES,
    FinetunePlan,
    Stage,
    concerned,
    fingerprint,
    pinned,
)

RECIPE = parse_recipe(b'[model]\nname = "acme"\n[corpus]\npath = "a.jsonl"\n')
PINS = {
    "base": "org/base@1", "teacher:0": "org/teacher@1", "writer": "org/writer@1", "corpus": "1", "queries": "1",
    "qrels": "1", "examples": "1", "prompt": "1", "set:0": "1", "guard:0": "1",
}  # fmt: skip
DIGESTS = {stage: stage.value * 2 for stage in Stage}
ENGINE = {"engine.name", "engine.processes", *(f"aws.{word}" for word in keys_of(AwsSection))}


def plan(recipe=RECIPE, pins=None, folder="/a"):
    return FinetunePlan(
        tool_version="1", recipe=recipe, folder=folder, names={"model": "acme"}, pins=PINS if pins is None else pins
    )


def marks(*args, digests=None, **named):
    return {stage: fingerprint(stage, plan(*args, **named), digests or DIGESTS) for stage in Stage}


def other(value, rule):
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if rule.high is not None and value + 1 > rule.high else value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    if isinstance(value, tuple):
        return (*value, "another")
    return next((choice for choice in rule.choices if choice != value), value + "x")


def every_key():
    for name, section in SECTIONS.items():
        for one in fields(section):
            yield pytest.param(name, one.name, id=f"{name}.{one.name}")


@pytest.mark.parametrize(("section", "word"), list(every_key()))
def test_a_key_changes_exactly_the_stages_that_name_it(section, word):
    before = getattr(RECIPE, section)
    rule = keys_of(type(before))[word]
    recipe = replace(RECIPE, **{section: replace(before, **{word: other(getattr(before, word), rule)})})
    full = f"{section}.{word}"
    changed = {stage for stage, mark in marks(recipe).items() if mark != marks()[stage]}
    wanted = {stage for stage in Stage if {section, full} & set(RULES[stage].keys)}
    assert changed == (set() if full in NOT_IN_FINGERPRINTS else wanted)
    assert changed or full in NOT_IN_FINGERPRINTS | ENGINE, f"{full} changes no stage and is not said to change none"


def test_every_key_of_the_filter_runs_it_again_but_for_the_one_that_select_reads():
    named = {name.partition(".")[2] for name in RULES[Stage.FILTER].keys if name.startswith("filter.")}
    assert named == {*keys_of(SECTIONS["filter"])} - {"teacher_percentile"}
    recipe = replace(RECIPE, filter=replace(RECIPE.filter, teacher_percentile=0.1))
    changed = {stage for stage, mark in marks(recipe).items() if mark != marks()[stage]}
    assert changed == {Stage.SELECT, Stage.HAND_OVER}


@pytest.mark.parametrize("name", list(PINS))
def test_a_pin_changes_exactly_the_stages_that_name_it(name):
    changed = {stage for stage, mark in marks(pins={**PINS, name: "2"}).items() if mark != marks()[stage]}
    assert changed == {stage for stage in Stage if name.partition(":")[0] in RULES[stage].pins} != set()


@pytest.mark.parametrize("stage", Stage)
def test_what_a_stage_made_changes_exactly_those_that_read_it(stage):
    changed = {one for one, mark in marks(digests={**DIGESTS, stage: "2"}).items() if mark != marks()[one]}
    assert changed == {one for one in Stage if stage in RULES[one].after}


def test_where_a_recipe_lies_and_which_version_planned_it_change_nothing():
    assert marks(folder="/elsewhere") == marks()
    assert fingerprint(Stage.TRAIN, replace(plan(), tool_version="2"), DIGESTS) == marks()[Stage.TRAIN]


def test_a_default_that_is_written_out_changes_nothing():
    text = b'[model]\nname = "acme"\nkind = "dense"\n[corpus]\npath = "a.jsonl"\n[train]\nsteps = 500\n'
    assert marks(parse_recipe(text)) == marks()


def test_no_two_stages_have_the_same_fingerprint():
    assert len(set(marks().values())) == len(Stage)


@pytest.mark.parametrize("stage", Stage)
def test_a_stage_reads_only_those_before_it_and_names_keys_that_exist(stage):
    order = list(Stage)
    assert all(order.index(before) < order.index(stage) for before in RULES[stage].after)
    for name in RULES[stage].keys:
        section, _, word = name.partition(".")
        assert section in SECTIONS
        assert word in ("", *keys_of(SECTIONS[section]))
    assert concerned(stage, RECIPE).keys() <= {"model.name", "corpus.path"}
    assert pinned(stage, {}) == {}


def test_what_is_not_in_fingerprints_is_a_key_each():
    for name in NOT_IN_FINGERPRINTS:
        section, _, word = name.partition(".")
        assert word in keys_of(SECTIONS[section])


def test_folders_stand_in_the_order_in_which_the_stages_run():
    assert [stage.folder for stage in Stage] == sorted(stage.folder for stage in Stage)
    assert Stage.HAND_OVER.folder == "10-hand-over"
    assert {one.name for one in fields(Recipe)} == set(SECTIONS)
