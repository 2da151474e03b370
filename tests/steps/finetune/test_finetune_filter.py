"""Queries that teach nothing are dropped for the first reason that holds, and every reason is counted."""

from __future__ import annotations

from collections import Counter

import pytest
import searched_runs
from searched_runs import World, call, counts, rows

from release_tool.core.finetune.filtering import Reason
from release_tool.core.finetune.records import Dropped, Kept
from release_tool.core.finetune.stages import Stage

TEXTS = {
    "a": "the river runs by the old town and its three bridges",
    "b": "music of the winter nights is played in the old school",
    "c": "the history of science in one hundred short letters",
    "d": "a market for paper and stone opens in the morning",
}


def filtered(tmp_path, queries, *, code=0, **over):
    work = World(**{"documents": TEXTS, "queries": queries, "provider": "openai", **over}).write(tmp_path)
    assert call(work, "filter") == code
    kept = {row.query: row for row in rows(work, Stage.FILTER, Kept)}
    return work, kept, {row.query: row.reason for row in rows(work, Stage.FILTER, Dropped)}


def test_each_reason_drops_and_is_counted(tmp_path):
    queries = [
        ("kept", "where are old bridges", "a"),
        ("short", "bridges", "a"),
        ("long", "why " * 65, "b"),
        ("double", "Where ARE old bridges?", "a"),
        ("copy", "the history of science in one hundred short letters", "c"),
        ("lost", "where are paper stone markets", "b"),
        ("unknown", "who sells paper", "zzz"),
    ]
    work, kept, dropped = filtered(tmp_path, queries, keys="[filter]\nround_trip_depth = 1\n")
    assert list(kept) == ["kept"]
    assert dropped == {
        "short": "too_short", "long": "too_long", "double": "double", "copy": "copied", "lost": "not_found",
        "unknown": "unknown_document",
    }  # fmt: skip
    said = counts(work, Stage.FILTER)
    assert {name: said[name] for name in (reason.value for reason in Reason)} == dict.fromkeys(map(str, Reason), 1)
    assert (said["kept"], said["kept_train"], said["dropped"]) == (1, 1, 6)


def test_a_text_of_test_is_never_trained_on_nor_chosen_by(tmp_path):
    splits = {"b": "test", "c": "dev"}
    queries = [
        ("q1", "what is old", "a"), ("q2", "What is OLD?", "b"), ("q3", "what  is old", "c"),
        ("q4", "what is old", "b"), ("q5", "one two three", "a"), ("q6", "one two three", "c"),
        ("q7", "old paper town", "d"),        ("q8", "old paper town", "a"),
    ]  # fmt: skip
    _, kept, dropped = filtered(tmp_path, queries, splits=splits, keys='[filter]\nround_trip = "none"\n')
    assert {name: row.split for name, row in kept.items()} == {"q2": "test", "q6": "dev", "q7": "train"}
    assert set(dropped.values()) == {"double"}


@pytest.mark.parametrize("provider", ["sentences", "file"])
def test_parts_of_documents_and_own_queries_may_be_copies(tmp_path, provider):
    queries = [("q1", "the river runs by the old town", "a"), ("q2", "zebra crossing", "b")]
    _, kept, dropped = filtered(tmp_path, queries, provider=provider, judgements=[("q1", "a", 1), ("q2", "b", 1)])
    assert "q1" in kept
    # What people have judged is not asked for a round trip either.
    assert dropped == ({"q2": "not_found"} if provider == "sentences" else {})


def test_the_copy_ratio_is_that_of_the_recipe(tmp_path):
    queries = [("q1", "who played music of the winter", "b")]  # four of six words in a row
    for ratio, expected in ((0.6, {"q1": "copied"}), (0.7, {})):
        _, _, dropped = filtered(
            tmp_path / str(ratio),
            [*queries, ("q", "when is school music", "b")],
            keys=f"[filter]\ncopy_ratio = {ratio}\n",
        )
        assert dropped == expected


def test_near_duplicates_of_the_document_take_no_place_in_the_round_trip(tmp_path):
    texts = {"x": "red apple pie", **{f"n{number}": "red apple pie pie" for number in range(30)}, "y": "apple pie"}
    queries = [("q1", "red apple pies", "x"), ("q2", "some apple pies", "n3")]
    keys = "[filter]\nround_trip_depth = 1\n"
    alike = {f"n{number}": "x" for number in range(30)}
    _, kept, _ = filtered(tmp_path / "grouped", queries, documents=texts, groups=alike, keys=keys)
    assert list(kept) == ["q1"]
    work = World(documents=texts, queries=queries, provider="openai", keys=keys).write(tmp_path / "alone")
    assert call(work, "filter") != 0 or "q2" not in {row.query for row in rows(work, Stage.FILTER, Kept)}


@pytest.mark.parametrize("engine", ["tantivy", "bm25s"])
def test_the_round_trip_depth_decides(tmp_path, engine):
    texts = {f"d{number}": "apple " * (number + 1) + "pear" for number in range(12)}
    queries = [(f"q{number}", "apple" + " zebra" * (number + 1), f"d{number}") for number in range(12)]
    kept = {}
    for depth in (1, 4, 12):
        keys = f'[filter]\nround_trip_depth = {depth}\n[mine]\nengine = "{engine}"\n'
        _, found, _ = filtered(tmp_path / str(depth), queries, documents=texts, keys=keys)
        kept[depth] = set(found)
    assert [len(kept[depth]) for depth in (1, 4, 12)] == [1, 4, 12]
    assert kept[1] < kept[4] < kept[12]


def test_a_run_without_a_query_left_ends_with_what_was_dropped(tmp_path, capsys):
    filtered(tmp_path, [("q1", "zebra quagga", "a"), ("q2", "x", "a")], code=2)
    said = capsys.readouterr().err
    assert "No query is left" in said
    assert "not found 1" in said


def test_rows_stand_in_the_order_of_the_queries_part_by_part(tmp_path):
    texts = {f"d{number}": f"word{number} and word{number + 1} and more" for number in range(23)}
    queries = [
        (f"q{number}", f"word{number} word{number + 1}" if number % 3 else "no", f"d{number}") for number in range(23)
    ]
    work, kept, dropped = filtered(tmp_path, queries, documents=texts)
    names = [name for name, _, _ in queries]
    assert list(kept) == [name for name in names if name in kept]
    assert Counter([*kept, *dropped]) == Counter(names)
    folder = work / "finetune" / Stage.FILTER.folder
    assert len(list(folder.glob("kept-*.jsonl"))) == len(list(folder.glob("dropped-*.jsonl"))) == 5
    first = searched_runs.digest(work, Stage.FILTER)
    assert call(work, "filter", "--again") == 0
    assert searched_runs.digest(work, Stage.FILTER) == first
