"""Guardrails, interfaces and trusted addresses: what would pass everything, or nothing, is told before it is sent."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.ml.blueprints import BLUEPRINTS, fill
from release_tool.core.ml.connector import read_connector
from release_tool.core.ml.guardrail_lookups import mapping_faults, model_faults
from release_tool.core.ml.guardrails import GuardrailModel, StopWords, read_guardrails
from release_tool.core.ml.interface import read_interface, wanted_parameters
from release_tool.core.ml.interface_presets import PRESETS, preset_notes, preset_of, repaired
from release_tool.core.ml.java_regex import Soundness, soundness, takes_any_surroundings, widened
from release_tool.core.ml.register import Wishes
from release_tool.core.ml.remote import by_connector
from release_tool.core.ml.trusted import expression_for, is_trusted, merged, trusted_of
from release_tool.errors import RequestError

WORDS = {"index_name": "stop_words_input", "source_fields": ["title"]}
DOCUMENTED = {
    "type": "local_regex",
    "input_guardrail": {"stop_words": [WORDS], "regex": ["regex1", "regex2"]},
    "output_guardrail": {"stop_words": [{**WORDS, "index_name": "stop_words_output"}], "regex": ["regex1", "regex2"]},
}
JUDGE = {"model_id": "o3JaDZABNFJeYR3I2fRV", "response_validation_regex": '^\\s*"[Aa]ccept"\\s*$'}
DOCUMENTED_MODEL = {"input_guardrail": JUDGE, "output_guardrail": JUDGE, "type": "model"}


def faults_of(read, *args, **how):
    with pytest.raises(RequestError) as caught:
        read(*args, **how)
    return {one.field: f"{one.problem} {one.hint}" for one in caught.value.faults}


def test_the_documented_guardrails_are_sent_as_written():
    assert read_guardrails(DOCUMENTED).body == DOCUMENTED
    assert [one.index for one in read_guardrails(DOCUMENTED).stop_words] == ["stop_words_input", "stop_words_output"]


def test_a_guardrail_model_is_always_sent_a_response_filter():
    checked = read_guardrails(DOCUMENTED_MODEL, inputs=("question",))
    assert checked.body["input_guardrail"] == {**JUDGE, "response_filter": ""}
    assert [one.model_id for one in checked.models] == [JUDGE["model_id"]] * 2
    assert not any("every input passes" in note for note in checked.notes)
    assert any("every input passes" in note for note in read_guardrails(DOCUMENTED_MODEL, inputs=("prompt",)).notes)


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ([], "guardrails", "no JSON object"),
        ({"type": "regex"}, "guardrails.type", "local_regex"),
        ({"type": "model"}, "guardrails", "neither the input nor the output"),
        ({"input_guardrails": {}, **DOCUMENTED}, "guardrails.input_guardrails", "did you mean input_guardrail?"),
        ({"input_guardrail": {}}, "guardrails.input_guardrail", "guard nothing"),
        ({"input_guardrail": {"regex": []}}, "guardrails.input_guardrail", "neither stop_words nor regex"),
        ({"input_guardrail": {"regex": ["(a"]}}, "guardrails.input_guardrail.regex[0]", "no regular expression"),
        ({"input_guardrail": {"regex": "a"}}, "guardrails.input_guardrail.regex", "no list"),
        ({"input_guardrail": {"stop_words": [{"index_name": "x"}]}},
         "guardrails.input_guardrail.stop_words[0].source_fields", "skip the entry"),
        ({"input_guardrail": {"stop_words": [WORDS, WORDS]}}, "guardrails.input_guardrail.stop_words", "twice"),
        ({"input_guardrail": {**JUDGE, "regex": ["a"]}}, "guardrails.input_guardrail.model_id", "no field of type"),
        ({"type": "model", "input_guardrail": {"model_id": "x"}},
         "guardrails.input_guardrail.response_validation_regex", "no text"),
        ({"type": "model", "output_guardrail": {"response_validation_regex": "a"}},
         "guardrails.output_guardrail.model_id", "missing"),
    ],
)  # fmt: skip
def test_guardrails_that_guard_nothing_are_refused(data, field, words):
    assert words in faults_of(read_guardrails, data)[field]


def test_guardrails_are_for_remote_models_and_for_servers_that_know_them():
    assert "remote models only" in faults_of(read_guardrails, DOCUMENTED, function_name="TEXT_EMBEDDING")["guardrails"]
    assert "from 2.13 on" in faults_of(read_guardrails, DOCUMENTED, version="2.12.0")["guardrails.type"]
    assert "from 2.15 on" in faults_of(read_guardrails, DOCUMENTED_MODEL, version="2.14.0")["guardrails.type"]


def test_an_index_of_stop_words_must_be_able_to_find_them():
    words = StopWords(field="f", index="i", source_fields=("title", "meta.word"))
    text = {"type": "text"}
    good = {"i": {"mappings": {"properties": {
        "title": text, "query": {"type": "percolator"}, "meta": {"properties": {"word": text}},
    }}}}  # fmt: skip
    assert list(mapping_faults(words, good)) == []
    assert "not there" in str(*mapping_faults(words, None))
    found = [str(one) for one in mapping_faults(words, {"i": {"mappings": {"properties": {"titles": text}}}})]
    assert len(found) == 3
    assert "percolator" in found[0]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (None, "not there"),
        ({"model_state": "UNDEPLOYED", "algorithm": "REMOTE"}, "deploy it first"),
        ({"model_state": "DEPLOYED", "algorithm": "TEXT_EMBEDDING"}, "no remote model"),
    ],
)
def test_a_guardrail_model_must_be_remote_and_deployed(reply, words):
    guard = GuardrailModel(field="f", model_id="m")
    assert words in " ".join(str(one) for one in model_faults(guard, reply))
    assert list(model_faults(guard, {"model_state": "DEPLOYED", "algorithm": "REMOTE"})) == []


# ---------------------------------------------------------------------------------------------------------------------
# Expressions of Java


@pytest.mark.parametrize(
    "expression",
    ["a+", r"\p{L}+", r"(?<word>a)\k<word>", r"\Qa(b\E", "x(?i)y", "[a-z&&[^b]]", "a++", r"(?s).*x.*", "(?u)a"],
)
def test_what_java_takes_is_not_called_broken(expression):
    assert soundness(expression)[0] is not Soundness.BROKEN


@pytest.mark.parametrize("expression", ["(a", "a)", "[a", "*a", "a{2,1}", "+"])
def test_what_java_refuses_is_called_broken(expression):
    assert soundness(expression)[0] is Soundness.BROKEN


@given(st.text(alphabet="ab c", min_size=1, max_size=6), st.text(max_size=20), st.text(max_size=20))
def test_a_widened_expression_finds_its_word_in_any_surroundings(word, before, after):
    made = widened(word)
    assert takes_any_surroundings(made)
    assert re.fullmatch(made, before + word + after)


# ---------------------------------------------------------------------------------------------------------------------
# Interfaces


def test_either_side_of_an_interface_alone_is_taken_and_texts_of_schemas_too():
    side = {"type": "object", "properties": {"parameters": {"required": ["messages"]}}}
    assert read_interface({"output": side}) == {"output": side}
    assert read_interface({"input": '{"type": "object"}'}) == {"input": {"type": "object"}}
    assert wanted_parameters({"input": side}) == ("messages",)


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({}, "interface", "neither input nor output"),
        ([], "interface", "no JSON object"),
        ({"inputs": {}}, "interface.inputs", "did you mean input?"),
        ({"input": "{"}, "interface.input", "no JSON"),
        ({"input": []}, "interface.input", "no object"),
        ({"input": {"type": "strng"}}, "interface.input.type", "did you mean string?"),
        ({"input": {"requierd": ["a"]}}, "interface.input.requierd", "did you mean required?"),
        ({"input": {"required": "a"}}, "interface.input.required", "no list"),
        ({"input": {"properties": []}}, "interface.input.properties.", "no schema"),
        ({"input": {"properties": {"a": {"enum": []}}}}, "interface.input.properties.a.enum", "nothing can meet"),
        ({"output": {"items": {"anyOf": []}}}, "interface.output.items.anyOf[0]", "no schema"),
        ({"output": {"minItems": -1}}, "interface.output.minItems", "below zero"),
        ({"output": {"pattern": "(a"}}, "interface.output.pattern", "no regular expression"),
        ({"input": {"properties": {}, "additionalProperties": False, "required": ["a"]}},
         "interface.input.required", "nothing can meet it"),
    ],
)  # fmt: skip
def test_a_schema_that_is_none_or_that_nothing_meets_is_refused(data, field, words):
    assert words in faults_of(read_interface, data)[field]


def test_an_interface_is_refused_for_servers_that_would_skip_it():
    assert "from 2.14 on" in faults_of(read_interface, {"input": {}}, version="2.13.0")["interface"]


def test_every_preset_is_an_interface_and_has_a_name_of_its_own():
    for preset in PRESETS:
        assert read_interface(preset.interface()) == preset.interface()
    assert len({preset.name for preset in PRESETS}) == len(PRESETS) == 14


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("bedrock-ai21-j2", "bedrock-ai21-j2-mid"),
        ("bedrock-claude-3", "bedrock-claude-3-sonnet"),
        ("bedrock-claude-2", "bedrock-claude-2"),
        ("bedrock-cohere-embed", "bedrock-cohere-embed-english"),
        ("bedrock-titan-embed-text", "bedrock-titan-embed-text"),
        ("bedrock-titan-embed-image", "bedrock-titan-embed-image"),
        ("comprehend-language", "comprehend-dominant-language"),
        ("textract-text", "textract-detect-document-text"),
        ("openai-chat", None),
        ("sagemaker-embedding", None),
    ],
)
def test_a_blueprint_of_a_documented_model_keeps_the_interface_that_the_server_sets(name, preset):
    found = connector_of(name)
    chosen = preset_of(found)
    assert (chosen.name if chosen else None) == preset
    assert chosen is None or list(preset_notes(found, chosen)) == []


def connector_of(name, **parameters):
    chosen = next(one for one in BLUEPRINTS if one.name == name)
    needed = {"region": "us-east-1", "endpoint": "e"}
    made = fill(chosen, {one.name: needed[one.name] for one in chosen.variables if one.default is None})
    made["parameters"] |= parameters
    return read_connector(made).body


def test_without_its_function_a_model_is_held_to_another_interface():
    found = connector_of("bedrock-titan-embed-text")
    found["actions"][0].pop("post_process_function")
    assert preset_of(found).name == "bedrock-titan-embed-text-raw"


def test_where_a_connector_departs_from_its_blueprint_every_prediction_would_be_refused_and_that_is_said():
    found = connector_of("bedrock-claude-3")
    found["parameters"].pop("response_filter")
    action = found["actions"][0]
    action["request_body"] = action["request_body"].replace("parameters.inputs", "parameters.prompt")
    notes = " ".join(preset_notes(found, preset_of(found)))
    assert "requires parameters.inputs of every prediction" in notes
    assert "also wants parameters.prompt" in notes
    assert "without parameters.response_filter every prediction is refused" in notes


def test_an_interface_of_the_servers_own_that_nothing_meets_is_replaced_from_3_3_on():
    preset = preset_of(connector_of("comprehend-language"))
    assert repaired(preset, "3.2.0") is None
    tensor = repaired(preset, "3.3.0")["output"]["properties"]["inference_results"]["items"]["properties"]["output"]
    assert tensor["items"]["properties"]["dataAsMap"]["required"] == ["Languages"]
    assert repaired(preset_of(connector_of("bedrock-claude-3")), "3.6.0") is None


# ---------------------------------------------------------------------------------------------------------------------
# Trusted addresses and remote models


@given(
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z0-9]{1,8}(\.[a-z]{1,5}){0,2}(:[1-9][0-9]{1,3})?", fullmatch=True),
)
def test_an_added_expression_trusts_the_host_and_no_other(scheme, host):
    made = expression_for(f"{scheme}://{host}/v1/chat")
    for path in ("", "/", "/v1/other?x=1"):
        assert is_trusted(f"{scheme}://{host}{path}", [made])
    for other in (f"{host}.evil.org", f"evil{host}", f"{host}@evil.org", host.replace(".", "x") + "y"):
        assert not is_trusted(f"{scheme}://{other}/v1", [made])
    assert not is_trusted(f"ftp://{host}/v1", [made])


@given(
    st.lists(
        st.sampled_from(["^https://a\\.org/.*$", "^https://b\\.org/.*$", ".*", "[[a-z]&&[^b]]+\\p{L}"]), unique=True
    )
)
def test_merging_loses_nothing_and_doing_it_twice_adds_nothing(before):
    urls = ("https://a.org/x", "https://c.org/x", "https://c.org/y")
    after = merged(before, urls)
    assert after[: len(before)] == tuple(before)
    assert len(after) <= len(before) + 2
    assert merged(after, urls) == after


def test_the_list_in_effect_is_the_transient_one_before_the_persistent_one_before_the_default():
    name = "plugins.ml_commons.trusted_connector_endpoints_regex"
    settings = {"persistent": {name: ["p"]}, "transient": {}, "defaults": {name: "[d, e]"}}
    assert trusted_of(settings).expressions == ("p",)
    assert trusted_of({**settings, "transient": {name: ["t"]}}).source == "transient"
    assert trusted_of({**settings, "persistent": {}}).expressions == ("d", "e")
    with pytest.raises(KeyError):
        trusted_of({"persistent": {}})


def test_exactly_one_of_connector_and_its_id_is_sent():
    wishes = Wishes(name="openAI-gpt-3.5-turbo", description="test model", group_id="1jriBYsBq7EKuKzZX131")
    assert by_connector(wishes, connector_id="a1eMb4kBJ1eYAeTMAljY") == {
        "name": "openAI-gpt-3.5-turbo",
        "description": "test model",
        "function_name": "remote",
        "model_group_id": "1jriBYsBq7EKuKzZX131",
        "connector_id": "a1eMb4kBJ1eYAeTMAljY",
    }
    assert "both given" in faults_of(by_connector, wishes, connector_id="a", connector={})["connector_id"]
    assert "both missing" in faults_of(by_connector, wishes)["connector_id"]
    assert "name" in faults_of(by_connector, Wishes(), connector_id="a")
    assert "from 2.9 on" in faults_of(by_connector, wishes, connector_id="a", version="2.8.0")["function_name"]
    assert (
        "parameters"
        in faults_of(by_connector, Wishes(name="n", model_config={"a": 1}), connector_id="a")["model_config"]
    )
