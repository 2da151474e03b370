"""Stage select: rows of equal length with the labels that the teachers' logits give, and a count of every reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import mined_runs
import pytest

from release_tool.core.finetune.records import Dropped, Selected, Taught
from release_tool.core.finetune.selecting import ALIKE, FEW, PERCENTILE, RANK
from release_tool.core.finetune.stages import Stage
from release_tool.part_files import PartWriter, read_rows

TEACHER = "teacher"


def logits_of(row, teacher):
    """Return logits that differ from query to query, by rule."""
    number = int(row.query[1:])
    return tuple(round((teacher + 1) * ((number * 7 + place * place * 3) % 11) - 0.1 * place, 2) for place in range(6))


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a run whose teachers have said what a rule says."""

    def call(teachers=2, *, rule=logits_of, scored=5, **words):
        mined_runs.teacher(tmp_path / TEACHER)
        made = mined_runs.make(tmp_path, [tmp_path / TEACHER] * teachers, **words)
        folder = made.folder
        plan = folder.plan()
        place = folder.begin(Stage.TEACH, folder.today(Stage.TEACH, plan))
        for number in range(teachers):
            with PartWriter(place / f"teacher-{number}", Taught.STEM, rows=4) as writer:
                for row in made.mined:
                    documents = (row.positive, *row.documents[:scored])
                    logits = rule(row, number)[: len(documents)]
                    writer.add(Taught(query=row.query, documents=documents, logits=logits))
        mined_runs.finish(folder, Stage.TEACH, [], 1, is_begun=True)
        return made

    return call


def selected(made):
    return list(read_rows(made.folder.folder(Stage.SELECT), Selected))


def dropped(made):
    return {row.query: row.reason for row in read_rows(made.folder.folder(Stage.SELECT), Dropped)}


def by_hand(row, teachers=2):
    """Return the scores of a query's documents."""
    columns = []
    for teacher in range(teachers):
        logits = logits_of(row, teacher)
        columns.append([(logit - min(logits)) / (max(logits) - min(logits)) for logit in logits])
    return [sum(column) / teachers for column in zip(*columns, strict=True)]


def test_rows_hold_the_positive_and_the_hardest_negatives_below_the_share(make):
    made = make()
    assert made.go("select") == 0
    rows = {row.query: row for row in selected(made)}
    assert rows
    for mined in made.mined:
        scores = by_hand(mined)
        left = [place for place in range(1, 6) if scores[place] <= 0.95 * scores[0] + 1e-6]
        if len(left) < 2:
            assert dropped(made)[mined.query] == FEW
            continue
        places = sorted(left, key=lambda place: -round(scores[place], 6))[:2]
        row = rows[mined.query]
        assert row.documents == (mined.positive, *(mined.documents[place - 1] for place in places))
        assert row.labels == pytest.approx([scores[0], *(scores[place] for place in places)], abs=1e-6)
        assert row.split == mined.split


def test_every_query_is_a_row_or_has_a_reason_and_all_of_them_are_counted(make):
    made = make(queries=60, more="[filter]\nteacher_percentile = 0.1")
    assert made.go("select") == 0
    rows, gone = selected(made), dropped(made)
    assert len(rows) + len(gone) == 60
    assert {row.query for row in rows}.isdisjoint(gone)
    assert {len(row.documents) for row in rows} == {len(row.labels) for row in rows} == {3}
    counts = made.folder.finished(Stage.SELECT).counts
    reasons = Counter(gone.values())
    assert reasons[PERCENTILE] == 6
    assert {name: counts[name] for name in reasons} == dict(reasons)
    assert (counts["train"], counts["dev"]) == tuple(
        sum(row.split == split for row in rows) for split in ("train", "dev")
    )
    assert counts["dev"] > 0
    assert counts["candidates_that_answer"] > 0


def test_the_percentile_takes_the_queries_whose_positive_the_teachers_like_least(make):
    def rule(row, teacher):
        first = int(row.query[1:]) + 20.0 * teacher
        return (first, first - 1, first - 2, first - 3, first - 4, first - 5)

    made = make(rule=rule, more="[filter]\nteacher_percentile = 0.25")
    assert made.go("select") == 0
    assert dropped(made) == dict.fromkeys(("q0", "q1", "q2"), PERCENTILE)


@pytest.mark.parametrize(("rank", "expected"), [(2, RANK), (3, None)])
def test_the_rank_of_the_positive_decides(make, rank, expected):
    made = make(1, rule=lambda *_: (5.0, 9.0, 8.0, 1.0, 2.0, 0.0))
    recipe = made.recipe.read_text().replace("min_positive_rank = 200", f"min_positive_rank = {rank}")
    made.recipe.write_text(recipe)
    assert made.go("plan", "--recipe", str(made.recipe)) == 0
    assert made.go("select") == (2 if expected else 0)
    if expected is None:
        assert selected(made)[0].documents[1:] == (made.mined[0].documents[3], made.mined[0].documents[2])


def test_teachers_that_tell_nothing_apart_drop_the_query(make):
    made = make(1, rule=lambda row, teacher: (1.0,) * 6 if row.query == "q3" else (3.0, 1.0, 1.0, 0.0, 0.0, 2.0))
    assert made.go("select") == 0
    assert dropped(made) == {"q3": ALIKE}


def test_a_selection_without_rows_is_refused_with_its_reasons(make, capfd):
    made = make(1, rule=lambda *_: (1.0, 9.0, 8.0, 7.0, 6.0, 0.0))
    assert made.go("select") == 2
    said = capfd.readouterr().err
    assert "too few negatives: 12" in said
    assert "select.negatives" in said
    assert made.folder.finished(Stage.SELECT) is None


def test_logits_of_other_candidates_are_refused(make, capfd):
    made = make()
    path = made.folder.folder(Stage.TEACH) / "teacher-1"
    rows = list(read_rows(path, Taught))
    for spoilt in (rows[:-1], [*rows, rows[0]], [replace(rows[0], documents=("x", *rows[0].documents[1:])), *rows[1:]]):
        for part in path.iterdir():
            part.unlink()
        with PartWriter(path, Taught.STEM) as writer:
            for row in spoilt:
                writer.add(row)
        mined_runs.finish(made.folder, Stage.TEACH, [], 1, is_begun=True)
        assert made.go("select") == 7
        assert "teach --again" in capfd.readouterr().err


def test_without_a_teacher_candidates_are_taken_by_rank_and_have_no_labels(make):
    made = make(0)
    assert made.go("select") == 0
    for row, mined in zip(selected(made), made.mined, strict=True):
        assert row.documents == (mined.positive, *mined.documents[:2])
        assert row.labels is None
    assert dropped(made) == {}


@pytest.mark.parametrize("teachers", [0, 2])
def test_random_negatives_depend_on_the_seed_alone(make, teachers):
    made = make(teachers, more="", queries=40)
    recipe = made.recipe.read_text().replace("min_positive_rank", 'sampling = "random"\nmin_positive_rank')
    found = []
    for seed in (1, 2, 1):
        made.recipe.write_text(recipe.replace("[corpus]", f"seed = {seed}\n[corpus]"))
        assert made.go("plan", "--recipe", str(made.recipe)) == 0
        for stage in list(Stage)[:6]:  # the seed is in the fingerprint of corpus and queries; what they made stays
            mined_runs.finish(made.folder, stage, [], 1, is_begun=True)
        assert made.go("select") == 0
        found.append([row.documents for row in selected(made)])
    assert found[0] == found[2]
    assert found[0] != found[1]
    assert [row[0] for row in found[0]] == [row[0] for row in found[1]]


def test_broken_off_and_run_again_it_makes_the_same_files(make, monkeypatch):
    from release_tool import part_files

    made = make(queries=40)
    monkeypatch.setattr(part_files, "PART_ROWS", 5)
    monkeypatch.setattr(part_files.PartWriter.__init__, "__defaults__", (5, 0, 0))
    assert made.go("select") == 0
    whole = made.digest(Stage.SELECT)
    assert len(made.folder.finished(Stage.SELECT).files) > 3
    real = part_files.PartWriter.add
    for last in (1, 12, 31):
        made.remove(Stage.SELECT)
        written = []

        def stop(self, row, last=last, written=written):
            if len(written) == last:
                raise KeyboardInterrupt
            written.append(row)
            real(self, row)

        with monkeypatch.context() as patched:
            patched.setattr(part_files.PartWriter, "add", stop)
            assert made.go("select") == 130
        assert made.go("select") == 0
        assert made.digest(Stage.SELECT) == whole


def test_rows_are_shown_with_their_texts_escaped_and_the_stage_is_not_run_again(make, capfd):
    hostile = mined_runs.Document(id="d0", text="::set-output name=x::\x1b[31mred\nnext")
    made = make(own=[hostile], change=lambda row: replace(row, positive="d0", documents=row.documents))
    assert made.go("select") == 0
    digest, stamp = made.digest(Stage.SELECT), (made.folder.folder(Stage.SELECT) / "stage.json").stat().st_mtime_ns
    capfd.readouterr()
    assert made.go("select", "--show", "2") == 0
    shown = capfd.readouterr().out
    blocks = shown.strip().split("\n\n")[-2:]
    rows = {row.query: row for row in selected(made)}
    for block in blocks:
        first, positive, *negatives = block.splitlines()
        split, query, *words = first.split(maxsplit=2)
        row = rows[query]
        assert (split, words) == (row.split, [made.queries[query]])
        assert positive.startswith(f"  + {row.labels[0]:.3f}  d0  ")
        assert "\x1b" not in block
        assert len(negatives) == 2
        assert all(line.startswith("  - ") for line in negatives)
    assert made.digest(Stage.SELECT) == digest
    assert (made.folder.folder(Stage.SELECT) / "stage.json").stat().st_mtime_ns == stamp
    assert made.go("select", "--show", "2") == 0
    assert capfd.readouterr().out == shown


def test_rows_are_not_shown_as_json(make, capfd):
    made = make()
    assert mined_runs.run(["--json", "--work", str(made.work), "finetune", "select", "--show", "1"]) == 2
    assert "--json" in capfd.readouterr().err
