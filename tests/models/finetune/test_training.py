"""Training, dense and sparse, as its own process runs it; tiny models and rows that can be learned from."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make
from toy_training import base_of, job_of, write_stages

from release_tool.console import Console
from release_tool.core.codec import encode_text
from release_tool.errors import RequestError, UnsupportedModel, UsageError
from release_tool.workers import STARTING, clean_environment, start

MODULE = "release_tool.models.finetune.training"


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy-training")
    write_stages(folder)
    for kind in ("dense", "bare", "sparse-st"):
        base_of(folder, kind)
    return folder


def written(job: Any) -> Path:
    path = Path(job.scratch) / "job.json"
    path.write_text(encode_text(job), encoding="utf-8")
    return path


def digests(job: Any) -> dict[str, str]:
    """Return the digest of every file that counts."""
    out = Path(job.out)
    return {
        path.relative_to(out).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and "scratch" not in path.relative_to(out).parts
    }


def log_of(job: Any) -> list[dict[str, float]]:
    return [json.loads(line) for line in (Path(job.out) / "log.jsonl").read_text().splitlines()]


def train_here(job: Any) -> dict[str, float]:
    """Train in this process; return the counts."""
    from release_tool.models.finetune.training import train

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        train(job)
    return json.loads(stream.getvalue().splitlines()[-1])["counts"]


@pytest.fixture(scope="session")
def trained(toy: Path) -> dict[str, tuple[Any, dict[str, float]]]:
    """Train a dense model, and a sparse one from an encoder without a head; kind → job and counts."""
    dense = job_of(toy, "dense", toy / "base-dense", out="dense", steps=16)
    sparse = job_of(toy, "sparse", toy / "base-bare", out="sparse", steps=20, learning_rate=2e-3, target_flops=1.0)
    return {"dense": (dense, train_here(dense)), "sparse": (sparse, train_here(sparse))}


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_the_loss_falls_on_what_can_be_learned(trained, kind):
    job, counts = trained[kind]
    losses = [line["base_loss" if kind == "sparse" else "loss"] for line in log_of(job) if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    assert counts["rows"] == 96
    assert counts["rows_a_step"] == 16
    assert counts["best_step"] in {line["step"] for line in log_of(job)}


def test_flops_are_steered_to_the_target(trained):
    job, counts = trained["sparse"]
    flops = [line["eval_flops"] for line in log_of(job) if "eval_flops" in line]
    assert counts["target_flops"] == 1.0
    assert counts["dev_flops_after"] <= 1.1
    weights = [line["document_weight"] for line in log_of(job) if "document_weight" in line]
    assert len(set(weights)) > 2
    assert abs(flops[0] - 1.0) < 0.5, "the head that was made begins near the target"


def test_the_best_checkpoint_of_dev_is_the_one_that_is_written(trained):
    job, counts = trained["dense"]
    measured = {line["step"]: line["eval_ndcg_at_10"] for line in log_of(job) if "eval_ndcg_at_10" in line}
    measured.pop(0)
    assert measured[counts["best_step"]] == max(measured.values())
    from sentence_transformers import SentenceTransformer

    from release_tool.models.finetune.dev_measure import MAX_ROWS, measure
    from release_tool.models.finetune.preparing import dev_sample
    from release_tool.models.finetune.training_rows import Texts

    texts = Texts.open(Path(job.queries), Path(job.documents), Path(job.scratch))
    model = SentenceTransformer(str(Path(job.out) / "model"), device="cpu")
    found = measure(model, dev_sample(job, texts, MAX_ROWS))
    assert found["ndcg_at_10"] == pytest.approx(max(measured.values()), abs=1e-6)


def test_a_folder_holds_nothing_of_this_machine(trained, toy):
    for job, _ in trained.values():
        for path in Path(job.out, "model").rglob("*.json"):
            text = path.read_text(encoding="utf-8")
            assert str(toy) not in text, path
            assert "local_files_only" not in text, path
        assert not list(Path(job.out).rglob("README.md"))
        assert not list(Path(job.out, "model").rglob("*.bin"))


def test_the_sparse_folder_answers_queries_by_its_weights(trained):
    from sentence_transformers import SparseEncoder

    job, _ = trained["sparse"]
    folder = Path(job.out) / "model"
    weights = json.loads((folder / "idf.json").read_text(encoding="utf-8"))
    model = SparseEncoder(str(folder), device="cpu")
    found = dict(model.decode(model.encode_query(["river winter"])[0]))
    assert found == {word: pytest.approx(weights[word]) for word in ("river", "winter")}
    assert not {"[CLS]", "[SEP]", "[PAD]"} & weights.keys()
    assert (Path(job.out) / "start" / "idf.json").read_bytes() == (folder / "idf.json").read_bytes()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_killed_training_goes_on_and_gives_the_same_bytes(trained, toy, kind):
    whole, _ = trained[kind]
    job = replace(whole, out=str(toy / f"{kind}-killed"), scratch=str(toy / f"{kind}-killed" / "scratch"))
    checkpoints = Path(job.scratch) / "checkpoints"
    checkpoints.parent.mkdir(parents=True, exist_ok=True)
    with child(job) as process:
        until((checkpoints / "checkpoint-8" / "whole.json").is_file, process)
        process.send_signal(signal.SIGKILL)
    assert not (Path(job.out) / "model").exists()
    (checkpoints / "checkpoint-900").mkdir()  # as a kill leaves one: no mark
    (checkpoints / "checkpoint-900" / "trainer_state.json").write_text("{", encoding="utf-8")
    with child(job) as process:
        events = [json.loads(line) for line in process.stdout or ()]
    assert process.returncode == 0
    assert min(event["done"] for event in events if event["event"] == "progress") > 8, "it went on"
    assert not (checkpoints / "checkpoint-900").exists()
    assert digests(job) == digests(whole)
    for name in ("model/model.safetensors", "model/modules.json", "log.jsonl"):
        (Path(job.out) / name).unlink(missing_ok=True)
    train_here(job)  # as after a kill between the last step and its end
    assert digests(job) == digests(whole)


def child(job: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", STARTING, MODULE, str(written(job))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment(os.environ))


def until(condition: Any, process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_two_processes_of_torchrun_share_a_step(toy):
    job = job_of(toy, "dense", toy / "base-dense", out="two", steps=4, batch_size=4)
    worker = start("training", MODULE, [str(written(job))], processes=2)
    try:
        counts = worker.wait(Console(verbosity=-1))[-1]["counts"]
    finally:
        worker.stop()
    assert counts["rows_a_step"] == 16
    assert counts["steps"] == 4
    assert (Path(job.out) / "model" / "model.safetensors").is_file()


def test_without_a_teacher_the_negatives_train_alone(toy, tmp_path):
    write_stages(tmp_path, labels=False, dev=0)
    job = job_of(tmp_path, "dense", toy / "base-dense", steps=3, learning_rate=1e-3)
    counts = train_here(job)
    assert counts["best_step"] == 3
    assert "dev_ndcg_at_10_after" not in counts
    with pytest.raises(UsageError, match="have no scores of a teacher"):
        train_here(job_of(tmp_path, "dense", toy / "base-dense", out="other", loss="margin_mse"))


def test_teachers_that_tell_nothing_apart_are_refused_but_where_nobody_asks_them(toy, tmp_path):
    write_stages(tmp_path, dev=0)
    part = tmp_path / "rows" / "rows-00000.jsonl"
    part.write_text(re.sub(r'"labels":\[[^]]*\]', '"labels":[1.0,1.0,1.0,1.0]', part.read_text()))
    with pytest.raises(UsageError, match="the same score"):
        train_here(job_of(tmp_path, "dense", toy / "base-dense"))
    assert train_here(job_of(tmp_path, "dense", toy / "base-dense", out="mnrl", steps=1, loss="mnrl"))["steps"] == 1


def test_margins_are_trained_in_the_units_of_the_student(toy):
    job = job_of(toy, "sparse", toy / "base-sparse-st", out="margins", loss="margin_mse", steps=8, idf="ones")
    train_here(job)
    assert not (Path(job.out) / "start").exists(), "the base is a sparse model by itself"
    losses = [line["base_loss"] for line in log_of(job) if "base_loss" in line]
    assert losses[-1] < losses[0] < 10


def test_a_base_of_another_kind_is_refused_by_name(toy, tmp_path):
    base = make(tmp_path / "cross", "bert", "cross-encoder")
    for kind in ("dense", "sparse"):
        with pytest.raises(UnsupportedModel, match="cross-encoder, which has no vectors"):
            train_here(job_of(toy, kind, base, out=f"cross-{kind}"))


def test_less_than_a_batch_and_nothing_at_all_are_said(toy, tmp_path):
    with pytest.raises(RequestError, match=r"train\.batch_size: is 500"):
        train_here(job_of(toy, "dense", toy / "base-dense", out="few", batch_size=500))
    write_stages(tmp_path, train=0, dev=2)
    with pytest.raises(UsageError, match="no rows of train"):
        train_here(job_of(tmp_path, "dense", toy / "base-dense"))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(loss):
    from transformers import TrainerState

    from release_tool.models.finetune.trainers import Told

    with pytest.raises(UsageError, match="The loss is no number at step 7") as caught:
        Told().on_log(None, TrainerState(global_step=7), None, logs={"loss": loss})
    assert "train.learning_rate" in str(caught.value.hint)


def test_only_a_child_that_asks_for_it_sees_the_gpus():
    assert clean_environment({"CUDA_VISIBLE_DEVICES": "0,1"})["CUDA_VISIBLE_DEVICES"] == ""
    assert clean_environment({"CUDA_VISIBLE_DEVICES": "0,1"}, gpu=True)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "CUDA_VISIBLE_DEVICES" not in clean_environment({}, gpu=True)
