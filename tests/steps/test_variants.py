"""Variants of a real (tiny) model from the plan to the ledger: made, proven, judged by version, and found by name."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from io import StringIO

import pytest
from factories import make_artifact, make_plan
from publications import reviewed
from spoiling import spoil
from tiny_models import make

from release_tool.archives.reading import operator_tables, read_archive
from release_tool.cli import run
from release_tool.core import ledger_columns as column
from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.compat import verdicts
from release_tool.core.kinds import Format
from release_tool.core.naming import name_archive
from release_tool.core.opensearch import KNOWN_VERSIONS, number
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import Proof
from release_tool.core.review import Review
from release_tool.core.variants import Variant
from release_tool.core.verdicts import Severity
from release_tool.documents import WorkFolder

IDS = ("torch_script", "onnx", "onnx-int8")


# --- made and proven --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Return the work folder of one release with every variant that can stand side by side."""
    folder = tmp_path_factory.mktemp("variants")
    model = make(folder / "tiny", "bert", "dense", max_length=64)
    options = ("--variant", "fused", "--variant", "int8", "--cpu-only")
    with redirect_stderr(StringIO()) as said:
        assert run(["--work", str(folder / "work"), "run", str(model), "--version", "1.0.0", *options]) == 0
    (folder / "said").write_text(said.getvalue())
    return WorkFolder(folder / "work")


def facts_of(work, artifact):
    folder = work.folder / "archives"
    planned = work.read(ReleasePlan, "plan.json", made_by="plan").artifact(artifact)
    return read_archive(folder / planned.file_name, folder / f"{artifact}.config.json")


def test_the_search_for_int8_says_what_each_round_has_cost(work):
    lines = (work.folder.parent / "said").read_text().splitlines()
    rounds = [line for line in lines if "layers in float32" in line]
    recorded = work.read(Bundle, bundle_name("onnx-int8"), made_by="trace").export.quantised.rounds
    assert len(rounds) == len(recorded)
    assert "cosine off by" in rounds[0]
    assert rounds[-1].endswith("; holds")
    assert "% of nDCG@10 kept" in rounds[-1]


def test_every_variant_is_approved_by_its_own_measure(work):
    assert work.read(Review, "review.json", made_by="review").digest
    proofs = {name: work.read(Proof, f"proof-runtime-{name}.json", made_by="validate") for name in IDS}
    assert [proofs[name].variant for name in IDS] == ["eager-frozen", "fused", "int8"]
    tolerances = work.read(ReleasePlan, "plan.json", made_by="plan").tolerances
    assert all(proof.failures(tolerances) == () for proof in proofs.values())
    # Eight bits are not equal to float32: as such the same numbers are refused.
    assert replace(proofs["onnx-int8"], variant=None).failures(replace(tolerances, dense_runtime=1e-9)) != ()


@pytest.mark.parametrize(("artifact", "first"), [("onnx", "2.5"), ("onnx-int8", "2.5"), ("torch_script", "2.4")])
def test_compat_says_deploys_of_every_version_that_serves_the_format(work, artifact, first):
    judged = verdicts(facts_of(work, artifact), tables=operator_tables())
    assert [verdict.version for verdict in judged if verdict.deploys] == [
        version for version in KNOWN_VERSIONS if number(version) >= number(first)
    ]
    cpu_only = {finding.rule for verdict in judged for finding in verdict.findings if "cpu-only" in finding.rule}
    assert cpu_only == ({"torch-cpu-only"} if artifact == "torch_script" else set())


def test_the_operators_are_those_that_the_variants_are_named_after(work):
    fused, int8 = (facts_of(work, name).onnx.operators for name in ("onnx", "onnx-int8"))
    assert {"com.microsoft::Attention", "com.microsoft::BiasGelu"} <= set(fused)
    assert {"::DynamicQuantizeLinear", "::MatMulInteger"} <= set(int8)
    assert "com.microsoft::Attention" not in int8 or "com.microsoft::QAttention" in int8


def test_compat_shows_frozen_as_cpu_nodes_only(work, capsys):
    archive = next((work.folder / "archives").glob("*torch_script.zip"))
    assert run(["--work", str(work.folder), "compat", str(archive)]) == 0
    out = capsys.readouterr().out
    assert "CPU nodes only" in out
    assert Severity.WARNING.value in out


def test_the_page_has_a_row_a_variant(work):
    page = (work.folder / "review.md").read_text(encoding="utf-8")
    rows = page.split("## Variants")[1].split("## Proofs")[0]
    assert all(word in rows for word in ("eager-frozen", "fused", "int8", "tiny-int8"))
    assert "In eight bits" in page


@pytest.mark.parametrize(("slot", "taken"), [("onnx-int8", "onnx"), ("onnx", "onnx-int8")])
def test_one_variant_in_the_place_of_another_is_refused(work, tmp_path, capsys, slot, taken):
    """float32 is nearer than any tolerance of int8, so that only the graph tells."""
    folder = tmp_path / "work"
    shutil.copytree(work.folder, folder)
    planned = work.read(ReleasePlan, "plan.json", made_by="plan").artifact(taken)
    with zipfile.ZipFile(folder / "archives" / planned.file_name) as source:
        model = next(source.read(name) for name in source.namelist() if name.endswith(".onnx"))
    spoil(folder, slot, lambda archive: archive.members.update({archive.model: model}))
    assert run(["--work", str(folder), "validate"]) == 7
    assert "is not the variant that it is called" in capsys.readouterr().err


def test_a_record_of_layers_that_is_not_the_files_is_refused(work, tmp_path, capsys):
    folder = tmp_path / "work"
    shutil.copytree(work.folder, folder)
    bundle = WorkFolder(folder).read(Bundle, "bundle-onnx-int8.json", made_by="trace")
    quantised = bundle.export.quantised
    weights = (replace(quantised.weights[0], kept=not quantised.weights[0].kept), *quantised.weights[1:])
    export = replace(bundle.export, quantised=replace(quantised, weights=weights))
    WorkFolder(folder).write("bundle-onnx-int8.json", replace(bundle, export=export))
    assert run(["--work", str(folder), "validate"]) == 7
    assert quantised.weights[0].name in capsys.readouterr().err


# --- released ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a repository in which a release with an int8 model beside it was recorded, and its bucket."""
    place = tmp_path_factory.mktemp("released")
    plain = make_plan()
    names = name_archive(
        model_source="huggingface", prefix="acme", model_name="tiny-int8", version="1.0.0", fmt=Format.ONNX
    )
    int8 = make_artifact(fmt=Format.ONNX, id="onnx-int8", variant=Variant.INT8, model_name="tiny-int8", **asdict(names))
    made = replace(plain, artifacts=(*plain.artifacts, int8))

    def named(proof):
        return replace(proof, variant=made.artifact(proof.artifact).variant)

    digest = reviewed(place / "work", plan=made, rings=("runtime", "node"), change_proof=named)
    assert digest
    bucket = (place / "bucket").as_uri()
    assert run(["--work", str(place / "work"), "-q", "publish", "--approved", digest, "--to", bucket]) == 0
    (place / "repo").mkdir()
    assert run(["--work", str(place / "work"), "--repo", str(place / "repo"), "-q", "record"]) == 0
    return place


def tool(released, *arguments):
    return run(["--work", str(released / "work"), "--repo", str(released / "repo"), *arguments])


def test_the_ledger_has_a_row_an_archive_that_names_its_variant(released):
    rows = json.loads((released / "repo" / "supported_models.json").read_bytes())
    found = {row[column.ARTIFACT]: row[column.VARIANT] for row in rows}
    assert found == {"torch_script": "eager", "onnx": "fused", "onnx-int8": "int8"}
    assert len({row[column.KEY] for row in rows}) == 3


def test_both_names_are_listed_shown_and_explained(released, capsys):
    assert tool(released, "models", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"huggingface/acme/tiny", "huggingface/acme/tiny-int8"}
    assert tool(released, "models", "show", "huggingface/acme/tiny-int8") == 0
    out = capsys.readouterr().out
    assert "int8" in out
    assert "torch_script" not in out.lower()
    assert tool(released, "listing", "show") == 0
    assert "tiny-int8" in capsys.readouterr().out
    listing = (released / "repo" / "model_listing" / "pre_trained_models.json").read_text()
    assert "huggingface/acme/tiny-int8" in listing


def test_the_int8_model_can_be_yanked_alone_and_put_back(released, capsys):
    listing = released / "repo" / "model_listing" / "pre_trained_models.json"
    before = listing.read_bytes()
    assert tool(released, "models", "yank", "huggingface/acme/tiny-int8@1.0.0", "--reason", "too far") == 0
    names = listing.read_text()
    assert "huggingface/acme/tiny" in names
    assert "tiny-int8" not in names
    assert tool(released, "models", "restore", "huggingface/acme/tiny-int8@1.0.0") == 0
    assert listing.read_bytes() == before
    capsys.readouterr()


def test_the_listings_made_anew_from_the_bucket_hold_both_names(released, capsys):
    before = (released / "repo" / "model_listing" / "pre_trained_models.json").read_bytes()
    bucket = (released / "bucket").as_uri()
    assert tool(released, "listing", "rebuild", "--to", bucket) == 0
    capsys.readouterr()
    assert (released / "repo" / "model_listing" / "pre_trained_models.json").read_bytes() == before


def test_a_build_is_asked_for_each_name(released, capsys):
    assert tool(released, "notify", "--server", "https://jenkins.example", "--job", "x", "--dry-run") == 0
    out = capsys.readouterr().out
    asked = set(re.findall(r"ml-models/huggingface/acme/[\w-]+", out))
    assert asked == {"ml-models/huggingface/acme/tiny", "ml-models/huggingface/acme/tiny-int8"}
