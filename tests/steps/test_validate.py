"""``release-tool validate``: what it measures, what it keeps, what it refuses, what it writes."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from factories import make_comparison
from tiny_models import make

from release_tool.cli import run
from release_tool.console import Console
from release_tool.core.bundle import Bundle
from release_tool.core.certificate import Certificate
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import Proof
from release_tool.documents import WorkFolder, file_sha256
from release_tool.errors import IntegrityError, ServiceUnable, ValidationFailed
from release_tool.models.answers import read_answers
from release_tool.packaged import packaged_probes
from release_tool.steps import measuring, verdict_table

if TYPE_CHECKING:
    from collections.abc import Callable

ONNX = "onnx"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "tiny", "bert", "dense", max_length=128)


@pytest.fixture(scope="module")
def proven(tmp_path_factory, model):
    """Return a work folder that was traced and validated once; tests work on copies."""
    work = tmp_path_factory.mktemp("proven") / "work"
    assert run(["-q", "--work", str(work), "trace", str(model), "--version", "1.0.0", "--format", ONNX]) == 0
    assert run(["-q", "--work", str(work), "validate"]) == 0
    return work


@pytest.fixture
def work(proven, tmp_path):
    """Return a copy that a test may spoil."""
    shutil.copytree(proven, tmp_path / "work")
    return tmp_path / "work"


def validate(work: Path, *arguments: str) -> int:
    return run(["--work", str(work), "validate", *arguments])


def certificate_of(work: Path) -> Certificate:
    return WorkFolder(work).read(Certificate, f"certificate-{ONNX}.json", made_by="validate")


def archive_of(work: Path) -> Path:
    bundle = WorkFolder(work).read(Bundle, f"bundle-{ONNX}.json", made_by="trace")
    return work / bundle.archive.path


def add_proof(work: Path, ring: str) -> Path:
    """Write the proof of a further ring as validate would, certificate included."""
    proof = json.loads((work / f"proof-runtime-{ONNX}.json").read_text())
    path = work / f"proof-{ring}-{ONNX}.json"
    path.write_text(json.dumps({**proof, "ring": ring}, indent=2, ensure_ascii=False) + "\n")
    (work / f"certificate-{ONNX}.json").unlink()
    assert validate(work) == 0
    return path


# --- measuring ---------------------------------------------------------------------------------------------------


def test_the_certificate_holds_a_number_for_every_shipped_probe(proven):
    certificate = certificate_of(proven)
    (proof,) = certificate.proofs
    assert certificate.green
    assert {item.probe for item in proof.comparisons} == {probe.id for probe in packaged_probes().texts}
    assert all(item.max_abs is not None and item.tokens == item.tokens_reference for item in proof.comparisons)
    assert proof.embedding_dimension == certificate.bundle.embedding_dimension == 32
    assert certificate.answers_sha256 == file_sha256(proven / "answers-dense.safetensors")
    assert certificate.uses.keys() == {
        "plan.json",
        "source.json",
        f"bundle-{ONNX}.json",
        f"proof-runtime-{ONNX}.json",
        "answers-dense.safetensors",
    }


def test_what_is_proven_is_not_measured_again_unless_asked(work, capfd):
    proof = work / f"proof-runtime-{ONNX}.json"
    before = proof.stat().st_mtime_ns
    assert validate(work) == 0
    said = capfd.readouterr()
    assert "onnx is proven already in the runtime ring." in said.err
    assert "not measured again" in said.out
    assert proof.stat().st_mtime_ns == before
    assert validate(work, "--again") == 0
    assert proof.stat().st_mtime_ns != before
    assert "not measured again" not in capfd.readouterr().out


def test_the_result_is_a_table_or_json_on_stdout(work, capfd):
    assert validate(work) == 0
    table = capfd.readouterr().out.splitlines()
    assert table[0].split() == ["artifact", "ring", "probes", "worst", "difference", "allowed", "verdict"]
    assert table[1].startswith(ONNX)
    assert run(["--work", str(work), "--json", "validate"]) == 0
    (line,) = json.loads(capfd.readouterr().out)
    assert (line["artifact"], line["ring"], line["passed"], line["diagnosis"]) == (ONNX, "runtime", True, None)
    assert 0 < line["worst"] <= line["allowed"]


def test_answers_of_another_plan_are_made_again(work, capfd):
    answers = work / "answers-dense.safetensors"
    data = answers.read_bytes()
    plan = file_sha256(work / "plan.json").encode()
    answers.write_bytes(data.replace(plan, b"0" * 64))
    assert validate(work) == 0
    assert "The source answers the probes" in capfd.readouterr().err
    assert read_answers(answers).facts.plan_sha256 == plan.decode()


@pytest.mark.parametrize("at", [-3, -40_000, 0.5])
def test_a_bit_that_flipped_in_the_answers_is_no_fault_of_the_archive(work, capfd, at):
    answers = work / "answers-dense.safetensors"
    whole = answers.read_bytes()
    data = bytearray(whole)
    data[int(len(data) * at) if isinstance(at, float) else max(at, 4000 - len(data))] ^= 1
    answers.write_bytes(data)
    assert validate(work) == 0
    assert answers.read_bytes() == whole
    assert "DIFFERENT" not in capfd.readouterr().out
    assert certificate_of(work).green


@pytest.mark.parametrize("change", ["again", "answers"])
def test_measuring_again_keeps_the_proof_of_another_ring_over_the_same_answers(work, capfd, change):
    path = add_proof(work, "node")
    before = path.read_bytes()
    if change == "answers":
        (work / "answers-dense.safetensors").unlink()
    assert validate(work, *(["--again"] if change == "again" else [])) == 0
    assert path.read_bytes() == before
    assert [proof.ring for proof in certificate_of(work).proofs] == ["node", "runtime"]
    assert "removed" not in capfd.readouterr().err


def test_a_measurement_that_is_broken_off_loses_no_proof(work, monkeypatch):
    path = add_proof(work, "node")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "ask", interrupted)
    assert validate(work, "--again") == 130
    assert path.is_file()


@pytest.mark.parametrize("ring", ["runtime", "node"])
def test_a_proof_that_was_edited_after_it_was_certified_is_not_certified_again(work, capfd, ring):
    add_proof(work, "node")
    path = work / f"proof-{ring}-{ONNX}.json"
    proof = json.loads(path.read_text())
    for item in proof["comparisons"]:
        item["max_abs"] = 0.0
    path.write_text(json.dumps(proof, indent=2, ensure_ascii=False) + "\n")
    capfd.readouterr()
    assert validate(work) == 0
    found = {item.ring: item for item in certificate_of(work).proofs}
    assert max(item.max_abs for item in found["runtime"].comparisons) > 0
    assert ("node" in found) == (ring == "runtime")
    assert ("proof-node-onnx.json is about other bytes" in capfd.readouterr().err) == (ring == "node")


def test_probes_of_ones_own_are_asked_and_do_not_release(work, tmp_path, capfd):
    own = tmp_path / "own.json"
    text = {"id": "mine", "shape": "own", "role": "query", "text": "the river bank"}
    own.write_text(json.dumps({"schema": "release-tool/probes@1", "texts": [text], "pairs": []}))
    assert validate(work, "--probes", str(own)) == 0
    assert [item.probe for item in certificate_of(work).proofs[0].comparisons] == ["mine"]
    assert run(["--work", str(work), "review"]) == ValidationFailed.exit_code


def test_a_proof_of_another_archive_is_dropped_not_certified(work, capfd):
    folder = WorkFolder(work)
    runtime = folder.read(Proof, f"proof-runtime-{ONNX}.json", made_by="validate")
    stale = json.loads((work / f"proof-runtime-{ONNX}.json").read_text())
    stale |= {"ring": "node", "archive_sha256": "0" * 64}
    (work / f"proof-node-{ONNX}.json").write_text(json.dumps(stale, indent=2, ensure_ascii=False) + "\n")
    assert validate(work) == 0
    assert "measure again with --on node" in capfd.readouterr().err
    assert not (work / f"proof-node-{ONNX}.json").exists()
    assert certificate_of(work).proofs == (runtime,)


def test_a_proof_of_another_ring_that_still_holds_stays_in_the_certificate(work, capfd):
    data = json.loads((work / f"proof-runtime-{ONNX}.json").read_text())
    (work / f"proof-node-{ONNX}.json").write_text(json.dumps(data | {"ring": "node"}, indent=2) + "\n")
    assert validate(work) == 0
    assert [proof.ring for proof in certificate_of(work).proofs] == ["node", "runtime"]
    assert len(capfd.readouterr().out.splitlines()) == 3


# --- what the traced job wrote -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('"MEAN"', '"CLS"'), "'model_config.pooling_mode' is 'CLS' where"),
        (lambda text: text.replace('"name": "', '"url": "https://evil.example/a.zip", "name": "'), "it holds 'url'"),
    ],
)
def test_a_config_that_says_more_or_other_than_plan_and_archive_is_not_measured(work, capfd, change, says):
    proof = work / f"proof-runtime-{ONNX}.json"
    proof.unlink()
    rewrite_config(work, change)
    capfd.readouterr()
    assert validate(work) == IntegrityError.exit_code
    assert says in capfd.readouterr().err
    assert not proof.exists()


# --- red ---------------------------------------------------------------------------------------------------------


def rewrite_config(work: Path, change: Callable[[str], str]) -> None:
    """Change config.json, and the bundle with it: what a model's own code could do while it is traced."""
    config = work / "archives" / f"{ONNX}.config.json"
    changed = change(config.read_text())
    assert changed != config.read_text()
    config.unlink()
    config.write_text(changed)
    rewrite(
        work / f"bundle-{ONNX}.json",
        lambda bundle: bundle["config"].update(sha256=file_sha256(config), size=config.stat().st_size),
    )


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def plan_another_pooling(work: Path) -> None:
    """Let the plan say what the model does not do, and everything after it follow the plan."""
    rewrite(work / "plan.json", lambda plan: plan.update(pooling_mode="cls"))
    for name, used in (("source.json", ("plan.json",)), (f"bundle-{ONNX}.json", ("plan.json", "source.json"))):
        digests = {one: file_sha256(work / one) for one in used}
        rewrite(work / name, lambda document, digests=digests: document["uses"].update(digests))
    rewrite_config(work, lambda text: text.replace('"MEAN"', '"CLS"'))


def test_a_red_proof_is_kept_and_named_with_its_worst_probe_and_cause(work, capfd):
    plan_another_pooling(work)
    capfd.readouterr()
    assert validate(work) == ValidationFailed.exit_code
    said = capfd.readouterr()
    assert "onnx in the runtime ring: probe " in said.err
    assert "another pooling mode" in said.err
    assert f"proof-runtime-{ONNX}.json" in said.err
    assert "DIFFERENT" in said.out
    assert not certificate_of(work).green


@pytest.mark.parametrize("ring", ["runtime", "legacy"])
def test_a_red_proof_is_measured_again_and_gives_way_to_a_green_one(work, capfd, ring):
    assert validate(work, "--on", ring) == 0
    path = work / f"proof-{ring}-{ONNX}.json"
    red = json.loads(path.read_text())
    for item in red["comparisons"]:
        item |= {"max_abs": None, "error": "the machine had no memory"}
    path.write_text(json.dumps(red, indent=2, ensure_ascii=False) + "\n")
    capfd.readouterr()
    assert validate(work, "--on", ring) == 0
    said = capfd.readouterr().err
    assert f"onnx is proven already in the {ring} ring." not in said
    assert ring == "runtime" or "onnx is proven already in the runtime ring." in said
    assert certificate_of(work).green


def test_a_node_that_can_not_work_now_writes_no_proof(work, capfd, monkeypatch):
    def unable(*_: object, **__: object) -> None:
        raise ServiceUnable("The node can't answer now (429): Memory Circuit Breaker is open")

    @contextmanager
    def lent(*_: object, **__: object):
        yield None

    monkeypatch.setattr("release_tool.services.node.running_node", lent)
    monkeypatch.setattr(measuring, "_in_runtime", unable)
    assert validate(work, "--on", "node") == ServiceUnable.exit_code
    assert "Memory Circuit Breaker" in capfd.readouterr().err
    assert not (work / f"proof-node-{ONNX}.json").exists()


def test_an_archive_that_the_server_refuses_has_a_red_proof_with_the_servers_words(proven, monkeypatch):
    target, reference = target_of(proven)

    def refuse(*_: object, **__: object) -> None:
        raise ValidationFailed("Find multiple model files, but expected only one")

    monkeypatch.setattr("release_tool.services.runtime_ring.answer", refuse)
    console = Console(verbosity=-1)
    answered = measuring.ask(target, "runtime", console=console, cache=proven / "cache")
    proof = measuring.prove(target, "runtime", answered, reference)
    assert {item.error for item in proof.comparisons} == {"Find multiple model files, but expected only one"}
    verdict = measuring.verdict_of(proof, target.plan, reference.answers, measured=True, path=None)
    assert not verdict.passed
    assert verdict.diagnosis is not None
    assert "more than one model file" in verdict.diagnosis


def target_of(work: Path) -> tuple[measuring.Target, measuring.Reference]:
    folder = WorkFolder(work)
    bundle = folder.read(Bundle, f"bundle-{ONNX}.json", made_by="trace")
    answers = work / "answers-dense.safetensors"
    target = measuring.Target(
        plan=folder.read(ReleasePlan, "plan.json", made_by="plan"),
        bundle=bundle,
        archive=work / bundle.archive.path,
        config=work / bundle.config.path,
        probes=packaged_probes(),
    )
    return target, measuring.Reference(answers=read_answers(answers), sha256=file_sha256(answers), uses={})


def test_probes_that_a_ring_does_not_take_are_recorded_and_not_compared(proven):
    target, reference = target_of(proven)
    skipped = target.rows[0].id
    answered = measuring.Answered(
        measured=measured_of(reference),
        versions={},
        pinned=True,
        dimension=32,
        not_asked=(skipped,),
    )
    proof = measuring.prove(target, "node", answered, reference)
    assert proof.not_asked == (skipped,)
    assert skipped not in {item.probe for item in proof.comparisons}
    assert not proof.failures(target.plan.tolerances)


def test_the_error_names_every_red_ring(proven):
    target, reference = target_of(proven)
    proof = measuring.prove(
        target,
        "runtime",
        measuring.Answered(measured=measured_of(reference), versions={}, pinned=False, dimension=32),
        reference,
    )
    red = [
        measuring.verdict_of(
            Proof(**{**fields_of(proof), "ring": ring, "comparisons": (make_comparison(max_abs=1.0, probe="p"),)}),
            target.plan,
            None,
            measured=True,
            path="somewhere.json",
        )
        for ring in ("runtime", "node")
    ]
    error = verdict_table.failing(red)
    assert error is not None
    assert str(error).count("differs by 1") == 2
    assert verdict_table.failing([]) is None
    assert "**different**" in verdict_table.markdown(red)


def measured_of(reference: measuring.Reference):
    from release_tool.models.compare import Measured

    return Measured(arrays=reference.answers.arrays)


def fields_of(proof: Proof) -> dict:
    return {name: getattr(proof, name) for name in Proof.__slots__}


# --- refusals ----------------------------------------------------------------------------------------------------


def test_a_changed_archive_or_config_stops_before_anything_is_measured(work, capfd):
    archive = archive_of(work)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    assert validate(work) == 7
    assert "its bytes have changed" in capfd.readouterr().err


def test_a_changed_snapshot_stops_the_oracle(work, capfd):
    (work / "answers-dense.safetensors").unlink()
    (work / "snapshot" / "config.json").write_text("{}")
    assert validate(work) == 7
    assert "config.json of the snapshot" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--artifact", "torch"), "no artifact 'torch'"),
        (("--on", "moon"), "moon"),
        (("--model", "."), "belong to --certificate"),
        (("--probes", "plan.json"), "not a probe set"),
    ],
)
def test_wrong_flags_are_named(proven, capfd, monkeypatch, arguments, words):
    monkeypatch.chdir(proven)
    assert validate(proven, *arguments) == 2
    assert words in capfd.readouterr().err


def test_an_empty_folder_names_the_step_that_is_missing(tmp_path, capfd):
    assert validate(tmp_path) == 2
    assert "Run release-tool plan first" in capfd.readouterr().err


# --- a released archive, checked again -----------------------------------------------------------------------------


@pytest.fixture
def released(proven, tmp_path):
    """Return (certificate, archive) as somebody who downloaded them has them."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    archive = shutil.copy(archive_of(proven), folder)
    shutil.copy(proven / "archives" / f"{ONNX}.config.json", folder / "config.json")
    return shutil.copy(proven / f"certificate-{ONNX}.json", folder), Path(archive)


def recheck(certificate: str, archive: Path, model: Path, *more: str) -> int:
    return run(["validate", "--certificate", str(certificate), str(archive), "--model", str(model), *more])


def test_a_released_archive_is_measured_again_from_its_certificate(released, model, tmp_path, capfd, monkeypatch):
    certificate, archive = released
    data = json.loads(Path(certificate).read_text())
    node = {**data["proofs"][0], "ring": "node"}
    data["proofs"] = [node, *data["proofs"]]
    Path(certificate).write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    monkeypatch.chdir(tmp_path)
    assert recheck(certificate, archive, model) == 0
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert lines[1].endswith("equal")
    assert lines[2].endswith("equal, not measured again")
    assert "node" in lines[2]
    assert "very bytes of the certificate" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloaded"]


def test_another_source_than_the_released_one_is_refused(released, model, tmp_path, capfd):
    other = shutil.copytree(model, tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    assert recheck(*released, other) == 7
    assert "not the file that was released" in capfd.readouterr().err
    (other / "config.json").unlink()
    assert recheck(*released, other) == 7
    assert "config.json of the source does not lie in" in capfd.readouterr().err


def test_the_released_config_is_needed_and_no_other(released, model, tmp_path, capfd):
    certificate, archive = released
    config = archive.parent / "config.json"
    moved = config.rename(tmp_path / "elsewhere.json")
    assert recheck(certificate, archive, model) == 2
    assert "--config" in capfd.readouterr().err
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    assert recheck(certificate, archive, model, "--config", str(wrong)) == 7
    from release_tool.steps.rechecking import find_config, read_certificate

    assert find_config(read_certificate(Path(certificate)), archive, moved) == moved


def test_a_certificate_whose_plan_was_softened_is_refused(released, model, capfd):
    certificate, archive = released
    text = Path(certificate).read_text()
    soft = text.replace('"dense_runtime": 1e-05', '"dense_runtime": 1.0')
    assert soft != text
    Path(certificate).write_text(soft)
    assert recheck(certificate, archive, model) == 7
    assert "plan is not the one that it names" in capfd.readouterr().err


def test_a_certificate_needs_its_archive_and_source(released, capfd):
    assert run(["validate", "--certificate", str(released[0])]) == 2
    assert "needs ARCHIVE and --model" in capfd.readouterr().err
    assert recheck(str(released[1]), released[1], released[1].parent) == 2
