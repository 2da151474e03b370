"""Teachers score as the library's own predict does, without its sigmoid; what can't score is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import mined_runs
import numpy as np
import pytest
import tiny_models
import torch

from release_tool.core.finetune import teach_job
from release_tool.core.finetune.records import Taught
from release_tool.errors import IntegrityError, MachineError, UnsupportedModel, UsageError
from release_tool.models.finetune import teacher as teachers_module
from release_tool.models.finetune import teaching
from release_tool.part_files import parts, read_rows

TOLERANCE = 1e-5


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return mined_runs.teacher(tmp_path_factory.mktemp("teachers") / "bert")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of twelve queries."""
    return mined_runs.make(tmp_path_factory.mktemp("run"), [])


def teach(made, out, *teachers, process=0, processes=1, **changes):
    """Score in this process, and return what each teacher said."""
    job = mined_runs.job(made, out, teachers, **changes)
    teaching.Teaching(job=job, process=process, processes=processes).run()
    return [list(read_rows(out / f"teacher-{number}", Taught)) for number in range(len(teachers))]


def logits(rows):
    return np.array([logit for row in rows for logit in row.logits])


def bytes_of(out):
    return {path.name: path.read_bytes() for path in parts(out / "teacher-0", Taught.STEM)}


def predicted(teacher, made, *, negatives=5, **words):
    """Return what predict says of the same pairs."""
    from sentence_transformers import CrossEncoder

    pairs = [pair for row in made.mined for pair in made.pairs(row, negatives)]
    model = CrossEncoder(str(teacher), device="cpu", **words)
    return model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_the_logits_are_those_of_predict_without_its_sigmoid(family, run, tmp_path):
    teacher = mined_runs.teacher(tmp_path / family, family, seed=3)
    (rows,) = teach(run, tmp_path / "out", teacher, batch_tokens=256)
    expected = predicted(teacher, run)
    assert expected.std() > 0.02, "a teacher that tells documents apart"
    assert logits(rows) == pytest.approx(expected, abs=TOLERANCE)


CHAT = "<s>{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}yes or no:"


@pytest.mark.parametrize("template", [None, CHAT])
def test_a_causal_model_scores_by_yes_and_no_as_the_library_asks_it(template, run, tmp_path):
    teacher = mined_runs.causal_teacher(tmp_path / "causal", template)
    (rows,) = teach(run, tmp_path / "out", teacher, batch_tokens=256)
    expected = predicted(teacher, run)
    assert expected.std() > 0.02
    assert logits(rows) == pytest.approx(expected, abs=TOLERANCE)


def test_the_raw_logits_go_beyond_a_sigmoid(run, bert, tmp_path):
    (rows,) = teach(run, tmp_path / "out", bert)
    assert logits(rows).min() < 0 or logits(rows).max() > 1


def test_the_positive_comes_first_and_candidates_are_cut(run, bert, tmp_path):
    (rows,) = teach(run, tmp_path / "out", bert, negatives=3)
    for row, mined in zip(rows, run.mined, strict=True):
        assert row.query == mined.query
        assert row.documents == (mined.positive, *mined.documents[:3])
        assert len(row.logits) == 4
    assert logits(rows) == pytest.approx(predicted(bert, run, negatives=3), abs=TOLERANCE)


def test_a_teacher_with_a_prompt_is_asked_with_it(run, bert, tmp_path):
    from sentence_transformers import CrossEncoder

    prompted = tmp_path / "prompted"
    model = CrossEncoder(str(bert), device="cpu", prompts={"search": "find the river: "}, default_prompt_name="search")
    model.save_pretrained(str(prompted))
    (rows,) = teach(run, tmp_path / "out", prompted)
    assert logits(rows) == pytest.approx(predicted(prompted, run), abs=TOLERANCE)
    assert logits(rows) != pytest.approx(predicted(bert, run), abs=TOLERANCE)


def test_who_makes_which_part_changes_no_byte(run, bert, tmp_path):
    teach(run, tmp_path / "one", bert)
    for process in (2, 0, 1):
        teach(run, tmp_path / "three", bert, process=process, processes=3)
    assert len(bytes_of(tmp_path / "one")) == 3
    assert bytes_of(tmp_path / "three") == bytes_of(tmp_path / "one")


def test_the_number_of_cores_changes_no_byte(run, bert, tmp_path, monkeypatch):
    for count in (1, 4):
        monkeypatch.setattr(teachers_module, "cores", lambda count=count: count)
        teach(run, tmp_path / str(count), bert, batch_tokens=128)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "4")


def test_broken_off_at_any_part_it_goes_on_and_makes_the_same_bytes(run, bert, tmp_path, monkeypatch):
    teach(run, tmp_path / "whole", bert)
    whole = bytes_of(tmp_path / "whole")
    real = teaching.write_part
    for last in range(len(whole)):
        written = []

        def stop(path, rows, last=last, written=written):
            if len(written) == last:
                raise KeyboardInterrupt
            written.append(path)
            return real(path, rows)

        out = tmp_path / str(last)
        with monkeypatch.context() as patched:
            patched.setattr(teaching, "write_part", stop)
            with pytest.raises(KeyboardInterrupt):
                teach(run, out, bert)
        kept = {path: path.stat().st_mtime_ns for path in parts(out / "teacher-0", Taught.STEM)}
        assert len(kept) == last
        teach(run, out, bert)
        assert bytes_of(out) == whole
        assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


def test_a_teacher_that_has_scored_everything_is_not_loaded_again(run, bert, tmp_path, monkeypatch):
    first = teach(run, tmp_path / "out", bert)
    monkeypatch.setattr(teachers_module, "Teacher", None)
    assert teach(run, tmp_path / "out", bert) == first


def test_pieces_and_blocks_do_not_change_what_is_scored(run, bert, tmp_path, monkeypatch):
    (whole,) = teach(run, tmp_path / "whole", bert)
    monkeypatch.setattr(teach_job, "PAIRS_A_PART", 12)
    monkeypatch.setattr(teaching, "ENCODED_AT_ONCE", 7)
    (rows,) = teach(run, tmp_path / "out", bert, batch_tokens=64)
    assert list(bytes_of(tmp_path / "out")) == [f"logits-0000{number}.jsonl" for number in range(7)]
    assert [row.documents for row in rows] == [row.documents for row in whole]
    assert logits(rows) == pytest.approx(logits(whole), abs=TOLERANCE)


def test_no_batch_has_more_tokens_than_the_budget_and_none_is_mostly_padding(run, bert, tmp_path, monkeypatch):
    seen = []
    real = teachers_module.Teacher._padded

    def padded(self, rows):
        found = real(self, rows)
        seen.append(found["attention_mask"])
        return found

    monkeypatch.setattr(teachers_module.Teacher, "_padded", padded)
    teach(run, tmp_path / "out", bert, batch_tokens=200)
    assert sum(len(mask) for mask in seen) == 72
    assert all(mask.numel() <= 200 or len(mask) == 1 for mask in seen)
    assert sum(mask.numel() for mask in seen) < 1.1 * sum(int(mask.sum()) for mask in seen)


@pytest.mark.parametrize(("asked", "expected"), [(24, 24), (512, 40)])
def test_no_more_tokens_are_read_than_asked_for_or_than_the_model_has(run, tmp_path, asked, expected):
    teacher = mined_runs.teacher(tmp_path / "teacher", max_length=40)
    (rows,) = teach(run, tmp_path / "out", teacher, max_length=asked)
    assert logits(rows) == pytest.approx(predicted(teacher, run, max_length=expected), abs=TOLERANCE)
    assert logits(rows) != pytest.approx(predicted(teacher, run, max_length=expected - 10), abs=TOLERANCE)


@pytest.mark.parametrize("family", ["bert", "mpnet", "roberta", "xlm-roberta"])
def test_a_tokenizer_without_a_limit_does_not_overrun_the_positions(family, tmp_path):
    teacher = mined_runs.teacher(tmp_path / family, family)
    settings = json.loads((teacher / "tokenizer_config.json").read_text())
    (teacher / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 10**30}))
    long = mined_runs.Document(id="d0", text="river bank water " * 1000)
    made = mined_runs.make(tmp_path / "run", [], queries=1, change=lambda row: replace(row, positive="d0"), own=[long])
    (rows,) = teach(made, tmp_path / "out", teacher, max_length=8192)
    assert np.isfinite(logits(rows)).all()


def test_bf16_scores_as_the_library_does_in_bf16(run, bert, tmp_path):
    (rows,) = teach(run, tmp_path / "out", bert, precision="bf16")
    expected = predicted(bert, run, model_kwargs={"dtype": torch.bfloat16})
    exact = predicted(bert, run)
    assert np.abs(logits(rows) - expected).mean() < 0.1 * exact.std()
    assert logits(rows) != pytest.approx(exact, abs=TOLERANCE)


def test_fp16_is_refused_without_a_gpu(run, bert, tmp_path, monkeypatch):
    monkeypatch.setattr(teachers_module, "device_of", lambda _: "cpu")
    with pytest.raises(UsageError, match="fp16 is for GPUs") as refused:
        teach(run, tmp_path / "out", bert, precision="fp16")
    assert "teach.precision" in refused.value.hint


@pytest.mark.parametrize("kind", ["dense", "bare", "sparse", "question-answering"])
def test_a_model_without_the_head_that_scores_is_refused_by_name(run, tmp_path, kind):
    teacher = tiny_models.make(tmp_path / "headless", "bert", kind)
    with pytest.raises(UnsupportedModel, match="headless is no cross-encoder"):
        teach(run, tmp_path / "out", teacher)


def test_a_folder_that_is_no_model_is_refused_by_name(run, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UnsupportedModel, match="teacher nothing can't be loaded"):
        teach(run, tmp_path / "out", tmp_path / "nothing")


def test_more_labels_are_refused_by_name(run, tmp_path):
    with pytest.raises(UnsupportedModel, match="three-labels has 3 labels"):
        teach(run, tmp_path / "out", mined_runs.teacher(tmp_path / "three-labels", labels=3))


def test_what_is_no_number_is_refused_with_query_and_document(run, bert, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = mined_runs.teacher(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["classifier.bias"] += float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    first = run.mined[0]
    with pytest.raises(UnsupportedModel, match=f"broken answers nan for the query 'q0' and .* '{first.positive}'"):
        teach(run, tmp_path / "out", bert, broken)
    assert len(bytes_of(tmp_path / "out")) == 3, "what the other had scored is kept"
    assert not parts(tmp_path / "out" / "teacher-1", Taught.STEM)


def test_a_gpu_that_is_too_small_says_which_key_helps(run, bert, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(teachers_module.Teacher, "_padded", full)
    with pytest.raises(MachineError, match="4,096 tokens of the teacher bert") as refused:
        teach(run, tmp_path / "out", bert)
    assert "teach.batch_tokens to 1024" in refused.value.hint


def test_processes_take_the_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [teachers_module.device_of(process) for process in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert teachers_module.device_of(5) == "cpu"


def test_a_candidate_without_a_text_is_named(bert, tmp_path):
    made = mined_runs.make(tmp_path, [], queries=4, change=lambda row: replace(row, positive="gone"))
    with pytest.raises(IntegrityError, match="No row of documents has the id 'gone'"):
        teach(made, tmp_path / "out", bert)


def test_a_query_without_candidates_is_scored_with_its_positive_alone(bert, tmp_path):
    made = mined_runs.make(tmp_path, [], queries=4, change=lambda row: replace(row, documents=(), scores=()))
    (rows,) = teach(made, tmp_path / "out", bert)
    assert [len(row.logits) for row in rows] == [1] * 4


def test_numbers_are_written_short_and_are_the_same_float32():
    for number in np.random.default_rng(1).normal(0, 5, 200).astype(np.float32):
        assert np.float32(teaching.shortest(float(number))) == number
        assert len(repr(teaching.shortest(float(number)))) <= 15
