"""``finetune evaluate`` on part files written by hand: what is measured, on what, and that a kill loses one block."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from finetuned import HOSTILE, split_of, texts, write_run
from judged_sets import write_set

from release_tool.cli import run
from release_tool.core.finetune.evaluation import Before, Evaluation, QueryScore, Role
from release_tool.core.finetune.stages import Stage
from release_tool.documents import WorkFolder
from release_tool.held_out import open_held_out
from release_tool.part_files import read_rows
from release_tool.run_folder import RunFolder

KEYS = '[evaluate]\nsets = ["mine"]\nguards = ["other"]\n'


def evaluate(work, *more):
    return run(["-q", "--work", str(work), "finetune", "evaluate", *more])


def document(work):
    return WorkFolder(RunFolder.below(work).folder(Stage.EVALUATE)).read(Evaluation, "evaluation.json", made_by="x")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "project"
    write_set(folder / "mine")
    write_set(folder / "other")
    found = write_run(folder, keys=KEYS)
    assert evaluate(found.work) == 0
    return found


def test_held_out_queries_search_all_documents_and_sets_search_their_own(evaluated):
    held, mine, other = document(evaluated.work).sets
    assert (held.role, mine.role, other.role) == (Role.HELD_OUT, Role.SET, Role.GUARD)
    wanted = sum(split_of(f"d{number}") == "test" for number in range(12))
    assert (held.documents, held.queries) == (len(texts()), wanted)
    assert held.judgements == wanted + 1, "the near duplicate of the first document answers as well"
    assert (mine.documents, mine.queries) == (6, 3)


def test_gain_p_and_interval_are_of_the_scores_that_are_written(evaluated):
    held = document(evaluated.work).sets[0]
    rows = [row for row in read_rows(evaluated.folder.folder(Stage.EVALUATE), QueryScore) if row.set == held.name]
    gains = np.array([row.after - row.before for row in rows])
    assert held.gain == pytest.approx(gains.mean())
    signs = np.array(np.meshgrid(*[(1, -1)] * len(gains))).reshape(len(gains), -1)
    means = np.abs((signs * gains[:, None]).mean(axis=0))
    assert held.p == pytest.approx((means >= abs(gains.mean()) - 1e-12).mean())
    assert held.resamples == 0, "eight queries have 256 assignments, all of which are counted"
    assert held.interval.low <= held.gain <= held.interval.high
    assert (held.better, held.worse) == ((gains > 0).sum(), (gains < 0).sum())


def test_before_is_what_sentence_transformers_finds_with_the_base(evaluated):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(evaluated.base), device="cpu", local_files_only=True)
    rows = read_rows(evaluated.folder.folder(Stage.EVALUATE), QueryScore)
    measured = {row.query: row.before for row in rows if row.set == "held-out"}
    documents = model.encode(list(texts().values()), normalize_embeddings=True)
    for number in range(1, 8):
        asked = texts()[f"d{number}"].removeprefix("the ")
        scores = documents @ model.encode(asked, normalize_embeddings=True)
        rank = int((scores > scores[number] + 1e-5).sum())
        assert measured[f"q{number}"] == pytest.approx(1 / np.log2(2 + rank) if rank < 10 else 0, abs=1e-6)


def test_no_text_is_written_beside_the_report(evaluated):
    folder = evaluated.folder.folder(Stage.EVALUATE)
    written = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "script" not in written
    assert not any(text in written for text in texts().values())
    assert str(evaluated.work) not in written


def test_the_report_escapes_a_hostile_query_and_runs_no_script(evaluated):
    page = (evaluated.folder.path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "<svg" in page
    assert "nDCG@10 on the queries of dev" in page, "the curves are drawn of what train logs"
    assert "Scores of teacher-0" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    worst = [lost.query for lost in document(evaluated.work).sets[0].losers]
    assert ("&lt;script&gt;" in page) == ("q0" in worst)


def test_the_report_shows_a_hostile_query_that_loses(tmp_path, evaluated):
    from dataclasses import replace

    from release_tool.core.finetune.evaluation import Lost
    from release_tool.steps.finetune.reporting import write_report

    evaluation = document(evaluated.work)
    lost = Lost(query="q0", before=1.0, after=0.0, wanted="d0", before_rank=1, after_rank=None)
    sets = (replace(evaluation.sets[0], losers=(lost,)), *evaluation.sets[1:])
    shutil.copytree(evaluated.work, tmp_path / "work")
    folder = RunFolder.below(tmp_path / "work")
    page = write_report(folder, folder.plan(), replace(evaluation, sets=sets)).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page
    assert HOSTILE not in page


def test_a_set_that_changed_since_the_plan_is_refused(tmp_path, capsys):
    write_set(tmp_path / "project" / "mine")
    write_set(tmp_path / "project" / "other")
    found = write_run(tmp_path / "project", keys=KEYS)
    with (tmp_path / "project" / "other" / "queries.jsonl").open("a") as stream:
        stream.write('{"_id": "new", "text": "new"}\n')
    assert evaluate(found.work) == 7
    assert "has changed since the run was planned" in capsys.readouterr().err


def test_what_was_encoded_before_a_kill_is_not_encoded_again(tmp_path, monkeypatch, evaluated):
    found = write_run(tmp_path / "project", keys="")
    from release_tool.models.finetune import comparing

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparing, "compare", killed)
        assert evaluate(found.work) == 130
    scratch = found.folder.folder(Stage.EVALUATE) / "scratch"
    blocks = {path: path.stat().st_mtime_ns for path in scratch.rglob("*.npz")}
    assert len(blocks) == 4
    (path, *_) = blocks
    path.write_bytes(path.read_bytes()[:100])
    seen = {}
    real = comparing.compare

    def look(*args, **named):
        seen.update({path: path.stat().st_mtime_ns for path in scratch.rglob("*.npz")})
        return real(*args, **named)

    monkeypatch.setattr(comparing, "compare", look)
    assert evaluate(found.work) == 0
    assert {one for one in blocks if seen[one] != blocks[one]} == {path}, "only the broken block is made again"
    assert document(found.work).sets[0] == document(evaluated.work).sets[0]
    assert not scratch.exists()


def held_out(found, folder, limit=200, seed=1):
    of = found.folder.folder
    return open_held_out(of(Stage.CORPUS), of(Stage.QUERIES), of(Stage.FILTER), folder, limit=limit, seed=seed)


def test_own_queries_are_judged_by_their_own_grades(tmp_path):
    held = held_out(write_run(tmp_path / "project", own=True), tmp_path / "sample")
    assert held.grades["q1"] == {"d1": 2, "d2": 1, "d3": 0}
    assert held.grades["q0"] == {"d0": 1, "d23": 1}
    assert held.queries["q0"] == HOSTILE
    assert set(held.queries) == {f"q{number}" for number in range(8)}


def test_a_query_that_was_also_trained_or_chosen_on_is_not_held_out(tmp_path):
    found = write_run(tmp_path / "project")
    kept = found.folder.folder(Stage.FILTER) / "kept-00000.jsonl"
    with kept.open("a") as stream:
        stream.write('{"query":"q3","document":"d20","split":"train"}\n')
    assert set(held_out(found, tmp_path / "sample").queries) == {f"q{number}" for number in (0, 1, 2, 4, 5, 6, 7)}


def test_of_a_larger_corpus_a_sample_and_the_judged_documents_are_searched(tmp_path):
    found = write_run(tmp_path / "project")
    sampled = held_out(found, tmp_path / "sample", limit=10)
    again = held_out(found, tmp_path / "again", limit=10)
    other = held_out(found, tmp_path / "other", limit=10, seed=2)
    names = [entry.id for entry in sampled.entries()]
    judged = {name for grades in sampled.grades.values() for name in grades}
    assert judged <= set(names)
    assert len(names) == sampled.documents < len(texts())
    assert names == [name for name in texts() if name in names], "in the order of the corpus"
    assert (again.sha256, names) == (sampled.sha256, [entry.id for entry in again.entries()])
    assert other.sha256 != sampled.sha256


def test_where_nothing_is_held_out_there_is_nothing_to_measure(tmp_path):
    found = write_run(tmp_path / "project")
    kept = found.folder.folder(Stage.FILTER) / "kept-00000.jsonl"
    kept.write_text("".join(line for line in kept.read_text().splitlines(keepends=True) if '"test"' not in line))
    assert held_out(found, tmp_path / "sample") is None


def test_a_sparse_model_has_flops_and_its_base_is_served_as_it_is(tmp_path):
    found = write_run(tmp_path / "project", kind="sparse")
    assert evaluate(found.work) == 0
    evaluation = document(found.work)
    assert (evaluation.before, evaluation.similarity) == (Before.BASE, "dot")
    (held,) = evaluation.sets
    assert held.before.flops > 0
    assert held.after.document_tokens > 0
