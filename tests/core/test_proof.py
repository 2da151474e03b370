"""The verdict follows from the numbers: laws first, then each kind's own rule."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from factories import make_comparison, make_proof, with_comparisons
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.comparison import Comparison
from release_tool.core.kinds import ModelKind
from release_tool.core.plan import Tolerances
from release_tool.core.proof import RINGS, Proof, allowed, judge, limit_of, proof_name

KINDS = list(ModelKind)
DEFAULT = Tolerances()

small = st.floats(min_value=0, max_value=10)
counts = st.integers(min_value=0, max_value=3)


@st.composite
def comparisons(draw, kind):
    over = {"tokens_reference": draw(st.one_of(st.none(), st.just(6), st.just(7)))}
    if kind is not ModelKind.HIGHLIGHTER:
        over |= {"max_abs": draw(st.one_of(small, st.just(math.nan))), "scale": draw(small)}
    if kind in (ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER):
        over |= {"missing": draw(counts), "extra": draw(counts)}
    if kind in (ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER, ModelKind.METRICS_CORRELATION):
        over |= {"same_answer": draw(st.booleans()), "margin": draw(st.one_of(st.none(), small))}
    return make_comparison(kind, **over)


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(KINDS))
    return kind, draw(st.sampled_from(RINGS)), draw(comparisons(kind))


@given(cases(), st.sampled_from([name for name in Tolerances.__slots__ if name != "sparse_threshold"]), small)
def test_a_larger_tolerance_never_turns_a_pass_into_a_failure(case, name, more):
    kind, ring, item = case
    wider = replace(DEFAULT, **{name: getattr(DEFAULT, name) + more})
    if judge(item, kind, ring, DEFAULT) is None:
        assert judge(item, kind, ring, wider) is None


@given(cases(), st.sampled_from([math.nan, math.inf]))
def test_a_difference_that_is_not_finite_always_fails(case, value):
    kind, ring, item = case
    endless = Tolerances(**dict.fromkeys(Tolerances.__slots__, 1e300))
    if kind is not ModelKind.HIGHLIGHTER:
        assert judge(replace(item, max_abs=value), kind, ring, endless) is not None


@given(cases(), st.integers(min_value=1))
def test_numbers_that_are_not_finite_always_fail_whoever_gave_them(case, count):
    kind, ring, item = case
    assert judge(replace(item, not_finite=count), kind, ring, DEFAULT) is not None
    assert judge(replace(item, not_finite_reference=count), kind, ring, DEFAULT) is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ring", RINGS)
def test_what_was_not_measured_fails(kind, ring):
    assert judge(Comparison(probe="a", shape="short", tokens=3), kind, ring, DEFAULT) is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ring", RINGS)
def test_equal_answers_pass(kind, ring):
    assert judge(make_comparison(kind), kind, ring, DEFAULT) is None


def test_the_dense_tolerance_grows_with_the_reference_only_above_one():
    at = {scale: allowed(make_comparison(scale=scale), ModelKind.DENSE, "runtime", DEFAULT) for scale in (0.1, 1, 30)}
    assert at == {0.1: 1e-5, 1: 1e-5, 30: pytest.approx(3e-4)}


def test_an_infinite_reference_does_not_make_the_tolerance_infinite():
    item = make_comparison(scale=math.inf, max_abs=1.0)
    assert judge(item, ModelKind.DENSE, "runtime", DEFAULT) is not None


def test_the_scale_does_not_widen_the_tolerance_of_logits_and_weights():
    for kind, limit in ((ModelKind.CROSS_ENCODER, 1e-4), (ModelKind.SPARSE, 1e-3)):
        assert allowed(make_comparison(kind, scale=50.0), kind, "runtime", DEFAULT) == limit


def test_the_node_allows_dense_ten_times_the_runtime_and_no_other_ring_does():
    assert limit_of(ModelKind.DENSE, "node", DEFAULT) == 1e-4
    assert limit_of(ModelKind.DENSE, "runtime", DEFAULT) == limit_of(ModelKind.DENSE, "legacy", DEFAULT) == 1e-5


def test_metrics_correlation_is_allowed_ten_times_as_much_wherever_another_libtorch_answers():
    limits = [limit_of(ModelKind.METRICS_CORRELATION, ring, DEFAULT) for ring in ("runtime", "legacy", "node")]
    assert limits == [1e-5, 1e-4, 1e-4]


def test_the_boundary_itself_passes_and_the_next_number_fails():
    edge = make_comparison(max_abs=1e-5)
    assert judge(edge, ModelKind.DENSE, "runtime", DEFAULT) is None
    assert judge(replace(edge, max_abs=math.nextafter(1e-5, 1)), ModelKind.DENSE, "runtime", DEFAULT) is not None


def test_another_number_of_tokens_fails_even_where_the_answers_agree():
    bad = judge(make_comparison(tokens=128, tokens_reference=9), ModelKind.DENSE, "runtime", DEFAULT)
    assert bad is not None
    assert "reads 128 tokens, the source 9" in bad[1]


def test_another_size_fails_whatever_the_difference_is():
    item = make_comparison(size=16, size_reference=32, max_abs=0.0)
    bad = judge(item, ModelKind.DENSE, "runtime", DEFAULT)
    assert bad == (math.inf, "probe short-1 (short, 6 tokens): the archive answers 16 numbers, the source 32")


def test_a_refusal_is_told_in_the_runtimes_own_words():
    bad = judge(make_comparison(error="Input mismatch", max_abs=None), ModelKind.DENSE, "node", DEFAULT)
    assert bad is not None
    assert bad[1].endswith("the runtime refused it: Input mismatch")


def test_one_missing_sparse_token_fails_however_small_the_weights_differ():
    item = make_comparison(ModelKind.SPARSE, missing=1, max_abs=0.0)
    bad = judge(item, ModelKind.SPARSE, "runtime", DEFAULT)
    assert bad is not None
    assert "1 tokens missing and 0 extra above 0.001" in bad[1]


def test_a_sparse_proof_without_token_sets_proves_nothing():
    item = make_comparison(ModelKind.SPARSE, missing=None)
    assert judge(item, ModelKind.SPARSE, "runtime", DEFAULT) is not None


@pytest.mark.parametrize(("kind", "limit"), [(ModelKind.QUESTION_ANSWERING, 1e-3), (ModelKind.HIGHLIGHTER, 1e-4)])
def test_another_answer_passes_only_where_the_source_is_undecided(kind, limit):
    item = make_comparison(kind, same_answer=False, max_abs=None)
    assert judge(replace(item, margin=limit), kind, "node", DEFAULT) is None
    for margin in (limit * 1.01, math.nan, None):
        assert judge(replace(item, margin=margin), kind, "node", DEFAULT) is not None


def test_logits_of_question_answering_are_judged_too():
    item = make_comparison(ModelKind.QUESTION_ANSWERING, same_answer=True, max_abs=1e-3)
    assert judge(item, ModelKind.QUESTION_ANSWERING, "runtime", DEFAULT) is not None


def test_a_tolerance_of_zero_is_no_division_by_zero():
    zero = Tolerances(**dict.fromkeys(Tolerances.__slots__, 0.0))
    assert judge(make_comparison(max_abs=0.0), ModelKind.DENSE, "runtime", zero) is None
    assert judge(make_comparison(max_abs=1e-9), ModelKind.DENSE, "runtime", zero) is not None


def test_failures_come_worst_first_with_what_is_not_comparable_before_all():
    proof = with_comparisons(
        make_proof(),
        make_comparison(probe="a", max_abs=2e-5),
        make_comparison(probe="b", max_abs=math.nan),
        make_comparison(probe="c", max_abs=3e-2),
        make_comparison(probe="d"),
        make_comparison(probe="e", error="no"),
    )
    assert [item.probe for item, _ in proof.ranked(DEFAULT)] == ["b", "e", "c", "a"]
    assert [line.split()[1] for line in proof.failures(DEFAULT)] == ["b", "e", "c", "a"]


@given(st.permutations([1e-4, 2e-4, 1e-4, math.nan, math.inf, 1e-9]))
def test_the_order_of_probes_does_not_change_the_failures(values):
    named = {0: "a", 1: "b", 2: "c", 3: "d", 4: "e", 5: "f"}
    ordered = [1e-4, 2e-4, 1e-4, math.nan, math.inf, 1e-9]
    base = with_comparisons(
        make_proof(), *(make_comparison(probe=named[i], max_abs=value) for i, value in enumerate(ordered))
    )
    shuffled = with_comparisons(
        base, *(next(c for c in base.comparisons if c.max_abs is v or c.max_abs == v) for v in values)
    )
    assert sorted(set(base.failures(DEFAULT))) == sorted(set(base.failures(DEFAULT)) | set(shuffled.failures(DEFAULT)))


def test_a_proof_without_probes_fails():
    assert with_comparisons(make_proof()).failures(DEFAULT) == ("no probe was answered",)


def test_the_worst_probe_of_a_green_proof_is_known():
    proof = with_comparisons(make_proof(), make_comparison(probe="a"), make_comparison(probe="b", max_abs=9e-6))
    worst = proof.worst()
    assert worst is not None
    assert worst.probe == "b"


def test_another_tolerance_gives_another_verdict_of_the_same_proof():
    proof = with_comparisons(make_proof(), make_comparison(max_abs=5e-5))
    assert proof.failures(DEFAULT)
    assert not proof.failures(replace(DEFAULT, dense_runtime=1e-4))


def test_a_proof_survives_its_file_and_a_proof_of_before_the_newer_fields_is_read():
    proof = make_proof()
    assert decode_text(Proof, encode_text(proof)) == proof
    newer = (
        "tokens_reference",
        "size",
        "size_reference",
        "norm",
        "norm_reference",
        "worst",
        "not_finite_reference",
    )
    text = "\n".join(line for line in encode_text(proof).splitlines() if not any(f'"{key}"' in line for key in newer))
    text = text.replace('"error": null,\n', '"error": null\n')
    assert decode_text(Proof, text).comparisons[0].tokens_reference is None


def test_documents_are_named_by_ring_and_artifact():
    assert proof_name("runtime", "onnx") == "proof-runtime-onnx.json"
