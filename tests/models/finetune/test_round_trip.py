"""The base model's round trip: the ranks of a plain search over everything, and the same after an interruption."""

from __future__ import annotations

import json

import numpy as np
import pytest
from searched_runs import World, call, rows
from tiny_models import make

from release_tool.core.finetune.records import Dropped, Kept
from release_tool.core.finetune.stages import Stage
from release_tool.core.probes import Role
from release_tool.models.finetune import round_trip
from release_tool.models.finetune.encode_texts import Encoder
from release_tool.run_folder import RunFolder

WORDS = ("river", "bank", "water", "city", "mountain", "winter", "music", "science", "history", "language")
TEXTS = {f"d{number}": f"the {WORDS[number % 10]} of the {WORDS[(number * 3) % 7]}" for number in range(30)}
QUERIES = [(f"q{number}", f"{WORDS[number % 10]} {WORDS[number % 3]}", f"d{number}") for number in range(10)]
GROUPS = {"d21": "d0", "d10": "d0"}
DEPTH = 6


@pytest.fixture(scope="module", params=["dense", "sparse-st"])
def base(request, tmp_path_factory):
    kind = request.param.partition("-")[0]
    return make(tmp_path_factory.mktemp("base") / "base", "bert", request.param, max_length=64), kind


def matrix(arrays):
    found = round_trip.matrix(arrays)
    return found if isinstance(found, np.ndarray) else found.toarray()


def by_everything(folder, kind):
    """Return how many documents of other groups come before each query's own, by one product of everything."""
    encoder = Encoder(folder, kind, 64)
    asked = matrix(encoder.encode([text for _, text, _ in QUERIES], Role.QUERY))
    documents = matrix(encoder.encode(list(TEXTS.values()), Role.PASSAGE))
    width = max(asked.shape[1], documents.shape[1])
    asked, documents = (np.pad(one, ((0, 0), (0, width - one.shape[1]))) for one in (asked, documents))
    if kind == "dense":
        asked, documents = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (asked, documents))
    scores = asked @ documents.T
    groups = [GROUPS.get(name, name) for name in TEXTS]
    names = list(TEXTS)
    return [
        sum(
            scores[row, at] > scores[row, names.index(own)] + 1e-5 and groups[at] != groups[names.index(own)]
            for at in range(len(names))
        )
        for row, (_, _, own) in enumerate(QUERIES)
    ]


def world(base, folder):
    model, kind = base
    (folder / "base").symlink_to(model) if not (folder / "base").exists() else None
    keys = f'[filter]\nround_trip = "model"\nround_trip_depth = {DEPTH}\nmin_words = 1\n'
    return World(documents=TEXTS, queries=QUERIES, groups=GROUPS, keys=keys, kind=kind).write(folder)


# A process of its own takes ten seconds; the numbers of a sparse one are those of the test below.
@pytest.mark.slow
@pytest.mark.parametrize("base", ["dense"], indirect=True)
def test_queries_are_kept_whose_document_is_among_the_first(base, tmp_path):
    work = world(base, tmp_path)
    expected = by_everything(*base)
    assert call(work, "filter") == 0
    kept = {row.query for row in rows(work, Stage.FILTER, Kept)}
    assert kept == {name for (name, _, _), before in zip(QUERIES, expected, strict=True) if before < DEPTH}
    assert 0 < len(kept) < len(QUERIES)
    assert {row.reason for row in rows(work, Stage.FILTER, Dropped)} <= {"not_found", "double"}


def job_of(base, folder):
    """Write what the stage would tell the child, and return it."""
    work = world(base, folder)
    run = RunFolder.below(work)
    groups = {name: number for number, name in enumerate(dict.fromkeys(GROUPS.get(one, one) for one in TEXTS))}
    np.save(folder / "groups.npy", [groups[GROUPS.get(name, name)] for name in TEXTS])
    np.save(folder / "places.npy", [list(TEXTS).index(own) for _, _, own in QUERIES])
    for name, column in (("queries", 1), ("names", 2)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row[column]) + "\n" for row in QUERIES))
    files = {name: str(folder / f"{name}.jsonl") for name in ("queries", "names")}
    files |= {name: str(folder / f"{name}.npy") for name in ("places", "groups")}
    return {
        "folder": str(base[0]), "kind": base[1], "max_length": 64, "corpus": str(run.folder(Stage.CORPUS)),
        "documents": len(TEXTS), "out": str(folder / "out"), **files,
    }  # fmt: skip


def test_a_trip_that_was_broken_off_anywhere_goes_on_and_counts_the_same(base, tmp_path, monkeypatch):
    expected = by_everything(*base)
    monkeypatch.setattr(round_trip, "BLOCK", 4)
    monkeypatch.setattr(round_trip.blocks, "__defaults__", (4,))
    monkeypatch.setattr(round_trip, "SAVED_EVERY", 2)
    monkeypatch.setattr(round_trip, "report", lambda *_, **__: None)
    job = job_of(base, tmp_path)
    encode, calls = Encoder.encode, []

    def breaking(encoder, texts, role):
        calls.append(len(texts))
        if len(calls) % 4 == 0:
            raise KeyboardInterrupt
        return encode(encoder, texts, role)

    monkeypatch.setattr(Encoder, "encode", breaking)
    broken = 0
    while not (tmp_path / "out" / "before.npy").is_file():
        try:
            round_trip.Trip(job).run()
        except KeyboardInterrupt:
            broken += 1
            assert broken < 10
    assert np.load(tmp_path / "out" / "before.npy").tolist() == expected
    assert broken > 2
    # Nothing that had been finished was encoded again, but for the block between two savings.
    assert sum(calls) < 2 * len(QUERIES) + len(TEXTS) + 12 * broken
