"""Judged sets: read as a stream, every fault named with its file and line, and the set that comes with the package."""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter
from itertools import takewhile

import pytest
from judged_sets import ASKED, GRADES, TEXTS, write_set

from release_tool import sets
from release_tool.core.kinds import ModelKind
from release_tool.core.probes import Role
from release_tool.core.quality_parts import Part, Side, sides
from release_tool.errors import IntegrityError, UsageError
from release_tool.packaged import packaged_set
from release_tool.sets import blocks, open_set, pair_probes


def refused(folder):
    with pytest.raises(UsageError) as caught:
        open_set(folder, "mine")
    assert "BEIR" in caught.value.hint
    return str(caught.value)


def test_a_set_is_read_as_it_stands(tmp_path):
    judged = open_set(write_set(tmp_path / "mine"), "mine")
    assert (judged.documents, judged.empty, judged.unjudged) == (6, (), 1)
    assert list(judged.queries) == ["q1", "q2", "q3"]
    assert judged.grades["q1"] == {"d1": 2, "d4": 1}
    assert [(entry.id, entry.text) for entry in judged.entries()] == list(TEXTS.items())
    assert {probe.role for probe in judged.document_probes()} == {Role.PASSAGE}
    assert next((probe.text, probe.role) for probe in judged.query_probes()) == ("apple tree", Role.QUERY)
    assert judged.files.keys() == {"corpus.jsonl", "queries.jsonl", "qrels/test.tsv"}


def test_title_and_text_are_joined_and_other_keys_are_passed_over(tmp_path):
    line = json.dumps({"_id": 7, "title": " Title ", "text": " body ", "metadata": {"url": "x"}}).encode()
    judged = open_set(write_set(tmp_path / "mine", texts={"x": line}, grades=(("q1", "7", 1),)), "mine")
    assert [(entry.id, entry.text) for entry in judged.entries()] == [("7", "Title body")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"texts": {"x": b"{"}}, "mine/corpus.jsonl, line 1: it is no JSON object"),
        ({"texts": {"x": b"[1]"}}, "mine/corpus.jsonl, line 1: it is no JSON object"),
        ({"texts": {"x": b'{"text": "t"}'}}, "its _id is no text"),
        ({"texts": {"x": b'{"_id": "", "text": "t"}'}}, "its _id is no text"),
        ({"texts": {"x": b'{"_id": "a", "text": 5}'}}, "its title or its text is no text"),
        ({"texts": {"x": b'{"_id": "a", "text": "\\ud800"}'}}, "half of a surrogate pair"),
        ({"texts": {"d1": "a", "x": b'{"_id": "d1", "text": "t"}'}}, "line 2: the id 'd1' is given twice"),
        ({"texts": {"d1": "a", "d2": " "}}, "1 of 2 documents have no text, such as 'd2'"),
        ({"texts": {"d1": "a" * 100_001}}, "it is longer than 100,000 characters"),
        ({"asked": {"q1": " "}}, "it has no query with a text"),
        ({"grades": (("q9", "d1", 1),)}, "qrels/test.tsv, line 2: queries.jsonl has no query 'q9'"),
        ({"grades": (*GRADES, ("q1", "d9", 1))}, "line 7: corpus.jsonl has no document 'd9'"),
        ({"grades": (*GRADES, ("q1", "d1", 1))}, "line 7: it judges 'd1' another time and in another way"),
        ({"grades": (("q1", "d1", 0),)}, "it judges no document relevant to any query"),
        ({"grades": (("q1", "d1", "high"),)}, "line 2: its score is no whole number"),
        ({"grades": (("q1", "d1"),)}, "line 2: it has 2 columns between tabs"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, change, said):
    assert said in refused(write_set(tmp_path / "mine", **change))


def test_an_empty_query_may_not_be_judged(tmp_path):
    folder = write_set(tmp_path / "mine", asked={**ASKED, "q5": ""}, grades=(*GRADES, ("q5", "d1", 1)))
    assert "line 7: it judges for the query 'q5', which is empty" in refused(folder)


def test_one_empty_document_of_many_is_left_out_and_named(tmp_path):
    texts = {**TEXTS, **{f"more{n}": f"filler {n}" for n in range(100)}, "hole": ""}
    judged = open_set(write_set(tmp_path / "mine", texts=texts, grades=(*GRADES, ("q1", "hole", 1))), "mine")
    assert judged.empty == ("hole",)
    assert judged.documents == 106
    assert "hole" not in [entry.id for entry in judged.entries()]


def test_judgements_are_looked_for_in_test_tsv_or_the_only_file(tmp_path):
    assert open_set(write_set(tmp_path / "one", qrels="dev.tsv"), "one").files.keys() >= {"qrels/dev.tsv"}
    folder = write_set(tmp_path / "two")
    (folder / "qrels" / "dev.tsv").write_text("x")
    assert open_set(folder, "two").files.keys() >= {"qrels/test.tsv"}
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "train.tsv")
    assert "2 files and none is test.tsv" in refused(folder)
    for path in (folder / "qrels").iterdir():
        path.unlink()
    assert "there are no judgements" in refused(folder)
    (folder / "qrels").rmdir()
    assert "qrels: it can't be read" in refused(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_a_folder_and_a_pipe_are_named_and_nobody_waits(tmp_path, name):
    folder = write_set(tmp_path / "mine")
    (folder / name).unlink()
    assert name in refused(folder)
    (folder / name).mkdir()
    assert "a folder" in refused(folder)
    (folder / name).rmdir()
    os.mkfifo(folder / name)
    done = threading.Event()
    threading.Thread(target=lambda: (refused(folder), done.set()), daemon=True).start()
    assert done.wait(10)


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "MAX_LINE", 1 << 20)
    folder = write_set(tmp_path / "mine", texts={"x": b'{"_id": "a", "text": "' + b"a" * (2 << 20)})
    assert "line 1: it is longer than 1 MiB" in refused(folder)


def test_a_set_that_changes_while_it_is_measured_is_noticed(tmp_path):
    judged = open_set(write_set(tmp_path / "mine"), "mine")
    write_set(tmp_path / "other", texts={**TEXTS, "d6": "another text"})
    (tmp_path / "other" / "corpus.jsonl").replace(tmp_path / "mine" / "corpus.jsonl")
    with pytest.raises(IntegrityError, match="was changed while it was read"):
        list(judged.entries())


def test_blocks_are_bounded_by_texts_and_by_characters_and_named_by_content(tmp_path, monkeypatch):
    judged = open_set(write_set(tmp_path / "mine"), "mine")
    (whole,) = blocks(judged.document_probes())
    monkeypatch.setattr(sets, "BLOCK_TEXTS", 4)
    parts = list(blocks(judged.document_probes()))
    assert [len(block.probes) for block in parts] == [4, 2]
    assert len({whole.name, *(block.name for block in parts)}) == 3
    assert [block.name for block in parts] == [block.name for block in blocks(judged.document_probes())]
    monkeypatch.setattr(sets, "BLOCK_CHARACTERS", 100)
    assert all(sum(len(p.text) for p in block.probes) <= 100 for block in blocks(judged.document_probes()))


def test_pairs_are_a_query_and_its_candidates_in_order(tmp_path):
    judged = open_set(write_set(tmp_path / "mine"), "mine")
    found = list(pair_probes(judged, {"q1": [3, 0], "q2": [], "q3": [4]}))
    assert [(probe.text, probe.second) for probe in found] == [
        ("apple tree", TEXTS["d4"]),
        ("apple tree", TEXTS["d1"]),
        ("clean kettle", TEXTS["d5"]),
    ]


def test_each_kind_is_measured_on_what_it_serves():
    sparse, tokenizer = ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER
    assert sides(ModelKind.CROSS_ENCODER, ()) == (Side(part=Part.PAIRS, kind=ModelKind.CROSS_ENCODER),)
    assert {side.kind for side in sides(sparse, (sparse,))} == {sparse}
    both = sides(sparse, (sparse, tokenizer))
    assert [(side.part, side.kind, side.by_archive) for side in both] == [
        (Part.DOCUMENTS, sparse, True),
        (Part.QUERIES, tokenizer, False),
    ]
    assert [side.by_archive for side in sides(tokenizer, (sparse, tokenizer))] == [False, True]
    assert all(side.by_archive for side in sides(tokenizer, (tokenizer,)))


# --- the set that comes along --------------------------------------------------------------------------------------


def test_the_shipped_set_is_what_its_readme_says():
    judged = open_set(packaged_set(), "release-tool")
    said = (packaged_set() / "README.md").read_text(encoding="utf-8")
    documents, queries = map(int, re.search(r"(\d+) documents and (\d+) judged queries", said).groups())
    assert (judged.documents, len(judged.queries)) == (documents, queries)
    assert (judged.empty, judged.unjudged) == ((), 0)
    assert len({entry.text for entry in judged.entries()}) == documents
    assert Counter(max(grades.values()) for grades in judged.grades.values()) == {3: queries}
    languages = Counter(query.split("-")[0] for query in judged.queries)
    assert set(languages) > {"en", "de", "fr", "es", "zh", "ja", "ru", "ar"}
    assert min(languages.values()) >= 2
    assert sum(path.stat().st_size for path in packaged_set().rglob("*") if path.is_file()) < 300_000


def test_texts_of_a_family_differ_in_one_sentence_only():
    texts = {entry.id: entry.text for entry in open_set(packaged_set(), "release-tool").entries()}
    for family in ("long-1", "long-2", "long-3", "deep-", "head-1", "head-2", "head-3", "head-12"):
        members = [text for name, text in texts.items() if name[:-1] == family]
        assert len(members) in (2, 4), family
        ways = [text[::-1] for text in members] if family.startswith("head") else members
        shared = list(takewhile(lambda letters: len(set(letters)) == 1, zip(*ways, strict=False)))
        assert len(shared) > 0.75 * max(map(len, members)), family
