"""Comparing two sets of answers: laws first, then what each kind counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from factories import sha
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as np_arrays

from release_tool.core.codec import encode_text
from release_tool.core.kinds import ModelKind
from release_tool.core.plan import Tolerances
from release_tool.core.probes import Probe
from release_tool.core.proof import judge
from release_tool.models.answers import AnswerFacts, Answers, pack_rows
from release_tool.models.compare import (
    Measured,
    Rules,
    compare,
    cosine,
    differences,
    sparse_cosine,
    sparse_differences,
    spread,
)

finite = st.floats(-1e3, 1e3, width=32)
anything = st.one_of(finite, st.sampled_from([math.nan, math.inf, -math.inf]))
weights = st.dictionaries(st.integers(0, 40), st.floats(0, 5, width=32), max_size=12)


def probes_of(count):
    return [Probe(id=f"p{index}", shape="short", text="a") for index in range(count)]


def oracle(kind, arrays, count, **facts):
    inputs = {
        "tokens": np.full(count, 5, np.int32),
        "input_indptr": np.zeros(count + 1, np.int64),
        "input_ids": np.zeros(0, np.int32),
    }
    given_facts = {
        "kind": kind,
        "plan_sha256": sha("1"),
        "probes_sha256": sha("2"),
        "source_tree": sha("3"),
        "max_length": 512,
        "batching": "single",
        "versions": {},
        "probes": tuple(f"p{index}" for index in range(count)),
    }
    return Answers(facts=AnswerFacts(**{**given_facts, **facts}), arrays={**inputs, **arrays})


def csr(*rows):
    ids = [np.asarray(sorted(row), np.int32) for row in rows]
    indptr, packed = pack_rows(ids, np.int32)
    values = pack_rows([np.asarray([row[i] for i in sorted(row)]) for row in rows], np.float32)[1]
    return {"indptr": indptr, "ids": packed, "weights": values}


def dense_pair(mine, theirs):
    reference = oracle(ModelKind.DENSE, {"embedding": theirs}, len(theirs))
    return compare(probes_of(len(theirs)), reference, Measured(arrays={"embedding": mine}))


# --- laws --------------------------------------------------------------------------------------------------------


@given(np_arrays(np.float32, (3, 4), elements=finite))
def test_equal_answers_do_not_differ_and_are_judged_equal(values):
    for item in dense_pair(values, values):
        assert item.max_abs == 0
        assert judge(item, ModelKind.DENSE, "runtime", Tolerances()) is None


@given(np_arrays(np.float32, 5, elements=finite), np_arrays(np.float32, 5, elements=finite))
def test_distance_is_symmetric(first, second):
    there, back = differences(first, second), differences(second, first)
    assert there["max_abs"] == back["max_abs"]
    assert there["worst"] == back["worst"]
    assert cosine(first, second) == cosine(second, first)


@given(weights, weights, st.sampled_from([0.0, 0.1, 0.5]))
def test_sparse_distance_is_symmetric_and_swaps_missing_with_extra(first, second, ratio):
    rules = Rules(prune_ratio=ratio)
    there, back = sparse_differences(first, second, rules), sparse_differences(second, first, rules)
    assert (there["missing"], there["extra"]) == (back["extra"], back["missing"])
    assert (there["max_abs"], there["worst"]) == (back["max_abs"], back["worst"])


@given(weights, st.sampled_from([0.0, 0.1]))
def test_equal_sparse_answers_do_not_differ(row, ratio):
    found = sparse_differences(row, row, Rules(prune_ratio=ratio))
    assert found == {"missing": 0, "extra": 0, "max_abs": 0.0, "worst": None}


@given(np_arrays(np.float32, (2, 4), elements=anything), np_arrays(np.float32, (2, 4), elements=anything))
def test_whatever_the_arrays_hold_a_comparison_can_be_written(mine, theirs):
    for row, item in enumerate(dense_pair(mine, theirs)):
        encode_text(item)
        assert item.not_finite == np.sum(~np.isfinite(mine[row]))
        if item.not_finite or item.not_finite_reference:
            assert judge(item, ModelKind.DENSE, "runtime", Tolerances()) is not None


@given(np_arrays(np.float32, 6, elements=finite), st.floats(0.1, 10))
def test_the_cosine_ignores_the_length(values, factor):
    found = cosine(values * np.float32(factor), values)
    assert found is None or found == pytest.approx(1, abs=1e-6)


# --- kinds -------------------------------------------------------------------------------------------------------


def test_dense_keeps_where_it_is_worst_and_both_lengths():
    theirs = np.asarray([[3, 4, 0]], np.float32)
    (item,) = dense_pair(np.asarray([[3, 4.5, 0]], np.float32), theirs)
    assert (item.max_abs, item.worst, item.scale, item.norm_reference) == (0.5, 1, 4.0, 5.0)
    assert item.norm == pytest.approx(math.hypot(3, 4.5))


def test_another_dimension_is_two_sizes_and_no_difference():
    (item,) = dense_pair(np.ones((1, 2), np.float32), np.ones((1, 3), np.float32))
    assert (item.size, item.size_reference, item.max_abs, item.cosine) == (2, 3, None, None)


def test_a_zero_embedding_has_no_cosine_and_still_a_difference():
    (item,) = dense_pair(np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert item.cosine is None
    assert item.max_abs == 1


def test_tokens_of_both_sides_are_kept_where_the_ring_tells():
    reference = oracle(ModelKind.DENSE, {"embedding": np.ones((1, 2), np.float32)}, 1)
    told = Measured(arrays={"embedding": np.ones((1, 2), np.float32), "tokens": np.asarray([128])})
    (item,) = compare(probes_of(1), reference, told)
    assert (item.tokens, item.tokens_reference) == (128, 5)
    (item,) = compare(probes_of(1), reference, Measured(arrays={"embedding": np.ones((1, 2), np.float32)}))
    assert (item.tokens, item.tokens_reference) == (5, None)


def test_a_refusal_is_kept_shortened_and_nothing_else_is_claimed():
    reference = oracle(ModelKind.DENSE, {"embedding": np.ones((1, 2), np.float32)}, 1)
    refused = Measured(arrays={"embedding": np.full((1, 2), np.nan, np.float32)}, errors={"p0": "no " * 500})
    (item,) = compare(probes_of(1), reference, refused)
    assert item.error is not None
    assert len(item.error) == 300
    assert (item.max_abs, item.not_finite) == (None, 0)


def test_arrays_of_other_probes_are_a_defect():
    reference = oracle(ModelKind.DENSE, {"embedding": np.ones((1, 2), np.float32)}, 1)
    with pytest.raises(ValueError, match="other probes"):
        compare(probes_of(2), reference, Measured(arrays={}))
    with pytest.raises(ValueError, match="2 of 1"):
        compare(probes_of(1), reference, Measured(arrays={"tokens": np.asarray([1, 2])}))


def sparse_pair(mine, theirs, **rules):
    reference = oracle(ModelKind.SPARSE, csr(theirs), 1)
    (item,) = compare(probes_of(1), reference, Measured(arrays=csr(mine)), Rules(**rules))
    return item


def test_sparse_counts_missing_and_extra_tokens_and_finds_the_worst_weight():
    item = sparse_pair({1: 1.0, 2: 2.0, 3: 0.5}, {1: 1.0, 2: 2.25, 4: 0.125})
    assert (item.missing, item.extra, item.active) == (1, 1, 3)
    assert (item.max_abs, item.worst) == (0.5, 3)


def test_tokens_below_the_threshold_on_both_sides_are_no_tokens():
    item = sparse_pair({1: 1.0, 2: 9e-4}, {1: 1.0, 3: 5e-4})
    assert (item.missing, item.extra) == (0, 0)


def test_rounding_at_the_threshold_is_no_difference_and_a_real_one_is():
    assert sparse_pair({1: 0.00100001}, {1: 0.00099999}).extra == 0
    assert sparse_pair({1: 0.0012}, {1: 0.00099999}).extra == 1
    assert sparse_pair({1: 0.00101}, {}).extra == 1


def test_a_weight_at_the_prune_bound_may_fall_on_either_side():
    mine, theirs = {1: 2.0, 2: 0.2000001}, {1: 2.0}
    assert sparse_pair(mine, theirs, prune_ratio=0.1).extra == 0
    assert sparse_pair(mine, theirs, prune_ratio=0.1).max_abs == 0
    assert sparse_pair(mine, theirs).extra == 1
    assert sparse_pair({1: 2.0, 2: 0.21}, theirs, prune_ratio=0.1).extra == 1


def test_a_forgotten_pruning_is_not_hidden_by_the_bound():
    # Everything that the oracle pruned lies below the bound: the archive's answer must be pruned as well.
    item = sparse_pair({1: 2.0, 2: 0.15, 3: 0.05}, {1: 2.0}, prune_ratio=0.1)
    assert item.extra == 2


def test_nan_weights_are_counted_on_both_sides():
    item = sparse_pair({1: math.nan, 2: 1.0}, {2: 1.0})
    assert item.not_finite == 1
    assert sparse_pair({2: 1.0}, {1: math.inf, 2: 1.0}).not_finite_reference == 1


def test_logits_are_compared_one_by_one():
    reference = oracle(ModelKind.CROSS_ENCODER, {"logit": np.asarray([1.0, -8.0], np.float32)}, 2)
    found = compare(probes_of(2), reference, Measured(arrays={"logit": np.asarray([1.0, -7.5], np.float32)}))
    assert [item.max_abs for item in found] == [0.0, 0.5]


def answering(start, end, margin, text):
    indptr, packed = pack_rows([np.asarray(start)], np.float32)
    arrays = {"indptr": indptr, "start": packed, "end": np.asarray(end, np.float32)}
    return oracle(
        ModelKind.QUESTION_ANSWERING, {**arrays, "margin": np.asarray([margin], np.float32)}, 1, texts=(text,)
    )


def test_question_answering_compares_logits_where_it_has_them_and_texts_where_not():
    reference = answering([1, 2, 3], [0, 0, 1], 1.0, "blue")
    logits = {
        "indptr": np.asarray([0, 3]),
        "start": np.asarray([1, 2, 3.5], np.float32),
        "end": np.asarray([0, 0, 1], np.float32),
    }
    (item,) = compare(probes_of(1), reference, Measured(arrays=logits, texts=("blue",)))
    assert (item.max_abs, item.same_answer, item.margin, item.size) == (0.5, True, 1.0, 6)
    (item,) = compare(probes_of(1), reference, Measured(arrays={}, texts=("red",)))
    assert (item.max_abs, item.same_answer) == (None, False)


def test_question_answering_of_another_length_has_another_size():
    reference = answering([1, 2, 3], [0, 0, 1], 1.0, "blue")
    logits = {"indptr": np.asarray([0, 2]), "start": np.ones(2, np.float32), "end": np.ones(2, np.float32)}
    (item,) = compare(probes_of(1), reference, Measured(arrays=logits, texts=("blue",)))
    assert (item.size, item.size_reference) == (4, 6)


def test_the_highlighter_compares_the_selected_sentences():
    arrays = {
        "indptr": np.asarray([0, 2]),
        "selected": np.asarray([0, 3], np.int32),
        "probability_indptr": np.asarray([0, 4]),
        "probability": np.asarray([0.9, 0.1, 0.2, 0.7], np.float32),
        "margin": np.asarray([0.2], np.float32),
    }
    reference = oracle(ModelKind.HIGHLIGHTER, arrays, 1)
    same = Measured(arrays={"indptr": np.asarray([0, 2]), "selected": np.asarray([3, 0], np.int32)})
    other = Measured(arrays={"indptr": np.asarray([0, 1]), "selected": np.asarray([0], np.int32)})
    assert [compare(probes_of(1), reference, m)[0].same_answer for m in (same, other)] == [True, False]


def test_the_cosine_of_sparse_vectors_is_that_of_the_dense_ones():
    mine, theirs = {1: 0.5, 4: 2.0}, {1: 0.25, 7: 1.0}
    dense = [np.zeros(8), np.zeros(8)]
    for vector, weights in zip(dense, (mine, theirs), strict=True):
        vector[list(weights)] = list(weights.values())
    assert sparse_cosine(mine, theirs) == pytest.approx(cosine(dense[0], dense[1]))
    assert sparse_cosine(mine, theirs) == sparse_cosine(theirs, mine)
    assert (sparse_cosine({}, {}), sparse_cosine(mine, {}), sparse_cosine({}, mine)) == (1.0, 0.0, 0.0)


def test_the_spread_is_how_far_the_oracles_logits_lie_apart():
    logits = np.asarray([-3.5, 4.0, np.nan, 0.0], np.float32)
    assert spread(oracle(ModelKind.CROSS_ENCODER, {"logit": logits}, 4)) == 7.5
    assert spread(oracle(ModelKind.CROSS_ENCODER, {"logit": logits[2:3]}, 1)) is None
    assert spread(oracle(ModelKind.DENSE, {"embedding": logits.reshape(2, 2)}, 2)) is None
