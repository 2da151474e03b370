"""A recipe is read whole: every fault at once, the nearest key named, and nothing that a file says is trusted."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.finetune.keys import changed, keys_of
from release_tool.core.finetune.recipe import SECTIONS, Recipe, parse_recipe
from release_tool.errors import RequestError

LEAST = b'[model]\nname = "acme"\n[corpus]\npath = "a.jsonl"\n'


def faults(text):
    with pytest.raises(RequestError) as caught:
        parse_recipe(text if isinstance(text, bytes) else text.encode())
    return {fault.field: (fault.problem, fault.hint) for fault in caught.value.faults}


def with_key(section, line):
    head = LEAST.decode()
    return head.replace(f"[{section}]\n", f"[{section}]\n{line}\n") if f"[{section}]" in head else head + (
        f"[{section}]\n{line}\n"
    )  # fmt: skip


def test_a_name_and_a_path_are_a_recipe():
    recipe = parse_recipe(LEAST)
    assert (recipe.model.name, recipe.model.base, recipe.queries.provider) == ("acme", "BAAI/bge-m3", "sentences")
    assert changed(recipe.model) == {"name": "acme"}
    assert decode_text(Recipe, encode_text(recipe)) == recipe


def test_all_faults_are_listed_at_once_and_a_misspelt_key_with_the_nearest_one():
    found = faults("""
[modle]
[model]
name = "-no-"
max_lenght = 12
seed = "1"
[corpus]
source = "s4"
fields = ["a", 1]
near_duplicates = 1
similarity = true
[queries]
per_document = 11
temperature = nan
""")
    assert found["modle"] == ("is no section of a recipe", "did you mean model?")
    assert found["model.max_lenght"] == ("means nothing", "did you mean max_length?")
    assert found["model.seed"][0] == "is no whole number"
    assert found["corpus.source"][0] == "is 's4': one of files, s3, opensearch"
    assert found["corpus.fields"][0] == "is no list of texts"
    assert found["corpus.near_duplicates"][0] == "is neither true nor false"
    assert found["corpus.similarity"][0] == "is no number"
    assert found["queries.per_document"][0] == "is 11, allowed is 1 to 10"
    assert found["queries.temperature"][0] == "is no number"
    assert "does not fit" in found["model.name"][0]
    assert len(found) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff", "is no TOML"),
        (b"[model", "is no TOML"),
        (b"[model]\nname = 'a'\nname = 'b'", "is no TOML"),
        (b"a = " + b"[" * 5000, "is no TOML"),
        (b"a = " + b"9" * 5000, "is no TOML"),
    ],
)
def test_what_is_no_toml_is_said_in_one_line(text, said):
    ((problem, _),) = faults(text).values()
    assert problem.startswith(said)
    assert "\n" not in problem
    assert len(problem) < 250


@pytest.mark.parametrize("name", ["model", "corpus", "engine"])
@pytest.mark.parametrize("value", ["1", '"x"', "[1]", "[{}]"])
def test_a_section_that_is_no_table_is_named(name, value):
    text = f"{name} = {value}\n" + "".join(
        block for block in ('[model]\nname = "a"\n', '[corpus]\npath = "a"\n') if name not in block
    )
    assert faults(text)[name] == ("is no table", f"write [{name}] and its keys below")


@pytest.mark.parametrize(
    ("section", "line", "field"),
    [
        ("train", f"learning_rate = {10**400}", "train.learning_rate"),
        ("train", "learning_rate = inf", "train.learning_rate"),
        ("model", f"seed = {10**400}", "model.seed"),
        ("model", "seed = -1", "model.seed"),
        ("corpus", 'fields = ["a\\u0000"]', "corpus.fields"),
        ("queries", 'prompt = "\\u0000"', "queries.prompt"),
        ("queries", 'key_variable = "a=b"', "queries.key_variable"),
    ],
)
def test_values_that_no_machine_can_take_are_faults_and_no_traces(section, line, field):
    found = faults(with_key(section, line))
    assert list(found) == [field]
    assert len(found[field][0]) < 200


def test_text_of_a_recipe_can_write_nothing_into_a_terminal_and_is_cut():
    hostile = "\\u001b[2J\\u202e" + "x" * 500
    found = faults(f'"{hostile}" = 1\n' + with_key("mine", f'engine = "{hostile}"\n"{hostile}" = 1'))
    for field, (problem, hint) in found.items():
        for text in (field, problem, hint):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert len(text) < 300


@pytest.mark.parametrize(
    ("section", "lines", "field"),
    [
        ("corpus", 'source = "s3"', "corpus.s3_path"),
        ("corpus", 'source = "opensearch"\nendpoint = "https://a"', "corpus.index"),
        ("corpus", 'source = "opensearch"\nendpoint = "https://a"\nindex = "i"\nfields = []', "corpus.fields"),
        ("split", "dev = 0.5\ntest = 0.5", "split"),
        ("queries", 'provider = "file"', "queries.path"),
        ("queries", 'provider = "openai"', "queries.endpoint"),
        ("queries", 'provider = "local"', "queries.model"),
        ("queries", 'provider = "bedrock"\nbatch_s3 = "s3://bucket/a"', "queries.batch_role"),
        ("filter", "min_words = 9\nmax_words = 8", "filter.min_words"),
        ("train", 'loss = "kl"\n[teach]\nmodels = []', "train.loss"),
        ("teach", 'models = []\nrevisions = ["a"]', "teach.revisions"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(section, lines, field):
    assert field in faults(with_key(section, lines))


@pytest.mark.parametrize("name", ["a", "acme-search", "A1-b2", "x" * 40])
def test_names_that_fit(name):
    assert parse_recipe(LEAST.replace(b"acme", name.encode())).model.name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "a_b", "x" * 41, "a b", "a\\n", "../a", "é"])
def test_names_that_do_not(name):
    assert list(faults(LEAST.replace(b"acme", name.encode()))) == ["model.name"]


def bounded():
    for name, section in SECTIONS.items():
        for word, rule in keys_of(section).items():
            for bound, beyond in ((rule.low, -1), (rule.high, 1)):
                if bound is not None:
                    yield pytest.param(name, word, bound, beyond, id=f"{name}.{word}{beyond:+}")


@pytest.mark.parametrize(("name", "word", "bound", "beyond"), list(bounded()))
def test_a_bound_is_allowed_and_what_lies_beyond_is_not(name, word, bound, beyond):
    default = next(one.default for one in fields(SECTIONS[name]) if one.name == word)
    is_whole = isinstance(default, int)
    text = with_key(name, f"{word} = {bound if is_whole else float(bound)}")
    try:
        parse_recipe(text.encode())
        said = ""
    except RequestError as error:  # right by itself, but not with its neighbours
        said = str(error)
    assert "allowed" not in said
    assert "allowed" in faults(with_key(name, f"{word} = {bound + beyond if is_whole else float(bound) + beyond}"))[
        f"{name}.{word}"
    ][0]  # fmt: skip


def test_every_key_has_a_meaning_of_one_line_and_a_default_that_it_allows():
    from release_tool.core.finetune.keys import rule_problem

    for name, section in SECTIONS.items():
        for one in fields(section):
            rule = one.metadata["key"]
            assert rule.meaning
            assert "\n" not in rule.meaning
            assert "|" not in rule.meaning + rule.range
            assert rule.is_required or rule_problem(rule, one.default) == "", f"{name}.{one.name}"


def test_a_parameter_of_the_template_sets_one_key():
    found = [rule.parameter for section in SECTIONS.values() for rule in keys_of(section).values() if rule.parameter]
    assert len(found) == len(set(found)) >= 15


@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_a_list_of_faults(data):
    try:
        recipe = parse_recipe(data)
    except RequestError:
        return
    assert recipe.model.name


def test_a_key_that_stands_where_its_variable_belongs_is_not_repeated():
    found = faults(with_key("queries", 'key_variable = "sk-geheim"'))
    assert list(found) == ["queries.key_variable"]
    assert "geheim" not in str(found)
    assert found["queries.key_variable"][0] == "does not fit [A-Z][A-Z0-9_]*"


PRICES = ["queries.dollars_in", "queries.dollars_out"]


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ("https://llm.example.org/v1", PRICES),
        ("https://llm.example.org/v1|dollars_in = 1.0|max_dollars = 5", PRICES[1:]),
        ("https://llm.example.org/v1|dollars_in = 1.0|dollars_out = 2", []),
        ("https://llm.example.org/v1|dollars_in = 0|dollars_out = 0.0", []),  # somebody says that it is free
        ("http://10.0.0.7:8000/v1", PRICES),
        ("http://localhost.example.org/v1", PRICES),
        ("http://localhost:11434/v1", []),
        ("http://127.0.0.1:8000/v1", []),
        ("http://[::1]:8000/v1", []),
        ("http://127.0.0.1:8000/v1|max_dollars = 5.0", PRICES),  # a budget that nothing could be held against
        ("http://127.0.0.1:8000/v1|max_dollars = 5.0|dollars_in = 0", []),
        ("localhost:8000/v1", ["queries.endpoint"]),
    ],
)
def test_a_service_elsewhere_or_a_budget_in_dollars_needs_prices(keys, fields):
    endpoint, *more = keys.split("|")
    lines = ['provider = "openai"', 'model = "writer"', f'endpoint = "{endpoint}"', *more]
    text = with_key("queries", "\n".join(lines))
    if fields:
        assert sorted(faults(text)) == fields
    else:
        assert parse_recipe(text.encode()).queries.endpoint == endpoint


@pytest.mark.parametrize("section", ["queries", "corpus"])
@pytest.mark.parametrize(
    ("address", "is_fault"),
    [
        ("https://host:9200/v1", False),
        ("staging", False),
        ("https://user:geheim@host", True),
        ("https://host/v1?key=geheim", True),
        ("user:geheim@host", True),
        ("ftp://host", True),
    ],
)
def test_an_address_that_holds_a_credential_is_refused_and_not_repeated(section, address, is_fault):
    line = with_key(section, f'endpoint = "{address}"')
    if not is_fault:
        assert parse_recipe(line.encode())
        return
    found = faults(line)
    assert list(found) == [f"{section}.endpoint"]
    assert "geheim" not in str(found)
