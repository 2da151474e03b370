"""The certificate is a fold: it adds nothing and hides nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import make_bundle, make_comparison, make_plan, make_proof, make_request, make_source, sha
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.certificate import Certificate, certificate_name, fold
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.kinds import ModelKind

USES = {"plan.json": sha("2"), "bundle-torch_script.json": sha("4")}


def certificate(*proofs, **over):
    return fold(over.pop("plan", make_plan()), make_source(), over.pop("bundle", make_bundle()), proofs, USES)


@given(st.permutations(["runtime", "node", "legacy"]), st.permutations(sorted(USES)))
def test_neither_the_order_of_proofs_nor_of_used_files_matters(rings, names):
    proofs = {ring: make_proof(ring=ring) for ring in rings}
    shuffled = fold(
        make_plan(),
        make_source(),
        make_bundle(),
        tuple(proofs[ring] for ring in rings),
        {n: USES[n] for n in names},
    )
    straight = certificate(*(proofs[ring] for ring in sorted(rings)))
    assert shuffled == straight
    assert encode_text(shuffled) == encode_text(straight)


def test_a_green_certificate_lists_every_ring_without_a_reason():
    made = certificate(make_proof(), make_proof(ring="node"))
    assert made.failures() == {"runtime": (), "node": ()}
    assert made.green


def test_without_the_runtime_ring_nothing_is_green():
    made = certificate(make_proof(ring="node"))
    assert made.failures()["runtime"] == ("it was not measured in this ring",)
    assert not made.green
    assert not certificate().green


def test_a_red_proof_makes_a_red_certificate():
    red = make_proof(comparisons=(make_comparison(max_abs=1.0),))
    made = certificate(red, make_proof(ring="node"))
    assert made.failures()["runtime"]
    assert not made.green


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"archive_sha256": sha("f")}, "about another archive"),
        ({"artifact": "onnx"}, "about another archive"),
        ({"kind": ModelKind.SPARSE}, "sparse model"),
        ({"embedding_dimension": 31}, "31 dimensions, the bundle states 32"),
    ],
)
def test_a_proof_that_contradicts_the_bundle_is_a_reason(over, words):
    reasons = certificate(make_proof(**over)).failures()["runtime"]
    assert any(words in reason for reason in reasons)


def test_a_dimension_that_was_asked_for_and_not_measured_is_a_reason():
    plan = make_plan(request=make_request(embedding_dimension=64))
    reasons = certificate(make_proof(), plan=plan).failures()["runtime"]
    assert reasons == ("the embedding has 32 dimensions, the request asks for 64",)


def test_rings_compared_with_different_answers_are_a_reason():
    made = certificate(make_proof(), make_proof(ring="node", answers_sha256=sha("9")))
    assert made.answers_sha256 is None
    assert not made.green


def test_one_ring_twice_is_a_reason():
    made = certificate(make_proof(), make_proof(versions={"torch": "1.13.1"}))
    assert "there is more than one proof of this ring" in made.failures()["runtime"]


def test_a_stricter_plan_turns_the_same_proofs_red():
    plan = make_plan()
    strict = replace(plan, tolerances=replace(plan.tolerances, dense_runtime=1e-8))
    assert certificate(make_proof()).green
    assert not certificate(make_proof(), plan=strict).green


def test_it_survives_its_file():
    made = certificate(make_proof(), make_proof(ring="node"), plan=make_plan(lineage={"recipe": "a"}))
    assert decode_text(Certificate, encode_text(made)) == made
    assert made.lineage == {"recipe": "a"}


def test_it_is_named_by_the_artifact():
    assert certificate_name("onnx") == "certificate-onnx.json"
