"""Budgets, what is over them, settings, and that a red document of quality stops a release."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import make_bundle, make_judged, make_plan, make_proof, make_quality, make_source, sha
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.certificate import fold
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.kinds import ModelKind
from release_tool.core.ledger_columns import QUALITY, row_fault
from release_tool.core.ledger_rows import quality_cell
from release_tool.core.page_quality import points, quality_rows
from release_tool.core.quality import QUALITY_KINDS, Budget, Budgets, Loser, Measures, Quality, over
from release_tool.core.review import blockers
from release_tool.core.settings import parse_settings
from release_tool.errors import UsageError
from release_tool.packaged import packaged_probes


def judged(source, archive, **more):
    means = [Measures(ndcg_10=value, recall_100=1.0, mrr_10=1.0) for value in (source, archive)]
    return make_judged(source=means[0], archive=means[1], **more)


@pytest.mark.parametrize("kind", QUALITY_KINDS)
@pytest.mark.parametrize("variant", ["fp32", "fused"])
def test_float32_may_lose_a_tenth_of_a_point_and_no_more(kind, variant):
    budget = Budgets().of(kind, variant)
    assert over(judged(0.5, 0.499), budget) is None
    assert over(judged(0.5, 0.6), budget) is None
    assert "by 0.11 points; 0.1 points of nDCG@10 may be lost" in over(judged(0.5, 0.4989), budget)


@pytest.mark.parametrize(
    ("kind", "share"), [(ModelKind.DENSE, 0.995), (ModelKind.SPARSE, 0.99), (ModelKind.CROSS_ENCODER, 0.985)]
)
@pytest.mark.parametrize("variant", ["int8", "onnx-int8"])
def test_int8_must_keep_its_share_of_the_source(kind, share, variant):
    budget = Budgets().of(kind, variant)
    assert over(judged(0.4, 0.4 * share), budget) is None
    assert f"{100 * share:g} % of the source's nDCG@10 must be kept" in over(judged(0.4, 0.4 * share - 1e-4), budget)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100))
def test_a_larger_budget_never_refuses_what_a_smaller_one_passes(source, archive, allowed):
    small, large = Budget(loss_points=allowed / 2), Budget(loss_points=allowed)
    assert over(judged(source, archive), large) is None or over(judged(source, archive), small) is not None


def test_a_document_without_a_set_proves_nothing():
    assert make_quality(sets=()).failures() == ("no judged set was measured",)


def test_a_document_survives_its_text():
    loser = Loser(query="q", text="t", source=1.0, archive=0.5, wanted="d", source_rank=1, archive_rank=None)
    quality = make_quality(sets=(judged(0.5, 0.4, losers=(loser,)),))
    assert decode_text(Quality, encode_text(quality)) == quality


def certificate(**over_quality):
    plan, bundle = make_plan(ModelKind.DENSE), make_bundle()
    quality = make_quality(**over_quality)
    return plan, fold(plan, make_source(), bundle, (make_proof(),), {}, quality)


def test_a_red_set_makes_the_certificate_red_and_blocks_the_release():
    plan, good = certificate()
    assert good.green
    plan, bad = certificate(sets=(judged(0.5, 0.45),))
    assert not bad.green
    assert bad.failures() == {"runtime": ()}
    reasons = blockers(plan, {"torch_script": bad}, packaged_probes())
    assert any(
        reason.startswith("torch_script: retrieval quality: release-tool: nDCG@10 falls from 0.5000 to 0.4500")
        for reason in reasons
    )


def test_quality_of_another_archive_or_kind_is_no_quality():
    assert "another archive" in certificate(archive_sha256=sha("f"))[1].quality_failures()[0]
    assert "another archive" in certificate(artifact="onnx")[1].quality_failures()[0]
    assert "a sparse model, the bundle about dense" in certificate(kind=ModelKind.SPARSE)[1].quality_failures()[0]


def test_a_certificate_of_before_has_no_quality_and_stays_as_it_was():
    plan, bundle = make_plan(ModelKind.DENSE), make_bundle()
    old = fold(plan, make_source(), bundle, (make_proof(),), {})
    text = encode_text(old).replace('  "quality": null,\n', "")
    assert "quality" not in text
    assert decode_text(type(old), text) == old
    assert old.green


def test_the_page_names_the_queries_that_lose_only_where_the_budget_is_not_kept():
    loser = Loser(query="q7", text="why | so", source=1.0, archive=0.5, wanted="d", source_rank=1, archive_rank=None)
    (row,) = quality_rows(certificate(sets=(judged(0.5, 0.45, losers=(loser,)),))[1])
    assert (row.verdict, row.loss) == ("over budget", "5.00")
    assert row.losers == ("q7: 1.00 → 0.50 (place 1 → not found): why | so",)
    (row,) = quality_rows(certificate(sets=(judged(0.5, 0.4995, losers=(loser,)),))[1])
    assert (row.verdict, row.losers) == ("within budget", ())
    sparse = replace(judged(0.5, 0.5).source, flops=1.25, document_tokens=80.5, query_tokens=7.25)
    (row,) = quality_rows(certificate(sets=(make_judged(archive=sparse, source=sparse, refused=2),))[1])
    assert row.more == "FLOPS 1.25, 80.5 tokens a document, 7.2 a query; the archive refuses 2 texts"


def test_points_are_never_minus_nothing():
    assert [points(value) for value in (-1e-7, 0.0, 0.00123, -0.01)] == ["0.00", "0.00", "0.12", "-1.00"]


def test_the_ledger_says_a_line_for_each_set():
    cell = quality_cell(make_quality(sets=(judged(0.51234, 0.5),)))
    assert cell == {"release-tool": "nDCG@10 0.5000 of 0.5123, 122 queries"}
    row = {"Model ID": "a/b", "Model Version": "1.0.0", "Model Format": "ONNX"}
    assert row_fault({**row, QUALITY: cell}) is None
    assert row_fault({**row, QUALITY: "good"}) == "'Retrieval Quality' is no object"
    assert quality_cell(None) is None


def test_settings_name_sets_and_budgets():
    found = parse_settings(
        b'[quality]\nsets = ["sets/help"]\n'
        b"[quality.loss_points]\ndense = 0\n[quality.kept_per_cent]\ncross-encoder = 99\n"
    ).quality
    assert found.sets == ("sets/help",)
    assert found.budgets.of(ModelKind.DENSE, "fp32") == Budget(loss_points=0.0)
    assert found.budgets.of(ModelKind.SPARSE, "fp32") == Budget(loss_points=0.1)
    assert found.budgets.of(ModelKind.CROSS_ENCODER, "int8") == Budget(kept_per_cent=99.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quality = 3", "something else than a table under quality"),
        ("[quality]\nset = []", "quality.set, which means nothing"),
        ('[quality]\nsets = "a"', "no list of folders"),
        ('[quality]\nsets = ["../a"]', "no list of folders"),
        ('[quality]\nsets = ["/a"]', "no list of folders"),
        ("[quality.loss_points]\ndens = 1", "quality.loss_points.dens, which is no kind that searches"),
        ("[quality.loss_points]\nhighlighter = 1", "which is no kind that searches"),
        ("[quality.loss_points]\ndense = -1", "no number from 0 to 100"),
        ("[quality.kept_per_cent]\ndense = 101", "no number from 0 to 100"),
        ("[quality.kept_per_cent]\ndense = true", "no number from 0 to 100"),
        ("[quality.kept_per_cent]\ndense = nan", "no number from 0 to 100"),
        ("[quality]\nloss_points = 3", "no table at quality.loss_points"),
    ],
)
def test_settings_that_mean_nothing_are_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse_settings(text.encode())
