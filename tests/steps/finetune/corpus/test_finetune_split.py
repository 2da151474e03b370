"""What is alike is never on both sides of a split, and what is there stays on its side."""

from __future__ import annotations

import itertools

import pytest
from corpus_projects import plain_rows, similar_rows

from release_tool.core.finetune.shingles import similarity_of
from release_tool.core.finetune.stages import Stage

SPLITS = ("train", "dev", "test")


def leaks(project):
    """Return pairs of documents that are near duplicates and on different sides."""
    places, documents = project.places, project.documents
    return [
        (one.id, other.id)
        for one, other in itertools.combinations(documents, 2)
        if places[one.id] != places[other.id] and similarity_of(one.whole, other.whole) >= 0.8
    ]


@pytest.mark.usefixtures("_small_parts")
def test_no_near_duplicate_is_on_another_side_of_a_split(project):
    project.put(similar_rows(1, 200))
    project.write(split="dev = 0.2\ntest = 0.3")
    assert project.go() == 0
    assert set(project.places.values()) == {"train", "dev", "test"}
    assert leaks(project) == []
    found = {split: {project.groups[i] for i, at in project.places.items() if at == split} for split in SPLITS}
    assert {split: project.counts(Stage.SPLIT)[f"{split}_groups"] for split in SPLITS} == {
        split: len(groups) for split, groups in found.items()
    }
    counts = project.counts(Stage.CORPUS)
    assert counts["groups"] == len(set(project.groups.values()))
    assert counts["near_duplicates"] > 20
    assert counts["exact_duplicates"] == 200 - len({document.text for document in project.documents}) > 5
    project.write('path = "docs"\nnear_duplicates = false', split="dev = 0.2\ntest = 0.3")
    assert project.go() == 0
    assert len(leaks(project)) > 20  # what grouping is for


def test_a_title_counts_and_a_lower_similarity_groups_more(project):
    project.put(similar_rows(2, 80, changes=12))
    found = []
    for similarity in (0.9, 0.7, 0.5):
        project.write(f'path = "docs"\nsimilarity = {similarity}')
        assert project.go() == 0
        found.append(project.counts(Stage.CORPUS)["groups"])
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]
    project.put([{"id": 1, "title": "One", "text": "two three"}, {"id": 2, "text": "one, two, three"}])
    assert project.go() == 0
    assert len(set(project.groups.values())) == 1


def test_documents_that_are_added_or_removed_move_no_other_one(project):
    rows = similar_rows(3, 150)
    project.put(rows)
    assert project.go() == 0
    before, groups = project.places, project.groups
    more = [{"id": f"n{number}", "text": f"new {number} " + row["text"][::-1]} for number, row in enumerate(rows)]
    project.put(more + rows[::-1], "a.jsonl")
    assert project.go() == 0
    assert {ident: project.places[ident] for ident in before} == before
    assert {ident: project.groups[ident] for ident in before} == groups
    gone = {ident for ident, group in groups.items() if group == rows[0]["id"]}
    project.put([row for row in rows if row["id"] not in gone])
    assert project.go() == 0
    assert project.places == {ident: split for ident, split in before.items() if ident not in gone}


def test_shares_and_key_of_the_recipe_decide(project):
    project.put(plain_rows(400))
    found = {}
    for split in ("", "dev = 0.0", "test = 0.3", 'key = "another"', "dev = 0.0\ntest = 0.0"):
        project.write(split=split)
        assert project.go() == 0
        found[split] = project.places
        counts = project.counts(Stage.SPLIT)
        for name in ("train", "dev", "test"):
            assert counts[f"{name}_documents"] == list(project.places.values()).count(name)
            assert counts[f"{name}_groups"] == counts[f"{name}_documents"]
    sizes = {split: [list(places.values()).count(name) for name in ("dev", "test")] for split, places in found.items()}
    assert 5 < sizes[""][0] < 40
    assert 20 < sizes[""][1] < 62
    assert sizes["dev = 0.0"] == [0, sizes[""][1]]
    assert 85 < sizes["test = 0.3"][1] < 157
    assert sizes["dev = 0.0\ntest = 0.0"] == [0, 0]
    assert found['key = "another"'] != found[""]


@pytest.mark.parametrize(("count", "wanted"), [(1, {"train"}), (2, {"train"}), (3, {"train", "dev", "test"})])
def test_a_tiny_corpus_has_something_in_every_split_or_nothing_held_out(project, capfd, count, wanted):
    project.put(plain_rows(count))
    assert project.go() == 0
    assert set(project.places.values()) == wanted
    assert ("fewer than three groups" in capfd.readouterr().err) == (count < 3)
