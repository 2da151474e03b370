"""A lineage is bounded, shown escaped and in words, and a model that was accepted although it is worse is warned of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from release_tool.core.codec import encode
from release_tool.core.lineage import (
    MAX_BYTES,
    MAX_DEPTH,
    Lineage,
    SetLineage,
    StageLineage,
    digest_of,
    facts,
    problem_of,
    read,
    warnings,
)
from release_tool.core.page_parts import pairs

FILES = (("model.safetensors", "1" * 64), ("README.md", "2" * 64), ("lineage.json", "3" * 64))
SET = SetLineage(
    role="held-out", sha256="0" * 64, queries=8, documents=24, before=0.5, after=0.52, low=0.01, high=0.03, p=0.01
)
LINEAGE = Lineage(
    tool_version="1",
    name="acme",
    kind="dense",
    model_sha256=digest_of(FILES),
    base="org/base@1",
    teachers=("org/teacher@2",),
    queries_by="sentences",
    licences={"base": "apache-2.0"},
    dollars=1.5,
    before="base",
    metrics={"held-out": SET},
    verdict="better",
    reasons=(),
    accepted=None,
    recipe={"train.steps": 20},
    recipe_sha256="4" * 64,
    pins={"base": "org/base@1"},
    stages={"train": StageLineage(digest="5" * 64, fingerprint="6" * 64)},
)


def data(**over):
    return encode(replace(LINEAGE, **over))


def shown(found):
    return {fact.label: f"{fact.value} {fact.note}" for fact in found}


def test_what_was_measured_is_shown_in_words():
    found = shown(facts(data()))
    assert found["held-out"].startswith("nDCG@10 0.5000 → 0.5200 (+2.00 points, +1.00 to +3.00, p = 0.0100)")
    assert "train.steps = 20" in found["Recipe"]
    assert found["Verdict"].strip() == "better"


@pytest.mark.parametrize("other", [{"base": "acme/base"}, {"schema": "release-tool/lineage@2", "x": [1]}, {}, None])
def test_a_lineage_of_another_tool_is_shown_as_its_pairs(other):
    assert facts(other) == pairs(other)
    assert warnings(other, FILES) == ()


def test_a_lineage_that_only_says_it_is_ours_is_warned_of():
    broken = data() | {"metrics": "none"}
    assert read(broken) is None
    assert "not what its schema says" in warnings(broken, FILES)[0]


def test_a_model_that_is_not_better_is_warned_of_with_the_reason():
    worse = data(verdict="not better", reasons=("p is 0.4",), accepted="the old one\n::error::is gone")
    (warning,) = warnings(worse, FILES)
    assert "p is 0.4" in warning
    assert "the old one ::error::is gone" in warning
    assert "\n" not in warning
    assert shown(facts(worse))["Accepted because"].startswith("the old one")


def test_a_good_lineage_is_no_warning_and_card_and_lineage_may_change():
    assert warnings(data(), FILES) == ()
    assert warnings(data(), (FILES[0],)) == ()


def test_weights_that_were_changed_afterwards_are_warned_of():
    (warning,) = warnings(data(), (("model.safetensors", "9" * 64), *FILES[1:]))
    assert "changed after hand-over" in warning


def test_hostile_texts_stay_short_and_on_their_line():
    hostile = "x\n\u202e<script>" * 5000
    found = facts(
        data(base=hostile, teachers=(hostile,), recipe={hostile: hostile}, accepted=hostile, pins={hostile: hostile})
    )
    assert all("\n" not in fact.value and "\u202e" not in fact.value and len(fact.value) < 700 for fact in found)
    many = facts(data(metrics={f"set {number} {hostile}": replace(SET, role="set") for number in range(100)}))
    assert len(many) < 40
    assert all(len(fact.label) < 120 for fact in many)


@pytest.mark.parametrize(("depth", "refused"), [(MAX_DEPTH, False), (MAX_DEPTH + 1, True), (300, True)])
def test_a_deep_lineage_is_refused(depth, refused):
    value = 1
    for _ in range(depth - 1):
        value = [value]
    assert bool(problem_of({"a": value}, 100)) is refused


def test_a_large_lineage_is_refused():
    assert problem_of({}, MAX_BYTES) is None
    assert "bytes" in problem_of({}, MAX_BYTES + 1)
    assert len(json.dumps(data())) < MAX_BYTES / 10
