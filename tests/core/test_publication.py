"""What a publication writes, and what may be overwritten."""

from __future__ import annotations

import pytest
from factories import make_artifact, make_bundle, make_facts, make_plan
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.bundle import FileDigest
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.plan import LicenceFacts
from release_tool.core.publication import (
    Claim,
    claim_key,
    claims,
    evidence_uploads,
    licence_refusal,
    marker_key,
    model_uploads,
)
from release_tool.core.review import make_review

DIGESTS = st.sampled_from(["a" * 64, "b" * 64, "c" * 64, "d" * 64])
CLAIMS = st.builds(
    Claim,
    key=st.just("k"),
    approved=DIGESTS,
    released_at=st.just("2026-01-01T00:00:00Z"),
    objects=st.dictionaries(st.sampled_from(["k", "k/config"]), DIGESTS, min_size=1),
    replaces=st.none() | st.dictionaries(st.sampled_from(["k", "k/config"]), DIGESTS, min_size=1),
    instead_of=st.none() | DIGESTS,
    leftovers=st.lists(DIGESTS, unique=True).map(tuple),
)
PLAN = make_plan()
BUNDLES = {
    artifact.id: make_bundle(
        ModelKind.DENSE,
        artifact.format,
        artifact=artifact.id,
        archive=FileDigest(path=f"archives/{artifact.id}.zip", size=3, sha256=str(number) * 64),
        config=FileDigest(path=f"archives/{artifact.id}.config.json", size=2, sha256=str(number + 5) * 64),
    )
    for number, artifact in enumerate(PLAN.artifacts)
}


@given(CLAIMS)
def test_a_claim_comes_back_as_it_was_written(claim):
    assert decode_text(Claim, encode_text(claim)) == claim


@given(CLAIMS)
def test_what_a_dead_release_wanted_to_replace_is_never_left_behind_for_anybody(claim):
    left = set(claim.left_behind())
    replaced = set((claim.replaces or {}).values())
    assert not left & replaced
    assert left | replaced >= {*claim.leftovers, *claim.objects.values()}
    assert claim.left_behind() == tuple(sorted(left))


def test_claims_are_in_the_order_of_their_keys_whatever_the_order_of_the_plan():
    served = model_uploads(PLAN, BUNDLES)
    found = claims(PLAN, served, "f" * 64, "now")
    other = make_plan(artifacts=tuple(reversed(PLAN.artifacts)))
    assert found == claims(other, model_uploads(other, BUNDLES), "f" * 64, "now")
    assert [claim.key for claim in found] == sorted(artifact.key for artifact in PLAN.artifacts)


def test_a_claim_names_the_bytes_of_its_two_objects_and_what_the_plan_replaces_there():
    first, second = PLAN.artifacts
    plan = make_plan(replaces={first.key: "1" * 64, second.config_key: "2" * 64})
    found = {claim.key: claim for claim in claims(plan, model_uploads(plan, BUNDLES), "f" * 64, "now")}
    for artifact in PLAN.artifacts:
        bundle = BUNDLES[artifact.id]
        wanted = {artifact.key: bundle.archive.sha256, artifact.config_key: bundle.config.sha256}
        assert found[artifact.key].objects == wanted
    assert found[first.key].replaces == {first.key: "1" * 64}
    assert found[second.key].replaces == {second.config_key: "2" * 64}


def test_an_archive_comes_before_its_config():
    keys = [upload.key for upload in model_uploads(PLAN, BUNDLES)]
    for artifact in PLAN.artifacts:
        assert keys.index(artifact.key) + 1 == keys.index(artifact.config_key)


def test_nothing_but_archives_and_configs_lies_under_ml_models():
    own = FileDigest(path="review.json", size=1, sha256="9" * 64)
    files = [FileDigest(path="plan.json", size=1, sha256="8" * 64)]
    files += [file for bundle in BUNDLES.values() for file in (bundle.archive, bundle.config)]
    pages = [FileDigest(path="review.html", size=1, sha256="7" * 64)]
    review = make_review(PLAN, files, (), pages)
    evidence = evidence_uploads(PLAN, BUNDLES, review, own)
    assert [upload.key.removeprefix(f"releases/{review.digest}/") for upload in evidence] == [
        "plan.json",
        "review.html",
        "review.json",
    ]
    assert [upload.fixed for upload in evidence] == [True, False, False]
    served = {upload.key for upload in model_uploads(PLAN, BUNDLES)}
    assert served == {key for artifact in PLAN.artifacts for key in (artifact.key, artifact.config_key)}
    others = {*(claim_key(artifact.key) for artifact in PLAN.artifacts), marker_key(review.digest)}
    assert not [key for key in others if key.startswith("ml-models/")]


def test_media_types_follow_from_the_ending_of_a_key():
    types = {upload.key.rpartition(".")[2]: upload.content_type for upload in model_uploads(PLAN, BUNDLES)}
    assert types == {"zip": "application/zip", "json": "application/json"}


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        (LicenceFacts(declared="apache-2.0", listed=True), None),
        (LicenceFacts(declared="mine", listed=False, accepted="mine"), None),
        (LicenceFacts(declared="mine", listed=False), "'mine'"),
        (LicenceFacts(declared=None, listed=False), "names no licence"),
    ],
)
def test_a_licence_is_listed_or_accepted_by_name(licence, refused):
    said = licence_refusal(make_plan(source=make_facts(licence=licence)))
    assert (said is None) if refused is None else (refused in said)


def test_two_artifacts_never_share_a_claim():
    artifacts = [make_artifact(fmt=fmt) for fmt in Format]
    assert len({claim_key(artifact.key) for artifact in artifacts}) == len(artifacts)
