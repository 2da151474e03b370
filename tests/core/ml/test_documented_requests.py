"""Every request of the pages on the serving framework, custom models and the register API: as written, or corrected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from release_tool.core.ml.corrections import NotARequest, correct, read_request
from release_tool.core.ml.request import json_bytes

PAGES = json.loads((Path(__file__).parent / "documented_requests.json").read_text(encoding="utf-8"))
SERVING, CUSTOM, REGISTER = "serving framework, 2.4", "custom local models", "register API"

CORRECTED = {
    # (page, its how manieth request) → what a 3.6 needs
    (SERVING, 0): ["trailing-comma", "function-name"],
    (CUSTOM, 0): ["no-effect"],
    (CUSTOM, 2): ["triple-quotes", "model-task-type", "character-set"],
    (REGISTER, 2): ["function-name"],
    (REGISTER, 4): ["credential"],
    (REGISTER, 6): ["response-filter"],
}


def places():
    counts: dict[str, int] = {}
    for entry in PAGES:
        place = counts.get(entry["page"], 0)
        counts[entry["page"]] = place + 1
        yield pytest.param(entry["page"], place, entry["text"], id=f"{entry['page']} {place}")


@pytest.mark.parametrize(("page", "place", "text"), list(places()))
def test_a_documented_request_is_sent_as_written_or_corrected_by_name(page, place, text):
    written, first = read_request(text)
    sent, then = correct(written, "3.6.0")
    assert [one.name for one in (*first, *then)] == CORRECTED.get((page, place), [])
    assert f"{sent.method} {sent.target}".endswith(text.split("\n")[0].partition(" ")[2].lstrip("/"))
    if (page, place) not in CORRECTED or (page == CUSTOM and place == 0):
        assert sent.payload() == written.payload()
    if sent.body is not None and {"function_name", "model_config"} <= set(sent.body):
        keys = list(sent.body)
        assert keys.index("function_name") < keys.index("model_config")


@pytest.mark.parametrize(("page", "place", "text"), list(places()))
def test_a_documented_request_keeps_every_value_that_is_not_named_as_corrected(page, place, text):
    written, _ = read_request(text)
    sent, _ = correct(written, "3.6.0")
    if written.body is None:
        assert sent.body is None
        return
    named = {"function_name", "model_task_type", "description", "connector", "guardrails"}
    for part in ("connector", "guardrails"):
        assert without_corrected(sent.body.get(part)) == without_corrected(written.body.get(part))
    assert {key: value for key, value in sent.body.items() if key not in named} == {
        key: value for key, value in written.body.items() if key not in named
    }


def without_corrected(value):
    """Return a part of a body without what a correction may change in it."""
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key not in {"credential", "response_filter"}}
        return {key: without_corrected(inner) for key, inner in kept.items()}
    return value


def test_pages_of_all_three_were_read():
    assert {entry["page"] for entry in PAGES} == {SERVING, CUSTOM, REGISTER}
    assert len(PAGES) == 23


def body_of(**over):
    return {"name": "m", "model_config": {"pooling_mode": "weightedmean"}, "function_name": "TEXT_EMBEDDING", **over}


def corrected(version, **over):
    text = "POST /_plugins/_ml/models/_register\n" + json_bytes(body_of(**over)).decode()
    return correct(read_request(text)[0], version)


def test_the_pooling_mode_of_the_page_is_written_as_the_server_calls_it():
    sent, made = corrected("3.6.0")
    assert sent.body["model_config"] == {"pooling_mode": "weighted_mean"}
    assert [one.name for one in made] == ["key-order", "pooling-mode"]


def test_the_order_of_keys_is_no_correction_for_a_server_that_does_not_mind_it():
    sent, made = corrected("3.0.0")
    assert [one.name for one in made] == ["pooling-mode"]
    assert list(sent.body)[:3] == ["name", "function_name", "model_config"]


def test_signs_that_are_refused_since_3_1_are_written_otherwise_from_then_on_only():
    assert corrected("3.1.0", description="a & b")[0].body["description"] == "a and b"
    assert corrected("3.0.0", description="a & b")[0].body["description"] == "a & b"


def test_a_sparse_model_loses_the_model_config_that_it_can_not_be_deployed_with():
    sent, made = corrected("3.6.0", function_name="sparse_encoding")
    assert "model_config" not in sent.body
    assert "sparse-model-config" in [one.name for one in made]
    assert "model_config" in corrected("3.0.0", function_name="sparse_encoding")[0].body


def test_new_names_are_the_old_ones_for_a_server_of_2_6():
    request, _ = read_request("POST /_plugins/_ml/models/x/_deploy")
    sent, made = correct(request, "2.6.0")
    assert sent.path == "/_plugins/_ml/models/x/_load"
    assert [one.name for one in made] == ["old-name"]


@pytest.mark.parametrize(
    "text",
    ["", "hello", "POST", "POST /_plugins/_ml/models/<model_id>/_load", "POST /x\nno json", "POST /x\n[1]", "PATCH /x"],
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(NotARequest):
        read_request(text)


def test_commas_and_quotes_inside_of_text_stay_what_they_are():
    request, made = read_request('POST /x\n{"a": "1, }", "b": "x,]\\" ,}"}')
    assert request.body == {"a": "1, }", "b": 'x,]" ,}'}
    assert made == ()
