"""A recipe as parameters of the AWS template and back, and as TOML."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.keys import changed, keys_of
from release_tool.core.finetune.parameters import (
    parameter_keys,
    parameters_of,
    recipe_data,
    tables_text,
    with_machine,
)
from release_tool.core.finetune.recipe import SECTIONS, Recipe, parse_recipe
from release_tool.core.finetune.sections import CorpusSection, ModelSection
from release_tool.errors import RequestError

NAMED = Recipe(model=ModelSection(name="acme"), corpus=CorpusSection(path="a.jsonl"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), TEXT,
                  st.lists(TEXT, max_size=3))  # fmt: skip


@given(st.dictionaries(st.from_regex("[a-z_]{1,9}", fullmatch=True), VALUE, min_size=1))
def test_any_table_survives_toml(table):
    assert tomllib.loads(tables_text({"one": table, "two": table})) == {"one": table, "two": table}


def test_a_recipe_survives_toml():
    recipe = replace(NAMED, corpus=CorpusSection(path='strange "name"\\\n\x7f.jsonl', fields=("a", "b")))
    text = tables_text({section: changed(getattr(recipe, section)) for section in SECTIONS})
    assert parse_recipe(text.encode()) == recipe


def test_no_two_keys_have_one_parameter():
    named = [rule.parameter for cls in SECTIONS.values() for rule in keys_of(cls).values() if rule.parameter]
    assert len(named) == len(set(named)) == len(parameter_keys())


def test_parameters_and_recipe_say_the_same():
    recipe = parse_recipe(
        b'[model]\nname = "acme"\nbase = "a/b"\n[corpus]\nsource = "opensearch"\nendpoint = "https://x.example"\n'
        b'index = "docs"\nfields = ["title", "text"]\n[train]\nlearning_rate = 2e-5\nbatch_size = 4\n'
        b"[aws]\ndeploy = false\nregister = false\n"
    )
    parameters = parameters_of(recipe)
    assert parameters["TextFieldNames"] == "title,text"
    assert parameters["DeployEndpoint"] == "false"
    assert parse_recipe(tables_text(recipe_data(parameters)).encode()) == recipe


@pytest.mark.parametrize("section", list(SECTIONS))
def test_every_key_with_a_parameter_is_set_by_it(section):
    for one in fields(SECTIONS[section]):
        rule = one.metadata["key"]
        if not rule.parameter:
            continue
        text = parameters_of(NAMED)[rule.parameter] or "x"
        assert one.name in recipe_data({rule.parameter: text})[section]


def test_parameters_go_over_a_recipe_and_empty_ones_say_nothing():
    base = b'[teach]\nnegatives = 7\n[train]\nsteps = 3\n[corpus]\nindex = "kept"\n'
    found = recipe_data({"MaxSteps": "9", "OpenSearchIndexName": "", "Unknown": "x"}, base)
    assert found == {"teach": {"negatives": 7}, "train": {"steps": 9}, "corpus": {"index": "kept"}}


def test_all_values_that_are_none_are_told_at_once():
    with pytest.raises(RequestError) as caught:
        recipe_data({"MaxSteps": "many", "LearningRate": "5e", "DeployEndpoint": "yes"})
    assert {fault.field for fault in caught.value.faults} == {"MaxSteps", "LearningRate", "DeployEndpoint"}


def test_a_base_that_is_no_toml_is_refused():
    with pytest.raises(RequestError, match="RecipeUri: is no TOML"):
        recipe_data({}, b"\xff")


def test_a_machine_with_eight_gpus_trains_with_eight_processes_unless_the_recipe_says_how_many():
    large = {"aws": {"training_instance": "ml.p4d.24xlarge"}}
    assert with_machine(large)["train"]["processes"] == 8
    assert with_machine({**large, "train": {"processes": 2}})["train"]["processes"] == 2
    assert with_machine({})["train"]["processes"] == 1


def test_a_machine_with_eight_gpus_scores_with_eight_processes_unless_the_recipe_says_how_many():
    large = {"aws": {"scoring_instance": "ml.p4d.24xlarge"}}
    assert with_machine(large)["engine"]["processes"] == 8
    assert with_machine({**large, "engine": {"processes": 2}})["engine"]["processes"] == 2
    assert with_machine({})["engine"]["processes"] == 1


def test_an_endpoint_must_be_deployed_to_be_registered():
    with pytest.raises(RequestError, match=r"aws.register: needs an endpoint"):
        parse_recipe(b'[model]\nname = "a"\n[corpus]\npath = "a"\n[aws]\ndeploy = false\n')
