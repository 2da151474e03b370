"""Requests about remote models: those of the pages pass the checks, any that can be built is one that servers take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from release_tool.core.ml.blueprints import BLUEPRINTS, fill
from release_tool.core.ml.connector import ACCESS_MODES, CLIENT_FIELDS, FIELDS, read_connector
from release_tool.core.ml.corrections import read_request
from release_tool.core.ml.functions import POST_PROCESS, PRE_PROCESS
from release_tool.core.ml.guardrails import read_guardrails
from release_tool.core.ml.interface import read_interface
from release_tool.core.ml.interface_presets import PRESETS
from release_tool.core.ml.register import UNITS, RateLimiter, Wishes
from release_tool.core.ml.remote import by_connector

PAGES = json.loads((Path(__file__).parent / "documented_requests.json").read_text(encoding="utf-8"))
REMOTE = [
    read_request(entry["text"])[0].body for entry in PAGES if '"remote"' in entry["text"]
]  # fmt: skip
TEXT = {"type": "string"}
SAFE = {"type": "string", "pattern": r"^[\w\s.,!?():@\-_/'\"]*$"}
REGEXES = {"type": "array", "items": TEXT, "minItems": 1}
STOP_WORDS = {"type": "array", "minItems": 1, "items": {
    "type": "object", "required": ["index_name", "source_fields"], "additionalProperties": False,
    "properties": {"index_name": TEXT, "source_fields": {"type": "array", "items": TEXT, "minItems": 1}},
}}  # fmt: skip
LOCAL = {"type": "object", "minProperties": 1, "additionalProperties": False,
         "properties": {"stop_words": STOP_WORDS, "regex": REGEXES}}  # fmt: skip
JUDGED = {"type": "object", "required": ["model_id", "response_filter", "response_validation_regex"],
          "additionalProperties": False,
          "properties": {"model_id": TEXT, "response_filter": TEXT, "response_validation_regex": TEXT}}  # fmt: skip


def guardrails_of(kind, side):
    sides = {"input_guardrail": side, "output_guardrail": side}
    return {"type": "object", "required": ["type"], "minProperties": 2, "additionalProperties": False,
            "properties": {"type": {"const": kind}, **sides}}  # fmt: skip


ACTION = {
    "type": "object", "required": ["action_type", "method", "url"], "additionalProperties": False,
    "properties": {
        "action_type": {"enum": ["predict", "execute", "batch_predict", "cancel_batch_predict",
                                 "batch_predict_status"]},
        "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "method": TEXT,
        "url": {"type": "string", "pattern": "^https?://|^\\$\\{parameters\\."}, "request_body": TEXT,
        "headers": {"type": "object", "additionalProperties": TEXT},
        "pre_process_function": TEXT, "post_process_function": TEXT,
    },
}  # fmt: skip
CONNECTOR = {
    "type": "object", "required": ["name", "version", "protocol", "credential", "actions"],
    "additionalProperties": False,
    "properties": {
        "name": {**SAFE, "minLength": 1}, "description": SAFE, "version": {"type": ["string", "number"]},
        "protocol": {"enum": ["http", "aws_sigv4"]}, "parameters": {"type": "object"},
        "credential": {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
        "actions": {"type": "array", "items": ACTION, "minItems": 1},
        "client_config": {"type": "object", "propertyNames": {"enum": list(CLIENT_FIELDS)}},
        "access_mode": {"enum": list(ACCESS_MODES)}, "backend_roles": {"type": "array", "items": TEXT},
        "add_all_backend_roles": {"type": "boolean"},
    },
    "if": {"properties": {"protocol": {"const": "aws_sigv4"}}},
    "then": {"properties": {"parameters": {"required": ["region", "service_name"]}}},
}  # fmt: skip
SCHEMA = {
    "type": "object", "required": ["name", "function_name"], "additionalProperties": False,
    "oneOf": [{"required": ["connector_id"]}, {"required": ["connector"]}],
    "properties": {
        "name": {**SAFE, "minLength": 1}, "description": SAFE, "version": TEXT, "function_name": {"const": "remote"},
        "connector_id": {"type": "string", "minLength": 1}, "connector": CONNECTOR, "model_group_id": TEXT,
        "is_enabled": {"type": "boolean"},
        "rate_limiter": {"type": "object", "required": ["limit", "unit"],
                         "properties": {"unit": {"enum": list(UNITS)}}},
        "guardrails": {"oneOf": [guardrails_of("local_regex", LOCAL), guardrails_of("model", JUDGED)]},
        "interface": {"type": "object", "minProperties": 1, "additionalProperties": False,
                      "properties": {"input": {"type": "object"}, "output": {"type": "object"}}},
    },
}  # fmt: skip
"""What a server takes, written from ML Commons' parsers of 3.6 and not from our builders."""

needed = {"region": "eu-central-1", "endpoint": "tiny"}
filled = st.sampled_from(BLUEPRINTS).map(
    lambda one: fill(one, {name.name: needed[name.name] for name in one.variables if name.default is None})
)
clients = st.dictionaries(st.sampled_from(["max_connection", "read_timeout", "max_retry_times"]), st.integers(0, 99))
connectors = st.builds(
    lambda data, client, mode: {**data, "client_config": client, **({"access_mode": mode} if mode else {})},
    filled, clients, st.none() | st.sampled_from(["public", "private"]),
)  # fmt: skip
names = st.text(alphabet="abc XYZ09.,-_()é", min_size=1, max_size=20)
regexes = st.lists(st.sampled_from(["(?s).*word.*", "a+", "^x$"]), min_size=1, max_size=2)
words = st.lists(
    st.fixed_dictionaries({"index_name": st.uuids().map(str), "source_fields": st.just(["title"])}),
    min_size=1,
    max_size=2,
)
local = st.fixed_dictionaries({}, optional={"regex": regexes, "stop_words": words}).filter(bool)
judged = st.fixed_dictionaries(
    {"model_id": names, "response_validation_regex": st.just('^"yes"$')}, optional={"response_filter": st.just("$.a")}
)


def sided(kind, side):
    both = st.fixed_dictionaries({}, optional={"input_guardrail": side, "output_guardrail": side}).filter(bool)
    return both.map(lambda found: {**found, "type": kind})


guardrails = st.one_of(sided("local_regex", local), sided("model", judged)).map(lambda one: read_guardrails(one).body)
interfaces = st.sampled_from(PRESETS).map(lambda one: one.interface())
wishes = st.builds(
    Wishes,
    name=names,
    description=st.none() | names,
    group_id=st.none() | names,
    is_enabled=st.none() | st.booleans(),
    rate_limiter=st.none() | st.builds(RateLimiter, limit=st.integers(1, 10**6), unit=st.sampled_from(UNITS)),
    guardrails=st.none() | guardrails,
    interface=st.none() | interfaces,
)
VALIDATOR = Draft202012Validator(SCHEMA)


@given(wishes, st.one_of(names.map(lambda one: {"connector_id": one}), connectors.map(lambda one: {"connector": one})))
def test_any_body_of_a_remote_model_that_can_be_built_is_one_that_the_contract_takes(wished, which):
    if "connector" in which:
        which = {"connector": read_connector(which["connector"]).body}
    body = by_connector(wished, **which)
    assert [error.message for error in VALIDATOR.iter_errors(body)] == []


def test_the_schema_of_the_contract_refuses_what_servers_refuse_or_misread():
    good = by_connector(Wishes(name="x"), connector_id="c")
    assert VALIDATOR.is_valid(good)
    for wrong in (
        {"connector": {}}, {"name": "a & b"}, {"guardrails": {"type": "model", "input_guardrail": {"model_id": "x"}}},
        {"interface": {}}, {"model_format": "ONNX"}, {"function_name": "TEXT_EMBEDDING"},
    ):  # fmt: skip
        assert not VALIDATOR.is_valid({**good, **wrong}), wrong
    assert not VALIDATOR.is_valid({"name": "x", "function_name": "remote"})


def test_the_fields_of_the_schema_are_those_that_are_checked():
    assert set(CONNECTOR["properties"]) == set(FIELDS)
    assert all(name.startswith("connector.pre_process.") for name in PRE_PROCESS)
    assert all(name.startswith("connector.post_process.") for name in POST_PROCESS)


@pytest.mark.parametrize("body", REMOTE, ids=range(len(REMOTE)))
def test_a_documented_remote_model_passes_every_check_and_says_the_same_when_it_is_built_anew(body):
    connector = read_connector(body["connector"]).body if "connector" in body else None
    guarded = read_guardrails(body["guardrails"]).body if "guardrails" in body else None
    interface = read_interface(body["interface"]) if "interface" in body else None
    wished = Wishes(
        name=body["name"], description=body["description"], group_id=body.get("model_group_id"), guardrails=guarded,
        interface=interface,
    )  # fmt: skip
    built = by_connector(wished, connector_id=body.get("connector_id"), connector=connector)
    assert VALIDATOR.is_valid(built)
    assert without(built) == without(body)


def without(value):
    """Return a body without what has its own corrections."""
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key not in {"credential", "response_filter"}}
        return {key: without(inner) for key, inner in kept.items()}
    return value


def test_all_remote_requests_of_the_pages_were_found():
    assert len(REMOTE) == 5
