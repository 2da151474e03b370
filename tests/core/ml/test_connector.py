"""A connector is checked with the server's rules and with those that it lacks, and no secret is in it."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.ml.blueprints import BLUEPRINTS, blueprint, fill
from release_tool.core.ml.connector import FIELDS, create, endpoints, is_alike, read_connector
from release_tool.core.ml.connector_actions import asked_for
from release_tool.core.ml.credentials import variable_for, with_secrets
from release_tool.core.ml.placeholders import filled, inputs
from release_tool.errors import RequestError, UsageError

SECRET = "MARKED-secret-4Kd8"
DOCUMENTED = {
    "name": "OpenAI Connector",
    "description": "The connector to public OpenAI model service for GPT 3.5",
    "version": 1,
    "protocol": "http",
    "parameters": {"endpoint": "api.openai.com", "max_tokens": 7, "temperature": 0, "model": "text-davinci-003"},
    "credential": {"openAI_key": "..."},
    "actions": [
        {
            "action_type": "predict",
            "method": "POST",
            "url": "https://${parameters.endpoint}/v1/completions",
            "headers": {"Authorization": "Bearer ${credential.openAI_key}"},
            "request_body": '{ "model": "${parameters.model}", "prompt": "${parameters.prompt}", "max_tokens": '
            '${parameters.max_tokens}, "temperature": ${parameters.temperature} }',
        }
    ],
}
"""The internal connector of the page about the Register API."""
AWS = {"region": "us-east-1", "service_name": "bedrock"}


def changed(*, action=None, without=(), **fields):
    """Return the documented connector with other fields, or with other fields of its action."""
    data = copy.deepcopy(DOCUMENTED) | fields
    if action:
        data["actions"][0] |= action
    for name in without:
        data.pop(name)
    return data


def faults_of(data, **how):
    """Return the faults of a connector, field → words."""
    with pytest.raises(RequestError) as caught:
        read_connector(data, **how)
    return {one.field: f"{one.problem} {one.hint}" for one in caught.value.faults}


def test_the_documented_connector_is_taken_and_its_ellipsis_becomes_a_variable():
    checked = read_connector(DOCUMENTED)
    assert checked.body["credential"] == {"openAI_key": "${env.OPENAI_KEY}"}
    assert any("credential.openAI_key" in note for note in checked.notes)
    assert {**checked.body, "credential": DOCUMENTED["credential"]} == DOCUMENTED
    assert list(checked.body) == [name for name in FIELDS if name in DOCUMENTED]
    assert endpoints(checked.body) == ("https://api.openai.com/v1/completions",)
    assert asked_for(checked.body["actions"][0], checked.parameters) == ("prompt",)


def test_a_secret_in_the_file_is_refused_and_never_repeated():
    data = changed(credential={"openAI_key": SECRET, "roleArn": "arn:aws:iam::123456789012:role/x"})
    with pytest.raises(RequestError) as caught:
        read_connector(data)
    assert [one.field for one in caught.value.faults] == ["credential.openAI_key"]
    assert "${env.OPENAI_KEY}" in str(caught.value)
    assert SECRET not in str(caught.value) + caught.value.hint


def test_secrets_are_filled_into_credentials_alone_and_only_when_the_request_leaves():
    data = changed(description="${env.OPENAI_KEY}", credential={"openAI_key": "${env.OPENAI_KEY}"})
    data["description"] = "see the variable"
    checked = read_connector(data)
    checked.body["parameters"]["model"] = "${env.OPENAI_KEY}"
    request = create(checked)
    assert SECRET not in json.dumps(request.body)
    sent = with_secrets(request, {"OPENAI_KEY": SECRET})
    assert sent.body["credential"] == {"openAI_key": SECRET}
    assert json.dumps(sent.body).count(SECRET) == 1
    assert "${env.OPENAI_KEY}" in request.body["credential"]["openAI_key"]


def test_variables_that_are_not_set_are_all_named():
    checked = read_connector(changed(credential={"openAI_key": "${env.ONE}", "other": "${env.TWO}"}))
    with pytest.raises(UsageError, match="ONE, TWO"):
        with_secrets(create(checked), {"OPENAI_KEY": SECRET})


@pytest.mark.parametrize(
    ("field", "variable"),
    [("openAI_key", "OPENAI_KEY"), ("cohere_key", "COHERE_KEY"), ("access_key", "AWS_ACCESS_KEY_ID"),
     ("secret_key", "AWS_SECRET_ACCESS_KEY"), ("roleArn", "ROLE_ARN")],
)  # fmt: skip
def test_a_variable_is_named_after_the_field(field, variable):
    assert variable_for(field) == variable


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        (changed(without=["name"]), "name", "missing"),
        (changed(without=["version"]), "version", "missing"),
        (changed(without=["credential"]), "credential", "even where the model asks for none"),
        (changed(credential={}), "credential", "missing or empty"),
        (changed(protocol="https"), "protocol", "did you mean http?"),
        (changed(name="A & B"), "name", "refuse"),
        (changed(cerdential={}), "cerdential", "did you mean credential?"),
        (changed(actions=[]), "actions", "missing or empty"),
        (changed(parameters={"a": "${parameters.b}", "b": "${parameters.a}"}), "parameters.a", "back to itself"),
        (changed(parameters=DOCUMENTED["parameters"] | {"x": None}), "parameters.x", "null"),
        (changed(access_mode="restricted"), "backend_roles", "missing"),
        (changed(access_mode="public", backend_roles=["r"]), "backend_roles", "restricted"),
        (changed(client_config={"read_timeot": 3}), "client_config.read_timeot", "did you mean read_timeout?"),
        (changed(client_config={"max_connection": -3}), "client_config.max_connection", "counts"),
        (changed(client_config={"retry_backoff_policy": "twice"}), "client_config.retry_backoff_policy", "one of"),
    ],
)
def test_a_fault_of_a_connector_is_told_by_the_name_of_its_field(data, field, words):
    assert words in faults_of(data)[field]


@pytest.mark.parametrize(
    ("action", "field", "words"),
    [
        ({"url": "https://${parameters.host}/v1"}, "url", "could choose where it leads"),
        ({"url": "https://${credential.openAI_key}/v1"}, "url", "into headers, never into an address"),
        ({"url": "https://user:word@example.org/v1"}, "url", "user or a password"),
        ({"url": "api.openai.com/v1"}, "url", "begins with https://"),
        ({"url": ""}, "url", "missing"),
        ({"action_type": "predikt"}, "action_type", "did you mean predict?"),
        ({"method": "PSOT"}, "method", "did you mean POST?"),
        ({"name": "predict"}, "name", "no name of an action"),
        ({"headers": {"Authorization": "Bearer ${credential.openai_key}"}}, "headers.Authorization", "openAI_key"),
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, "headers.Authorization", "secret itself"),
        ({"headers": {"x-model": "${parameters.modle}"}}, "headers.x-model", "parameters lack"),
        ({"request_body": '{"key": "${credential.openAI_key}"}'}, "request_body", "never into a body"),
        ({"request_body": '{"prompt": ${parameter.prompt}}'}, "request_body", "does not fill"),
        ({"request_body": '{"prompt": ${parameters.prompt}'}, "request_body", "no JSON"),
        ({"request_body": '{"model": ${parameters.model}}'}, "request_body", "no JSON"),
        ({"request_body": {"prompt": "x"}}, "request_body", "write JSON as a text"),
        ({"pre_process_function": "onnector.pre_process.openai.embedding"}, "pre_process_function", "did you mean"),
        ({"post_process_function": "connector.post_process.openai.embeding"}, "post_process_function", "did you mean"),
        ({"pre_process_function": "connector.pre_process.openai.embedding"}, "request_body", "would not see it"),
        ({"pre_proces_function": "return 1;"}, "pre_proces_function", "did you mean pre_process_function?"),
    ],
)
def test_a_fault_of_an_action_is_told_by_the_name_of_its_field(action, field, words):
    found = faults_of(changed(action=action), where="connector.")
    assert words in found[f"connector.actions[0].{field}"]


def test_a_function_that_the_server_is_too_old_for_is_refused_with_both_versions():
    action = {
        "request_body": '{"documents": ${parameters.documents}}',
        "pre_process_function": "connector.pre_process.cohere.rerank",
    }
    assert "from 2.12 on; this one is 2.11.0" in str(faults_of(changed(action=action), version="2.11.0"))
    read_connector(changed(action=action), version="2.12.0")


def test_scripts_and_bodies_of_several_lines_are_taken():
    action = {"post_process_function": "\n  return params.choices[0].text;\n", "request_body": '{"a": 1}\n{"b": 2}\n'}
    assert read_connector(changed(action=action)).body["actions"][0]["request_body"].count("\n") == 2


def test_a_signed_connector_wants_keys_region_and_service():
    found = faults_of(changed(protocol="aws_sigv4", credential={"access_key": "${env.A}"}))
    assert {"credential.secret_key", "parameters.region", "parameters.service_name"} <= set(found)
    role = {"roleArn": "arn:aws:iam::123456789012:role/models"}
    action = {"headers": {"content-type": "application/json"}}
    data = changed(protocol="aws_sigv4", credential=role, parameters=DOCUMENTED["parameters"] | AWS, action=action)
    assert any("Missing credential" in note for note in read_connector(data).notes)


def test_an_update_names_only_what_changes():
    assert read_connector({"description": "new"}, update=True).body == {"description": "new"}
    action = [DOCUMENTED["actions"][0]]
    assert read_connector({"actions": action}, update=True).body == {"actions": action}
    assert "name" in faults_of({"name": "A & B"}, update=True)


def test_what_the_server_adds_to_a_connector_does_not_come_back():
    shown = changed(created_time=1, last_updated_time=2, owner=None)
    assert set(read_connector(shown).body) == set(DOCUMENTED)


def test_a_connector_is_known_again_in_the_servers_own_words():
    ours = read_connector(DOCUMENTED).body
    theirs = copy.deepcopy(ours) | {"version": "1", "created_time": 3}
    theirs.pop("credential")
    theirs["parameters"] = {name: str(value) for name, value in ours["parameters"].items()}
    theirs["actions"][0]["action_type"] = "PREDICT"
    assert is_alike(ours, theirs)
    theirs["parameters"]["model"] = "another"
    assert not is_alike(ours, theirs)


# ---------------------------------------------------------------------------------------------------------------------
# Placeholders


@given(st.dictionaries(st.sampled_from("abcd"), st.text(alphabet="xyz{}$ \"'", max_size=8), max_size=4))
def test_filling_puts_every_value_in_its_place_and_leaves_the_others(values):
    text = "<${parameters.a}|${parameters.b:-none}|${credential.a}>"
    found = filled(text, values)
    a = values.get("a", "${parameters.a}")
    assert found == f"<{a}|{values.get('b', 'none')}|${{credential.a}}>"


def test_values_may_name_values():
    values = {"api": "Comprehend_${parameters.version}.${parameters.name}", "version": 20171127, "name": "Detect"}
    assert filled("${parameters.api}", values) == "Comprehend_20171127.Detect"
    assert inputs("${parameters.api} ${parameters.Text} ${parameters.x:-null}", values) == ("Text",)


# ---------------------------------------------------------------------------------------------------------------------
# Blueprints


def complete(chosen, **values):
    """Return the connector of a blueprint with what it must be told."""
    needed = {"region": "eu-central-1", "endpoint": "my-endpoint"}
    lacking = {one.name: needed[one.name] for one in chosen.variables if one.default is None}
    return fill(chosen, lacking | values)


@pytest.mark.parametrize("chosen", BLUEPRINTS, ids=lambda one: one.name)
def test_every_blueprint_is_a_connector_without_a_fault_and_without_a_note(chosen):
    checked = read_connector(complete(chosen), version=f"{chosen.since}.0")
    assert checked.notes == ()
    assert "{{" not in json.dumps(checked.body)
    (url,) = endpoints(checked.body)
    assert url.startswith("https://")
    wanted = asked_for(checked.body["actions"][0], checked.parameters)
    assert set(wanted) <= set(chosen.ask.get("parameters", ()))


@pytest.mark.parametrize("chosen", BLUEPRINTS, ids=lambda one: one.name)
def test_every_blueprint_says_truly_since_when_it_can_be_used(chosen):
    major, minor = (int(part) for part in chosen.since.split("."))
    if chosen.since == "2.9":
        return
    with pytest.raises(RequestError, match="this one is"):
        read_connector(complete(chosen), version=f"{major}.{minor - 1}.0")


def test_variables_that_lack_or_are_unknown_or_wrong_are_all_told():
    with pytest.raises(RequestError) as caught:
        fill(blueprint("bedrock-claude-3"), {"regoin": "x", "max_tokens": "many"})
    assert [one.field for one in caught.value.faults] == ["regoin", "region", "max_tokens"]
    with pytest.raises(UsageError, match=r"did you mean openai-chat\?"):
        blueprint("open-ai-chat")


def test_an_address_of_ones_own_takes_the_place_of_the_services():
    data = fill(blueprint("openai-chat"), {"base_url": "http://models.example.org:8000/v1"})
    assert endpoints(read_connector(data).body) == ("http://models.example.org:8000/v1/chat/completions",)
    with pytest.raises(RequestError):
        fill(blueprint("openai-chat"), {"base_url": "http://models.example.org/v1/"})


def test_a_role_takes_the_place_of_keys_and_a_stored_secret_that_of_a_key():
    role = "arn:aws:iam::123456789012:role/models"
    made = fill(blueprint("bedrock-claude-3"), {"region": "us-east-1"}, {"roleArn": role})
    assert made["credential"] == {"roleArn": role}
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:openai-x"
    made = fill(blueprint("openai-chat"), {}, {"secretArn": secret, "roleArn": role})
    assert made["actions"][0]["headers"]["Authorization"] == "Bearer ${credential.secretArn.openAI_key}"
    assert read_connector(made).body["credential"] == {"secretArn": secret, "roleArn": role}
