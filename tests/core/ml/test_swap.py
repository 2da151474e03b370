"""A swap finds each place that names a model, and whatever was done to the pipelines it can be completed and undone."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.ml.naming import mentions, places, unswitched, value_at, with_values
from release_tool.core.ml.pipelines import Side
from release_tool.core.ml.swap import Change, Goal, Position, Swap, merged, next_put, plan_changes, position
from release_tool.core.ml.swap_fields import (
    Look,
    Reached,
    reached,
    read_fields,
    read_settings,
    semantic_fields,
    stale,
    targets,
    unfit,
    used_by,
)

OLD, NEW, THIRD = "cleMb4kBJ1eYAeTMFFg4", "q1hdAKIBhidjG5ntl-4m", "zVheAKIBhidjG5ntBe5f"

INGEST = {
    "description": f"encodes by {OLD}",
    "processors": [
        {"text_embedding": {"model_id": OLD, "field_map": {"text": "vector"}}},
        {"foreach": {"field": "parts", "processor": {"sparse_encoding": {"model_id": OLD, "field_map": {}}}}},
        {"set": {"field": "by", "value": OLD}},
        {"lowercase": {"field": "a", "on_failure": [{"text_image_embedding": {"model_id": OLD}}]}},
        {"text_embedding": {"model_id": THIRD, "field_map": {"text": "other"}}},
    ],
    "on_failure": [{"ml_inference": {"model_id": OLD, "input_map": [{"in": "text"}]}}],
}
SEARCH = {
    "request_processors": [
        {"neural_query_enricher": {"default_model_id": THIRD, "neural_field_default_id": {"a/b": OLD, "c": THIRD}}},
        {"ml_inference": {"model_id": OLD}},
    ],
    "response_processors": [
        {"rerank": {"ml_opensearch": {"model_id": OLD}, "context": {"document_fields": ["text"]}}},
        {"retrieval_augmented_generation": {"model_id": OLD}},
    ],
}


def test_every_kind_of_processor_that_takes_a_model_is_found_also_inside_of_others():
    assert places(INGEST, OLD) == (
        "/processors/0/text_embedding/model_id",
        "/processors/1/foreach/processor/sparse_encoding/model_id",
        "/processors/3/lowercase/on_failure/0/text_image_embedding/model_id",
        "/on_failure/0/ml_inference/model_id",
    )
    assert places(SEARCH, OLD) == (
        "/request_processors/0/neural_query_enricher/neural_field_default_id/a~1b",
        "/request_processors/1/ml_inference/model_id",
        "/response_processors/0/rerank/ml_opensearch/model_id",
        "/response_processors/1/retrieval_augmented_generation/model_id",
    )


def test_what_only_its_author_can_judge_is_told_and_not_switched():
    assert unswitched(INGEST, OLD) == ("/description", "/processors/2/set/value")
    changed = with_values(INGEST, places(INGEST, OLD), NEW)
    assert value_at(changed, "/processors/2/set/value") == OLD
    assert value_at(changed, "/processors/4/text_embedding/model_id") == THIRD
    assert INGEST["processors"][0]["text_embedding"]["model_id"] == OLD


json_values = st.recursive(
    st.sampled_from([OLD, NEW, "text", 1, None, True, f"x {OLD}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model_id", "a/b", "m~n", "processors", "rerank", OLD]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values)
def test_every_mention_is_a_pointer_that_leads_to_it(value):
    for pointer in mentions(value, OLD):
        last = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        assert OLD in last or OLD in str(value_at(value, pointer))


processor = st.one_of(
    st.builds(
        lambda who: {"text_embedding": {"model_id": who, "field_map": {"t": "v"}}}, st.sampled_from([OLD, THIRD])
    ),
    st.builds(lambda who: {"rerank": {"ml_opensearch": {"model_id": who}}}, st.sampled_from([OLD, THIRD])),
    st.builds(
        lambda who, one: {"neural_query_enricher": {"default_model_id": who, "neural_field_default_id": {"f": one}}},
        st.sampled_from([OLD, THIRD]), st.sampled_from([OLD, THIRD]),
    ),
    st.just({"lowercase": {"field": "a"}}),
)  # fmt: skip
bodies = st.builds(
    lambda inner, nested: {
        "processors": [*inner, {"foreach": {"field": "x", "processor": nested}}],
        "on_failure": inner[:1],
    },
    st.lists(processor, max_size=3),
    processor,
)
clusters = st.fixed_dictionaries(
    {side: st.dictionaries(st.sampled_from(["a", "b", "c"]), bodies, max_size=3) for side in Side}
)


def swap_of(pipelines, goal=Goal.FORWARD):
    return Swap(
        cluster="x", old=OLD, new=NEW, archive_sha256="", there_before=(), new_group=False, new_was_deployed=False,
        old_was_deployed=True, goal=goal, changes=plan_changes(pipelines, OLD),
    )  # fmt: skip


def run(swap, pipelines, steps=None):
    """Do what next_put says, at most ``steps`` times; return how often."""
    done = 0
    while steps is None or done < steps:
        current = {(side, name): body for side, named in pipelines.items() for name, body in named.items()}
        step = next_put(swap, current)
        if step is None:
            return done
        change, body = step
        assert body is not None
        pipelines[change.side][change.name] = body
        done += 1
        assert done <= len(swap.changes)
    return done


@given(clusters, st.integers(0, 6), st.integers(0, 6))
def test_cut_anywhere_on_both_ways_a_swap_completes_and_leaves_no_trace_when_it_is_undone(pipelines, first, second):
    before = copy.deepcopy(pipelines)
    swap = decode_text(Swap, encode_text(swap_of(pipelines)))
    run(swap, pipelines, first)
    back = swap_of(before, Goal.BACK)
    run(back, pipelines, second)
    run(swap, pipelines)
    assert not plan_changes(pipelines, OLD)
    for change in swap.changes:
        assert position(change, pipelines[change.side][change.name], OLD, NEW) is Position.NEW
    run(back, pipelines)
    assert pipelines == before


@given(clusters, st.integers(0, 6))
def test_a_second_look_half_way_knows_what_was_there_before_the_first(pipelines, steps):
    before = copy.deepcopy(pipelines)
    swap = swap_of(pipelines)
    run(swap, pipelines, steps)
    again = merged(swap.changes, plan_changes(pipelines, OLD), OLD, NEW)
    assert again == swap.changes
    assert all(change.before == before[change.side][change.name] for change in again)


def test_documents_are_encoded_by_the_new_model_before_queries_are_and_back_the_other_way_round():
    pipelines = {Side.INGEST: {"z": INGEST}, Side.SEARCH: {"a": SEARCH}}
    current = {(side, name): body for side, named in pipelines.items() for name, body in named.items()}
    assert next_put(swap_of(pipelines), current)[0].side is Side.INGEST
    switched = {key: with_values(body, places(body, OLD), NEW) for key, body in current.items()}
    assert next_put(swap_of(pipelines, Goal.BACK), switched)[0].side is Side.SEARCH


def change(body):
    return Change(side=Side.INGEST, name="p", before=body, places=places(body, OLD))


def one(*who):
    return {"processors": [{"text_embedding": {"model_id": name, "field_map": {"t": "v"}}} for name in who]}


def test_a_pipeline_that_somebody_edited_meanwhile_keeps_the_edit_on_both_ways():
    swap = swap_of({Side.INGEST: {"p": one(OLD)}})
    edited = {**one(OLD), "description": "edited"}
    _, body = next_put(swap, {(Side.INGEST, "p"): edited})
    assert body == {**one(NEW), "description": "edited"}
    back = swap_of({Side.INGEST: {"p": one(OLD)}}, Goal.BACK)
    assert next_put(back, {(Side.INGEST, "p"): body})[1] == edited


def test_a_pipeline_whose_places_are_others_now_is_left_to_a_person_if_it_names_the_wrong_model():
    back = swap_of({Side.INGEST: {"p": one(OLD)}}, Goal.BACK)
    moved = one(THIRD, NEW)
    found, body = next_put(back, {(Side.INGEST, "p"): moved})
    assert (found.name, body) == ("p", None)
    assert next_put(back, {(Side.INGEST, "p"): one(THIRD)}) is None
    assert next_put(back, {}) is None


def test_a_pipeline_rewritten_before_it_was_switched_is_taken_as_it_is_now():
    known, now = change(one(OLD)), change(one(THIRD, OLD))
    (found,) = merged((known,), (now,), OLD, NEW)
    assert found == now


def test_a_pipeline_to_which_the_old_model_was_added_after_the_switch_is_switched_there_too_and_restored_everywhere():
    known, now = change(one(OLD)), change(one(NEW, OLD))
    (found,) = merged((known,), (now,), OLD, NEW)
    assert found.before == one(OLD, OLD)
    assert len(found.places) == 2


MAPPINGS = {
    "articles": {
        "mappings": {
            "properties": {
                "vector": {"type": "knn_vector", "dimension": 384},
                "title": {"properties": {"vector": {"type": "knn_vector", "dimension": "8"}}},
                "tokens": {"type": "rank_features"},
                "text": {"type": "text"},
            }
        }
    },
    "meanings": {"mappings": {"properties": {"text": {"type": "semantic", "model_id": OLD}}}},
    "empty": {"mappings": {}},
}


def look(ingest=None, search=None, settings=None):
    return Look(
        pipelines={Side.INGEST: ingest or {}, Side.SEARCH: search or {}},
        settings=settings or {},
        fields=read_fields(MAPPINGS),
    )


def test_the_fields_that_a_pipeline_fills_are_found_by_the_index_that_uses_it():
    encode = {"text_embedding": {"model_id": OLD, "field_map": {"text": "vector", "title": {"text": "vector"}}}}
    seen = look(
        ingest={"outer": {"processors": [{"pipeline": {"name": "inner"}}]}, "inner": {"processors": [encode]}},
        settings={"articles": {"index.default_pipeline": "outer"}},
    )
    assert used_by(seen, "articles", Side.INGEST) == ("outer", "inner")
    found = reached(seen, OLD, "TEXT_EMBEDDING")
    assert [(one.field, one.dimension, one.pipeline) for one in found] == [
        ("title.vector", 8, "inner"),
        ("vector", 384, "inner"),
    ]
    assert not reached(seen, THIRD, "TEXT_EMBEDDING")


def test_a_dense_model_that_only_encodes_queries_still_needs_vectors_of_its_own():
    enrich = {"neural_query_enricher": {"default_model_id": OLD, "neural_field_default_id": {"vector": THIRD}}}
    seen = look(
        search={"s": {"request_processors": [enrich]}},
        settings={"articles": {"index.search.default_pipeline": "s"}},
    )
    assert [one.field for one in reached(seen, OLD, "TEXT_EMBEDDING")] == ["title.vector"]
    assert [one.field for one in reached(seen, THIRD, "TEXT_EMBEDDING")] == ["vector"]
    assert not reached(seen, OLD, "SPARSE_ENCODING")


@pytest.mark.parametrize(
    ("kind", "settings", "fields"),
    [
        ("text_image_embedding", {"embedding": "v"}, {"v"}),
        ("ml_inference", {"output_map": [{"v": "x"}, {"w": "y"}]}, {"v", "w"}),
        ("sparse_encoding", {"field_map": {"a.b": "t", "c": [{"d": "u"}]}}, {"a.t", "t", "c.u", "u"}),
        ("lowercase", {"field": "v"}, set()),
    ],
)
def test_the_targets_of_each_kind_of_processor(kind, settings, fields):
    assert targets(kind, settings) == fields


def test_vectors_of_another_size_fit_nowhere_and_old_documents_are_named_with_what_to_do():
    field = Reached(
        index="articles", field="vector", type="knn_vector", dimension=384, side=Side.INGEST, pipeline="encode"
    )
    assert "384" in unfit((field,), 768)[0].why
    assert unfit((field,), 384) == ()
    assert unfit((field,), None) == ()
    (left,) = stale((field,), {("articles", "vector"): 12345})
    assert "12,345 documents" in left.why
    assert "wrong neighbours" in left.why
    assert "pipeline encode" in left.todo
    assert stale((field,), {("articles", "vector"): 0}) == ()


def test_a_mapping_that_names_the_model_is_told():
    (left,) = semantic_fields(look(), OLD)
    assert left.where == "index meanings, field text"


def test_only_pipelines_that_an_index_really_uses_count():
    reply = {
        "a": {"settings": {"index.default_pipeline": "_none"}},
        "b": {"settings": {"index.final_pipeline": "p"}},
        "c": {"settings": {}},
    }
    assert read_settings(reply) == {"b": {"index.final_pipeline": "p"}}
