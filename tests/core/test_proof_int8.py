"""An int8 archive is judged by how near it is to its source: laws first, then each kind, then what is said of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from factories import make_artifact, make_bundle, make_comparison, make_plan, make_proof, make_quality, make_source
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.certificate import fold
from release_tool.core.diagnosis import diagnose
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.plan import Tolerances
from release_tool.core.proof import RINGS
from release_tool.core.review import blockers
from release_tool.core.variants import Variant
from release_tool.packaged import packaged_probes

KINDS = (ModelKind.DENSE, ModelKind.SPARSE, ModelKind.CROSS_ENCODER)
ASKED = Tolerances(int8_cosine=0.97, int8_norm=0.05, int8_logit=0.1)
SPREAD = 8.0


def measured(kind, off: float, **over):
    """Return a comparison that is ``off`` from the source: 1 less the cosine, or a share of the spread."""
    if kind is ModelKind.CROSS_ENCODER:
        return make_comparison(kind, **{"max_abs": off * SPREAD, **over})
    return make_comparison(kind, **{"max_abs": 0.3, "cosine": 1 - off, **over})


def int8(kind, *comparisons, **over):
    spread = SPREAD if kind is ModelKind.CROSS_ENCODER else None
    return make_proof(kind, **{"variant": Variant.INT8, "spread": spread, "comparisons": comparisons, **over})


def limit(kind) -> float:
    return 0.1 if kind is ModelKind.CROSS_ENCODER else 0.03


@given(st.sampled_from(KINDS), st.sampled_from(RINGS), st.floats(0, 1), st.floats(0, 1))
def test_a_looser_tolerance_never_turns_a_pass_into_a_failure(kind, ring, off, more):
    proof = int8(kind, measured(kind, off), ring=ring)
    looser = replace(ASKED, int8_cosine=0.97 * (1 - more), int8_norm=0.05 + more, int8_logit=0.1 + more)
    if not proof.failures(ASKED):
        assert not proof.failures(looser)


@pytest.mark.parametrize("kind", KINDS)
def test_near_passes_and_further_does_not(kind):
    assert int8(kind, measured(kind, limit(kind) * 0.99)).failures(ASKED) == ()
    (line,) = int8(kind, measured(kind, limit(kind) * 1.01)).failures(ASKED)
    assert "int8" in line


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_of_a_float32_archive_fail(kind):
    near = measured(kind, limit(kind) * 0.5)
    assert int8(kind, near).failures(ASKED) == ()
    assert int8(kind, near, variant=Variant.FUSED).failures(ASKED) != ()
    assert int8(kind, near, variant=None).failures(ASKED) != ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "over",
    [
        {"error": "refused"}, {"not_finite": 1}, {"not_finite_reference": 1}, {"tokens": 9},
        {"size": 3, "size_reference": 4}, {"max_abs": None, "cosine": None}, {"max_abs": math.nan, "cosine": math.nan},
    ],
)  # fmt: skip
def test_what_fails_of_any_archive_fails_of_int8(kind, over):
    assert int8(kind, measured(kind, 0.0, **over)).failures(ASKED) != ()


def test_tokens_of_a_sparse_answer_may_come_and_go():
    assert int8(ModelKind.SPARSE, measured(ModelKind.SPARSE, 0.001, missing=3, extra=4)).failures(ASKED) == ()


def test_a_vector_of_another_length_fails_though_it_points_the_same_way():
    same = measured(ModelKind.DENSE, 0.0, norm=1.04)
    assert int8(ModelKind.DENSE, same).failures(ASKED) == ()
    (line,) = int8(ModelKind.DENSE, replace(same, norm=1.06)).failures(ASKED)
    assert "length" in line


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_from_before_int8_allows_it_nothing(kind):
    older = Tolerances(int8_cosine=None, int8_norm=None, int8_logit=None)
    assert int8(kind, measured(kind, 0.01)).failures(older) != ()


def test_logits_that_all_are_one_are_held_to_float32():
    flat = measured(ModelKind.CROSS_ENCODER, 0.0, max_abs=1e-3)
    assert int8(ModelKind.CROSS_ENCODER, flat, spread=0.0).failures(ASKED) != ()
    assert int8(ModelKind.CROSS_ENCODER, replace(flat, max_abs=1e-5), spread=0.0).failures(ASKED) == ()


def test_the_worst_probe_is_the_one_that_points_away_most():
    off = [measured(ModelKind.DENSE, off, probe=str(off), max_abs=1 - off) for off in (0.02, 0.01, 0.001)]
    proof = int8(ModelKind.DENSE, *off)
    worst = proof.worst()
    assert worst is not None
    assert worst.probe == "0.02"
    assert proof.difference(worst) == pytest.approx(0.02)
    assert proof.allowed(worst, ASKED) == pytest.approx(0.03)


# --- what is said of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("all_of_them", "word"), [(True, "scale"), (False, "inputs")])
def test_the_diagnosis_names_the_quantisation(kind, all_of_them, word):
    rows = [measured(kind, limit(kind) * (2 if all_of_them or n == 7 else 0.1), probe=f"p{n}") for n in range(20)]
    found = diagnose(int8(kind, *rows), ASKED)
    assert found is not None
    assert found.fault == "quantisation"
    assert word in found.cause


def test_the_diagnosis_of_other_lengths_comes_first():
    found = diagnose(int8(ModelKind.DENSE, measured(ModelKind.DENSE, 0.5, tokens=4, probe="a")), ASKED)
    assert found is not None
    assert found.fault != "quantisation"


def certified(variant, planned, quality=None):
    artifact = make_artifact(fmt=Format.ONNX, variant=planned)
    bundle = make_bundle(fmt=Format.ONNX)
    proof = int8(ModelKind.DENSE, measured(ModelKind.DENSE, 0.01), artifact=artifact.id, variant=variant)
    return fold(make_plan(artifacts=(artifact,), tolerances=ASKED), make_source(), bundle, (proof,), {}, quality)


def test_a_proof_can_not_make_itself_an_int8_one():
    assert certified(Variant.INT8, Variant.INT8).green
    lying = certified(Variant.INT8, Variant.FUSED)
    assert not lying.green
    assert "another variant" in lying.failures()["runtime"][0]


def test_an_int8_archive_is_not_released_without_its_retrieval_quality():
    def reasons(certificate):
        found = blockers(certificate.plan, {"onnx": certificate}, packaged_probes())
        return [reason for reason in found if "quality" in reason]

    measured_as = {name: make_quality(artifact="onnx", variant=name) for name in ("int8", "fused")}
    (missing,) = reasons(certified(Variant.INT8, Variant.INT8))
    assert "has none" in missing
    assert reasons(certified(Variant.INT8, Variant.INT8, measured_as["int8"])) == []
    assert reasons(certified(Variant.FUSED, Variant.FUSED)) == [], "of float32 the proofs say enough"
    (other,) = reasons(certified(Variant.FUSED, Variant.FUSED, measured_as["int8"]))
    assert "another variant" in other, "int8 has the milder budget"
