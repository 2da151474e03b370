"""A config.json is what plan and archive make it: whatever else it says, a job that runs a model's code has written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from factories import MODEL_CONFIG, make_bundle, make_facts, make_model_facts, make_plan, make_request
from hypothesis import given, settings
from hypothesis import strategies as st
from releases import config_of

from release_tool.core.config import all_config_text, config_text
from release_tool.core.config_held import config_fault
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import Format, Framework, ModelKind


def held(plan, change=lambda request: request, *, index=0, bundle=None):
    """Return what is said of the config.json of an artifact after a change."""
    artifact = plan.artifacts[index]
    bundle = bundle or make_bundle(artifact.kind, artifact.format)
    request = change(json.loads(config_of(plan, artifact, bundle.archive)))
    return config_fault(
        plan, artifact, bundle, request if isinstance(request, bytes) else config_text(request).encode()
    )


def with_inner(**over):
    return lambda request: {**request, "model_config": {**request["model_config"], **over}}


@pytest.mark.parametrize("kind", ModelKind)
def test_what_trace_writes_holds_for_every_kind_and_format(kind):
    plan = make_plan(kind)
    for index, _ in enumerate(plan.artifacts):
        assert held(plan, index=index) is None


@pytest.mark.parametrize(
    "over",
    [
        {"framework": Framework.HUGGINGFACE_TRANSFORMERS},
        {"model": {"query_prefix": "query: ", "passage_prefix": "passage: ", "similarity": "dot"}},
        {"pooling_mode": None, "normalize_result": False},
    ],
)
def test_what_trace_writes_holds_for_every_setting(over):
    assert held(make_plan(**over)) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda request: {**request, "name": "huggingface/acme/other"}, "'name' is 'huggingface/acme/other' where"),
        (lambda request: {**request, "version": "1.0.1"}, "'version' is '1.0.1'"),
        (lambda request: {**request, "description": "Trust me."}, "'description' is 'Trust me.'"),
        (lambda request: {**request, "model_format": "ONNX"}, "'model_format'"),
        (lambda request: {**request, "function_name": "REMOTE"}, "'function_name' is 'REMOTE'"),
        (lambda request: {**request, "model_content_hash_value": "0" * 64}, "'model_content_hash_value'"),
        (lambda request: {**request, "model_content_size_in_bytes": 1}, "'model_content_size_in_bytes' is '1'"),
        (lambda request: {**request, "model_content_size_in_bytes": 200_000.0}, "'model_content_size_in_bytes'"),
        (lambda request: {**request, "url": "https://evil.example/a.zip"}, "it holds 'url'"),
        (lambda request: {key: request[key] for key in request if key != "version"}, "it lacks version"),
        (lambda request: {**request, "model_config": "none"}, "all_config"),
        (lambda request: dict(reversed(request.items())), "not written as"),
        (lambda request: json.dumps(request).encode(), "not written as"),
        (lambda request: config_text(request).replace('"name"', '"url": 1, "url": 2, "name"').encode(), "given twice"),
        (lambda _: b"\xff", "no JSON"),
        (lambda _: b"[" * 100_000, "no JSON"),
        (lambda _: b"[]", "no object"),
        (with_inner(pooling_mode="CLS"), "'model_config.pooling_mode' is 'CLS'"),
        (with_inner(normalize_result=1), "'model_config.normalize_result' is '1'"),
        (with_inner(framework_type="huggingface_transformers"), "'model_config.framework_type'"),
        (with_inner(embedding_dimension=33), "'model_config.embedding_dimension' is '33'"),
        (with_inner(model_type="albert"), "'model_config.model_type' is 'albert'"),
        (with_inner(model_max_length=8), "it holds 'model_config.model_max_length'"),
        (with_inner(query_prefix="ignore: "), "it holds 'model_config.query_prefix'"),
        (with_inner(additional_config={"space_type": "l1"}), "'model_config.additional_config.space_type' is 'l1'"),
        (
            with_inner(additional_config={"space_type": "l2", "url": "x"}),
            "it holds 'model_config.additional_config.url'",
        ),
        (with_inner(all_config=all_config_text({**MODEL_CONFIG, "auto_map": {"AutoModel": "x"}})), "all_config"),
        (with_inner(all_config=MODEL_CONFIG), "all_config"),
    ],
)
def test_everything_else_is_said(change, says):
    assert says in held(make_plan(), change)


@pytest.mark.parametrize("kind", [ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER, ModelKind.HIGHLIGHTER])
def test_a_kind_without_a_config_of_the_model_holds_none(kind):
    given = {**(json.loads(config_of(make_plan(kind), make_plan(kind).artifacts[0], make_bundle(kind).archive)))}
    inner = {**given.get("model_config", {}), "all_config": all_config_text(MODEL_CONFIG)}
    assert "it holds 'model_config" in held(make_plan(kind), lambda request: {**request, "model_config": inner})


@pytest.mark.parametrize(
    ("asked", "stated"), [(384, 32), (None, None)], ids=["another than asked for", "none of a dense model"]
)
def test_the_dimension_of_the_bundle_is_held_against_the_plan(asked, stated):
    bundle = make_bundle(embedding_dimension=stated)
    assert "dimensions" in held(make_plan(request=make_request(embedding_dimension=asked)), bundle=bundle)


def test_a_plan_that_does_not_know_the_models_config_vouches_for_none():
    facts = make_facts(model=make_model_facts(config_sha256=None))
    assert "all_config" in held(make_plan(source=facts))


def test_what_is_shown_of_a_hostile_config_is_one_short_line():
    said = held(make_plan(), lambda request: {**request, "name": "\x1b[31m\n" + "n" * 10_000})
    assert len(said) < 400
    assert "\x1b" not in said
    assert "\n" not in said


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('añ→"\\ ', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4).filter(str.isascii), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(config=st.dictionaries(st.text("abcé", max_size=4), JSON, max_size=4))
def test_any_config_of_a_model_is_held_by_its_digest_alone(config):
    """The plan sees the file, trace reads it again, and the two texts are the same."""
    text = all_config_text(config)
    assert all_config_text(json.loads(text)) == text
    facts = make_model_facts(config_sha256=sha256_bytes(text.encode()))
    plan = make_plan(ModelKind.QUESTION_ANSWERING, source=make_facts(model=facts))
    artifact = replace(plan.artifacts[0], format=Format.TORCH_SCRIPT)
    plan = replace(plan, artifacts=(artifact,))
    bundle = make_bundle(artifact.kind, artifact.format)
    request = json.loads(config_of(plan, artifact, bundle.archive, model_config=config))
    assert config_fault(plan, artifact, bundle, config_text(request).encode()) is None
    request["model_config"]["all_config"] += " "
    assert config_fault(plan, artifact, bundle, config_text(request).encode())
