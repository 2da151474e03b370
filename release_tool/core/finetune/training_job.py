"""What the training process is told, and what it says at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core.finetune.sections_training import TrainSection
from release_tool.core.kinds import ModelKind


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """job.json in the scratch folder: paths are of this machine."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-train-job@1"

    schema: str = "release-tool/finetune-train-job@1"
    kind: ModelKind
    base: str
    """Folder of the model to start from."""
    documents: str
    """Folder of stage corpus."""
    places: str
    """Folder of stage split."""
    queries: str
    """Folder of stage queries."""
    rows: str
    """Folder of stage select."""
    out: str
    """Folder of this stage: ``model``, ``log.jsonl``, for some sparse models ``start``."""
    scratch: str
    max_length: int
    """Tokens."""
    seed: int
    train: TrainSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """start.json: what was measured of the model before its first step; a run that goes on takes it from here."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-train-start@1"

    schema: str = "release-tool/finetune-train-start@1"
    row_tokens: float
    """Tokens a row that a model reads, in the mean: the query once, every document once."""
    label_spread: float
    """Median of (largest - smallest label) of a row; 0 without labels."""
    score_spread: float
    """The same of the model's own scores."""
    measures: dict[str, float] = field(default_factory=dict)
    """On dev, of the model as it starts."""
    flops: float = 0.0
    """Of a sparse model, on rows of dev, or of train where there are none of dev."""
    weights: float = 0.0
    """Of the model that every token is multiplied with."""
    made_head: bool = False
    """The base had no head of a masked language model: one was made."""
