"""The stages of a run: their order, what each one reads, and the fingerprint by which a finished one is known.

A stage is finished where its folder holds a state with today's fingerprint: the digest of its version, of the recipe's
keys that concern it, of the things outside that ``plan`` pinned for it, and of what the stages before it made. Digests,
not times or names, are compared: a stage that was run again and made the same bytes runs nothing after it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from release_tool.core.digest import sha256_bytes, tree_digest
from release_tool.core.finetune.keys import changed
from release_tool.core.finetune.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stage(Enum):
    """The stages after ``plan``, in the order in which they run; the value is the command's name."""

    CORPUS = "corpus"
    SPLIT = "split"
    QUERIES = "queries"
    FILTER = "filter"
    MINE = "mine"
    TEACH = "teach"
    SELECT = "select"
    TRAIN = "train"
    EVALUATE = "evaluate"
    HAND_OVER = "hand-over"

    @property
    def folder(self) -> str:
        """The folder of its files in that of the run, such as ``01-corpus``."""
        return f"{list(Stage).index(self) + 1:02}-{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a stage depends on."""

    version: int
    """Raised with every change of what it makes from the same inputs."""
    after: tuple[Stage, ...] = ()
    """Stages whose files it reads."""
    keys: tuple[str, ...] = ()
    """Sections of the recipe, or single keys (``model.kind``), that change what it makes."""
    pins: tuple[str, ...] = ()
    """What ``plan`` pinned for it, by the part of the name before the first colon."""


RULES: dict[Stage, Rules] = {
    Stage.CORPUS: Rules(version=1, keys=("corpus", "model.seed"), pins=("corpus",)),
    Stage.SPLIT: Rules(version=1, after=(Stage.CORPUS,), keys=("split",)),
    Stage.QUERIES: Rules(
        version=1,
        after=(Stage.CORPUS, Stage.SPLIT),
        keys=("queries", "model.seed"),
        pins=("queries", "examples", "prompt", "qrels", "writer"),
    ),
    Stage.FILTER: Rules(
        version=1,
        after=(Stage.CORPUS, Stage.SPLIT, Stage.QUERIES),
        # Not filter.teacher_percentile: teachers have scored nothing yet, so select drops by it.
        keys=(
            *("filter.min_words", "filter.max_words", "filter.copy_ratio"),
            *("filter.round_trip", "filter.round_trip_depth"),
            "queries.provider",
            "mine.engine",
            "mine.analysis",
            "mine.memory_mb",
            "model.kind",
            "model.max_length",
        ),
        pins=("base",),
    ),
    Stage.MINE: Rules(
        version=1,
        after=(Stage.CORPUS, Stage.SPLIT, Stage.QUERIES, Stage.FILTER),
        keys=("mine",),
        pins=("base",),
    ),
    Stage.TEACH: Rules(
        version=1,
        after=(Stage.CORPUS, Stage.QUERIES, Stage.MINE),
        keys=("teach", "model.max_length"),
        pins=("teacher",),
    ),
    Stage.SELECT: Rules(
        version=1, after=(Stage.MINE, Stage.TEACH), keys=("select", "filter.teacher_percentile", "model.seed")
    ),
    Stage.TRAIN: Rules(
        version=1,
        after=(Stage.CORPUS, Stage.SPLIT, Stage.QUERIES, Stage.SELECT),
        keys=("model.kind", "model.max_length", "model.seed", "train"),
        pins=("base",),
    ),
    Stage.EVALUATE: Rules(
        version=1,
        after=(Stage.CORPUS, Stage.SPLIT, Stage.QUERIES, Stage.FILTER, Stage.TRAIN),
        keys=("evaluate", "model.kind", "model.max_length", "model.seed", "train.target_flops"),
        pins=("base", "set", "guard"),
    ),
    # The lineage holds every key and every pin.
    Stage.HAND_OVER: Rules(
        version=1,
        after=tuple(stage for stage in Stage if stage.value != "hand-over"),
        keys=(
            *("model", "corpus", "split", "queries", "filter", "mine", "teach", "select", "train", "evaluate"),
            "hand_over",
        ),
        pins=("base", "corpus", "queries", "examples", "prompt", "qrels", "writer", "teacher", "set", "guard"),
    ),
}

NOT_IN_FINGERPRINTS = frozenset(
    {
        "queries.parallel",
        "queries.retries",
        "queries.max_dollars",
        "queries.max_total_tokens",
        "queries.key_variable",
        "queries.region",
        "queries.batch_s3",
        "queries.batch_role",
        "queries.batch_hours",
        "queries.wait_hours",
        "mine.memory_mb",
        "train.processes",
        "model.base",
        "model.revision",
        "teach.models",
        "teach.revisions",
    }
)
"""Keys that say how something is done and not what comes out, and names of models: the pins hold their commits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetunePlan:
    """plan.json of a run."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-plan@1"

    schema: str = "release-tool/finetune-plan@1"
    tool_version: str
    recipe: Recipe
    folder: str
    """Where the recipe lies: relative paths of it begin there."""
    names: dict[str, str]
    """What is named after the model: buckets, roles, jobs, the folder of the hand-over."""
    pins: dict[str, str]
    """What lies outside → its digest or revision: ``base``, ``teacher:NAME``, ``corpus``, ``prompt`` and so on."""
    estimates: dict[str, float] = field(default_factory=dict)
    """What the run will take: documents, questions, tokens, dollars, bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFile:
    """One file that a stage made."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """stage.json: a finished stage."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-stage@1"

    schema: str = "release-tool/finetune-stage@1"
    stage: Stage
    fingerprint: str
    inputs: dict[str, str]
    """Stage → digest of what it had made."""
    files: dict[str, StageFile]
    counts: dict[str, float]
    """What was made, and what was dropped and why."""
    seconds: float
    dollars: float
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """The sha256 over all (path, sha256) pairs."""
        return tree_digest((path, file.sha256) for path, file in self.files.items())


def concerned(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """Return the keys of a recipe that change what a stage makes and are not at their defaults, by full name."""
    found: dict[str, Any] = {}
    for name in RULES[stage].keys:
        section, _, single = name.partition(".")
        for word, value in changed(getattr(recipe, section)).items():
            if single in ("", word) and f"{section}.{word}" not in NOT_IN_FINGERPRINTS:
                found[f"{section}.{word}"] = value
    return found


def pinned(stage: Stage, pins: Mapping[str, str]) -> dict[str, str]:
    """Return what ``plan`` pinned for a stage."""
    return {name: value for name, value in pins.items() if name.partition(":")[0] in RULES[stage].pins}


def fingerprint(stage: Stage, plan: FinetunePlan, digests: Mapping[Stage, str]) -> str:
    """Return the fingerprint that a finished stage has today.

    Args:
        stage: which one.
        plan: of the run.
        digests: of what the stages before it made.
    """
    data = {
        "stage": stage.value,
        "version": RULES[stage].version,
        "keys": concerned(stage, plan.recipe),
        "pins": pinned(stage, plan.pins),
        "inputs": {before.value: digests[before] for before in RULES[stage].after},
    }
    return sha256_bytes(json.dumps(data, sort_keys=True, ensure_ascii=False).encode())
