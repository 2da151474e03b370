"""The manifest: what the digest depends on, and what forbids one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import make_bundle, make_plan, make_proof, make_source
from hypothesis import given
from hypothesis import strategies as st
from releases import comparisons

from release_tool.core.bundle import FileDigest
from release_tool.core.certificate import fold
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import ModelKind
from release_tool.core.review import Review, blockers, digest, make_review, manifest_text, unanswered
from release_tool.packaged import packaged_probes

SHIPPED = packaged_probes()
paths = st.from_regex(r"[a-z][a-z0-9_./-]{0,30}", fullmatch=True)
contents = st.dictionaries(paths, st.binary(max_size=40), min_size=1, max_size=8)


def files_of(data):
    return [FileDigest(path=path, size=len(body), sha256=sha256_bytes(body)) for path, body in data.items()]


@given(contents, st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_change_the_digest(data, random):
    files = files_of(data)
    shuffled = list(files)
    random.shuffle(shuffled)
    assert digest(shuffled) == digest(files)
    assert make_review(make_plan(), shuffled, (), ()) == make_review(make_plan(), files, (), ())


@given(contents, st.data())
def test_any_changed_byte_of_any_file_changes_the_digest(data, draw):
    path = draw.draw(st.sampled_from(sorted(data)))
    body = data[path]
    at = draw.draw(st.integers(0, len(body)))
    changed = body[:at] + bytes([draw.draw(st.integers(0, 255))]) + body[at + 1 :]
    if changed != body:
        assert digest(files_of(data | {path: changed})) != digest(files_of(data))


@given(contents, paths)
def test_a_renamed_or_removed_file_changes_the_digest(data, name):
    first = min(data)
    rest = {path: body for path, body in data.items() if path != first}
    assert digest(files_of(rest)) != digest(files_of(data))
    if name not in data:
        assert digest(files_of({**rest, name: data[first]})) != digest(files_of(data))


@pytest.mark.parametrize("path", ["a\nb", "a\\b", "a\rb", ""])
def test_a_path_that_sha256sum_would_write_otherwise_is_refused(path):
    with pytest.raises(ValueError, match="manifest"):
        manifest_text([FileDigest(path=path, size=1, sha256="0" * 64)])


def test_a_file_named_twice_is_refused():
    file = FileDigest(path="plan.json", size=1, sha256="0" * 64)
    with pytest.raises(ValueError, match="twice"):
        manifest_text([file, file])


def test_the_document_round_trips_and_knows_when_it_contradicts_itself():
    files = files_of({"plan.json": b"1", "source.json": b"2"})
    review = make_review(make_plan(), files, (), ())
    assert decode_text(Review, encode_text(review)) == review
    assert review.fault() is None
    assert review.uses == {"plan.json": sha256_bytes(b"1"), "source.json": sha256_bytes(b"2")}
    other = files_of({"plan.json": b"3", "source.json": b"2"})
    assert "own files" in replace(review, files=tuple(other)).fault()
    assert "sorted" in replace(review, files=tuple(reversed(review.files))).fault()
    assert "twice" in replace(review, files=(*review.files, review.files[-1])).fault()
    assert "although" in replace(review, reasons=("red",)).fault()
    assert "own files" in replace(review, digest=None).fault()


def test_a_release_with_a_reason_against_it_has_no_digest():
    review = make_review(make_plan(), files_of({"plan.json": b"1"}), ("onnx: red",), ())
    assert review.digest is None
    assert review.fault() is None


def certificate(plan, artifact, **over):
    proof = make_proof(
        artifact=artifact.id, comparisons=comparisons(ModelKind.DENSE, 1e-8, 1e-7), probes_sha256=SHIPPED.sha256
    )
    proofs = over.pop("proofs", (proof,))
    bundle = make_bundle(fmt=artifact.format)
    return fold(plan, make_source(), bundle, tuple(replace(item, **over) for item in proofs), {})


def certified(plan, **over):
    return {artifact.id: certificate(plan, artifact, **over) for artifact in plan.artifacts}


def test_a_plan_whose_artifacts_are_all_proven_is_not_blocked():
    plan = make_plan()
    assert blockers(plan, certified(plan), SHIPPED) == ()


def test_every_artifact_without_a_certificate_is_a_reason():
    plan = make_plan()
    assert [line.split(":")[0] for line in blockers(plan, {}, SHIPPED)] == ["torch_script", "onnx"]


def test_an_artifact_proven_elsewhere_than_in_the_runtime_ring_is_blocked():
    plan = make_plan()
    assert all(
        "runtime ring: it was not measured" in line for line in blockers(plan, certified(plan, ring="node"), SHIPPED)
    )
    assert len(blockers(plan, certified(plan, ring="node"), SHIPPED)) == 2


def test_a_proof_that_leaves_shipped_probes_out_is_blocked():
    plan = make_plan()
    few = comparisons(ModelKind.DENSE, 1e-8, 1e-7)[3:]
    reasons = blockers(plan, certified(plan, comparisons=few), SHIPPED)
    assert len(reasons) == 2
    assert all("3 probes not answered" in reason for reason in reasons)


def test_a_proof_on_other_probes_is_not_measured_by_the_shipped_ones():
    proof = make_proof(probes_sha256="f" * 64)
    assert unanswered(proof, SHIPPED) == ()
    assert unanswered(replace(proof, probes_sha256=SHIPPED.sha256), SHIPPED)


def test_a_runtime_proof_on_other_probes_does_not_release():
    plan = make_plan()
    reasons = blockers(plan, certified(plan, probes_sha256="f" * 64), SHIPPED)
    assert len(reasons) == 2
    assert all("other probes than release-tool ships" in reason for reason in reasons)


def test_a_probe_that_the_ring_can_not_be_asked_is_not_missed():
    plan = make_plan()
    rows = comparisons(ModelKind.DENSE, 1e-8, 1e-7)
    some = certified(plan, comparisons=rows[2:], not_asked=(rows[0].probe, rows[1].probe))
    assert blockers(plan, some, SHIPPED) == ()


def test_a_plan_without_artifacts_is_blocked():
    assert blockers(make_plan(artifacts=()), {}, SHIPPED) == ("the plan has no artifact",)
