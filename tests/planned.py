"""Plans of small models for tests: what plan sees of their files, and what it makes of it or refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import COMMIT, make_request
from model_files import Files, bare, dense, module

from release_tool.core.card import licence_facts, read_card
from release_tool.core.detect import detect
from release_tool.core.plan import ReleasePlan, SourceFacts
from release_tool.core.planning import make_plan
from release_tool.errors import RequestError


def seen(files, *, accepted=None, origin="hub", model_id="acme/tiny", **model) -> SourceFacts:
    """Return what plan sees of a model; ``model`` changes single facts (sizes that no test should write)."""
    source = Files(files)
    card = read_card(source.read("README.md"))
    found = detect(source.read, source.planned(), tags=card.tags)
    return SourceFacts(
        origin=origin,
        model_id=model_id,
        revision=COMMIT,
        requested_revision=None,
        files=source.planned(),
        licence=licence_facts(card, accepted),
        model=replace(found.model, **model),
        description=card.description,
        kinds=found.kinds,
        kind_reason=found.reason,
    )


def plan(files, *, lineage=None, facts=None, **over) -> ReleasePlan:
    accepted = over.get("accept_licence")
    source = facts or seen(files, accepted=accepted)
    return make_plan(make_request(**over), source, tool_version="0.1.0", lineage=lineage)


def faults(files, *, facts=None, **over):
    with pytest.raises(RequestError) as caught:
        plan(files, facts=facts, **over)
    return caught.value.faults


def fields(found):
    return [fault.field for fault in found]


def ids(made: ReleasePlan):
    return [artifact.id for artifact in made.artifacts]


def left(made: ReleasePlan):
    return {item.id: item.reason for item in made.left_out}


CROSS = bare(config={"architectures": ["BertForSequenceClassification"], "id2label": {"0": "L"}})
QUESTIONS = bare(config={"architectures": ["BertForQuestionAnswering"]})
HIGHLIGHTS = bare(config={"architectures": ["BertTaggerForSentenceExtractionWithBackoff"]})
LAST = dense(**{"1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode": "lasttoken"}})
MAXIMUM = dense(**{"1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode": "max"}})
JOINED = dense(**{"1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode": ["cls", "mean"]}})
WITH_DENSE = dense(
    **{
        "modules.json": [
            module(0, "Transformer", ""),
            module(1, "Pooling", "1_Pooling"),
            module(2, "Dense", "2_Dense"),
        ],
        "2_Dense/config.json": {"out_features": 16},
    }
)
