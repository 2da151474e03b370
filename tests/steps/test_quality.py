"""``release-tool quality``: every kind that searches, what is kept, what is refused, and that a kill loses a block."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from judged_sets import ASKED, GRADES, TEXTS, write_set
from tiny_models import make

from release_tool.cli import run
from release_tool.core.certificate import Certificate
from release_tool.core.quality import Quality
from release_tool.documents import WorkFolder, file_sha256
from release_tool.steps import quality_encoding

DENSE = "onnx"


def trace(folder, kind, *more, family="bert"):
    model = make(folder / "tiny", family, kind, max_length=64)
    work = folder / "work"
    assert run(["-q", "--work", str(work), "trace", str(model), "--version", "1.0.0", *more]) == 0
    return work


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("sets") / "mine")


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """Return a work folder with one dense archive that is proven; tests work on copies."""
    work = trace(tmp_path_factory.mktemp("dense"), "dense", "--format", DENSE)
    assert run(["-q", "--work", str(work), "validate"]) == 0
    return work


@pytest.fixture(scope="module")
def measured(tmp_path_factory, proven, judged):
    work = tmp_path_factory.mktemp("measured") / "work"
    shutil.copytree(proven, work)
    assert quality(work, "--set", str(judged)) == 0
    return work


@pytest.fixture
def work(proven, tmp_path):
    return shutil.copytree(proven, tmp_path / "work")


@pytest.fixture
def done(measured, tmp_path):
    return shutil.copytree(measured, tmp_path / "work")


def quality(work, *arguments):
    return run(["--work", str(work), "--repo", str(work), "quality", *arguments])


def document(work, artifact=DENSE):
    return WorkFolder(work).read(Quality, f"quality-{artifact}.json", made_by="quality")


def certificate(work, artifact=DENSE):
    return WorkFolder(work).read(Certificate, f"certificate-{artifact}.json", made_by="validate")


# --- what comes out ------------------------------------------------------------------------------------------------


def test_the_document_names_what_it_used_and_the_certificate_holds_it(measured, judged):
    found = document(measured)
    (one,) = found.sets
    assert (one.name, one.documents, one.queries, one.judgements) == ("mine", 6, 3, 5)
    assert one.files == {
        name: file_sha256(judged / name) for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    }
    assert found.archive_sha256 == certificate(measured).archive_sha256
    assert found.uses == WorkFolder(measured).uses("plan.json", "source.json", f"bundle-{DENSE}.json")
    assert certificate(measured).quality == found
    assert certificate(measured).uses[f"quality-{DENSE}.json"] == file_sha256(measured / f"quality-{DENSE}.json")
    assert one.source == one.archive
    assert 0 < one.archive.ndcg_10 <= 1


def test_the_review_shows_it_and_a_digest(done, capsys):
    assert run(["-q", "--work", str(done), "--repo", str(done), "review"]) == 0
    page = (done / "review.md").read_text()
    assert "## Retrieval quality" in page
    assert "within budget" in page
    assert "not measured" not in page
    assert document(done).sets[0].sha256 in page


def test_what_is_measured_is_not_measured_again_unless_asked(done, judged, capfd, monkeypatch):
    before = (done / f"quality-{DENSE}.json").read_bytes()
    served = []
    real = quality_encoding.serve_block
    monkeypatch.setattr(quality_encoding, "serve_block", lambda *given: (served.append(1), real(*given)))
    assert quality(done, "--set", str(judged)) == 0
    assert "measured already" in capfd.readouterr().err
    assert not served
    assert quality(done, "--set", str(judged), "--again") == 0
    assert len(served) == 2
    assert (done / f"quality-{DENSE}.json").read_bytes() == before


def test_another_archive_finds_the_sources_answers(done, judged, monkeypatch):
    def nobody(*_, **__):
        raise AssertionError("the source was asked again")

    monkeypatch.setattr("release_tool.workers.start", nobody)
    assert quality(done, "--set", str(judged), "--again") == 0


def test_a_further_set_is_added_and_a_changed_one_measured_again(done, tmp_path, capsys):
    other = write_set(tmp_path / "other", grades=(("q1", "d4", 1),))
    assert quality(done, "--set", str(other)) == 0
    assert [one.name for one in document(done).sets] == ["mine", "other"]
    changed = write_set(tmp_path / "new" / "mine", asked={**ASKED, "q4": "weeks"}, grades=(*GRADES, ("q4", "d6", 1)))
    assert quality(done, "--set", str(changed)) == 0
    assert [one.queries for one in document(done).sets] == [4, 1]
    assert certificate(done).quality == document(done)


def test_without_a_set_the_shipped_one_and_those_of_the_settings_are_measured(work, judged, capsys):
    shutil.copytree(judged, work / "sets" / "ours")
    (work / "release-tool.toml").write_text('[quality]\nsets = ["sets/ours"]\n')
    assert run(["--work", str(work), "--repo", str(work), "--json", "quality"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [(line["set"], line["queries"], line["passed"]) for line in lines] == [
        ("ours", 3, True),
        ("release-tool", 122, True),
    ]


@pytest.mark.parametrize(
    ("kind", "more", "artifacts"),
    [
        ("sparse", ("--format", "onnx"), ("onnx",)),
        ("sparse", ("--format", "onnx", "--kind", "sparse", "--kind", "sparse-tokenizer"), ("onnx", "tokenizer")),
        ("cross-encoder", ("--format", "onnx"), ("onnx",)),
    ],
    ids=["sparse", "sparse and tokenizer", "cross-encoder"],
)
def test_every_kind_that_searches_is_measured(tmp_path, judged, kind, more, artifacts):
    work = trace(tmp_path, kind, *(more if "--kind" in more else ("--kind", kind, *more)))
    assert quality(work, "--set", str(judged)) == 0
    for artifact in artifacts:
        found = document(work, artifact)
        (one,) = found.sets
        assert one.source == one.archive
        assert (one.archive.flops is None) is (kind == "cross-encoder")
        if one.archive.flops is not None:
            assert one.archive.document_tokens > one.archive.query_tokens > 0
        assert not (work / f"certificate-{artifact}.json").exists()
    if len(artifacts) > 1:  # once is enough: what is measured before validate is folded by validate
        assert run(["-q", "--work", str(work), "validate"]) == 0
        assert all(certificate(work, artifact).quality == document(work, artifact) for artifact in artifacts)


# --- over budget ---------------------------------------------------------------------------------------------------


def spoil(serve):
    """Return a ring that answers documents upside down: the source finds what the archive does not."""

    def spoiled(target, probes, path, running):
        serve(target, probes, path, running)
        if probes[0].shape == "document":
            from release_tool.models.encoded import read_block, write_block

            arrays = read_block(path, target.bundle.kind, len(probes))
            write_block(path, {"embedding": -arrays["embedding"]})

    return spoiled


def test_a_loss_beyond_the_budget_is_a_failure_with_the_worst_queries(work, judged, capfd, monkeypatch):
    monkeypatch.setattr(quality_encoding, "serve_block", spoil(quality_encoding.serve_block))
    assert quality(work, "--set", str(judged)) == 6
    said = capfd.readouterr()
    assert "OVER BUDGET" in said.out
    assert "nDCG@10 falls from" in said.err
    worst = document(work).sets[0].losers[0]
    assert f"{worst.query}: nDCG@10 {worst.source:.2f} → {worst.archive:.2f}" in said.err
    assert run(["-q", "--work", str(work), "--repo", str(work), "review"]) == 6
    page = (work / "review.md").read_text()
    assert page.startswith("**NOT RELEASABLE: onnx: retrieval quality: mine")
    assert json.loads((work / "review.json").read_text())["digest"] is None
    # The same numbers, and a budget that allows them: nothing is encoded again.
    (work / "release-tool.toml").write_text("[quality.loss_points]\ndense = 100\n")
    monkeypatch.undo()
    assert quality(work, "--set", str(judged)) == 0
    assert run(["-q", "--work", str(work), "--repo", str(work), "review"]) == 0


# --- bad input -----------------------------------------------------------------------------------------------------


def test_kinds_that_do_not_search_are_refused_by_name(tmp_path, judged, capfd):
    work = trace(tmp_path, "question-answering", "--kind", "question-answering")
    assert quality(work, "--set", str(judged)) == 2
    assert "torch_script (question-answering)" in capfd.readouterr().err


def test_bad_sets_and_artifacts_are_usage_errors_before_anything_is_encoded(work, tmp_path, judged, capfd):
    assert quality(work, "--set", str(write_set(tmp_path / "bad", grades=(("q1", "nowhere", 1),)))) == 2
    assert "line 2: corpus.jsonl has no document 'nowhere'" in capfd.readouterr().err
    twin = shutil.copytree(judged, tmp_path / "twin" / "mine")
    assert quality(work, "--set", str(judged), "--set", str(twin)) == 2
    assert "two sets have the name 'mine'" in capfd.readouterr().err
    assert quality(work, "--set", str(judged), "--artifact", "torch_script") == 2
    assert not (work / "quality").exists()
    archive = next((work / "archives").glob("*.zip"))
    archive.write_bytes(archive.read_bytes() + b"x")
    assert quality(work, "--set", str(judged)) == 7


def test_quality_about_other_bytes_is_removed_and_said(done, capfd):
    path = done / f"quality-{DENSE}.json"
    found = document(done)
    WorkFolder(done).write(path.name, replace(found, archive_sha256="0" * 64))
    assert run(["-q", "--work", str(done), "--repo", str(done), "review"]) == 7
    assert run(["--work", str(done), "validate"]) == 0
    assert "about other bytes and is removed" in capfd.readouterr().err
    assert not path.exists()
    assert certificate(done).quality is None


def test_a_document_that_was_never_certified_stops_the_review(done, judged):
    """Killed between the document and the certificate: the page would not show what was measured."""
    shutil.copy(done / f"quality-{DENSE}.json", done / "kept")
    (done / f"quality-{DENSE}.json").unlink()
    assert run(["-q", "--work", str(done), "validate"]) == 0
    shutil.move(done / "kept", done / f"quality-{DENSE}.json")
    assert run(["-q", "--work", str(done), "--repo", str(done), "review"]) == 7
    assert quality(done, "--set", str(judged)) == 0
    assert run(["-q", "--work", str(done), "--repo", str(done), "review"]) == 0


# --- killed --------------------------------------------------------------------------------------------------------


def test_a_killed_run_loses_a_block_at_most_and_ends_with_the_same_bytes(work, tmp_path, proven):
    folder = write_set(
        tmp_path / "large", texts={**TEXTS, **{f"n{n}": f"text number {n} of many" for n in range(1100)}}
    )
    whole = shutil.copytree(proven, tmp_path / "whole")
    assert quality(whole, "--set", str(folder)) == 0
    command = [sys.executable, "-m", "release_tool", "--work", str(work), "--repo", str(work), "quality"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([*command, "--set", str(folder)], env=env, stderr=subprocess.DEVNULL) as child:
        for _ in range(600):
            if len(list((work / "quality").glob(f"{DENSE}-*/dense/*.npz"))) > 0:
                break
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    assert not (work / f"quality-{DENSE}.json").exists()
    begun = {path: path.stat().st_mtime_ns for path in (work / "quality").rglob("*.npz")}
    assert begun
    one = next(path for path in begun if path.parent.parent.name.startswith(DENSE))
    one.write_bytes(one.read_bytes()[:-100])
    assert quality(work, "--set", str(folder)) == 0
    kept = [path for path in begun if path.parent.parent.name.startswith("source")]
    assert all(path.stat().st_mtime_ns == begun[path] for path in kept)
    assert (work / f"quality-{DENSE}.json").read_bytes() == (whole / f"quality-{DENSE}.json").read_bytes()
    assert not list((work / "quality").glob(f"{DENSE}-*"))
