"""Sections of a recipe from the teachers to the hand-over, and who runs the stages."""

from __future__ import annotations

from dataclasses import dataclass

from release_tool.core.finetune.keys import key


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachSection:
    """``[teach]``."""

    models: tuple[str, ...] = key(
        ("cross-encoder/ms-marco-MiniLM-L6-v2",), "cross-encoders that score; none: train without a teacher"
    )
    revisions: tuple[str, ...] = key((), "their branches, tags or commits in the same order; plan pins them")
    negatives: int = key(20, "candidates a query that are scored", low=1, high=200)
    batch_tokens: int = key(
        0,
        "tokens that are scored together, padding included; 0: 4,096 on a CPU, 32,768 on a GPU",
        low=0,
        high=1_048_576,
    )
    precision: str = key("fp32", "numbers of the forward pass", choices=("fp32", "bf16", "fp16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectSection:
    """``[select]``."""

    negatives: int = key(8, "negatives a query", low=1, high=64)
    max_positive_share: float = key(
        0.95, "leave out negatives whose score, from 0 to 1, is above this share of the positive's", low=0, high=1
    )
    sampling: str = key("top", "which negatives are taken", choices=("top", "random"))
    min_positive_rank: int = key(5, "drop the query whose positive has a worse rank by the teachers", low=1, high=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSection:
    """``[train]``."""

    loss: str = key("auto", "auto: kl with a teacher, mnrl without", choices=("auto", "kl", "margin_mse", "mnrl"))
    steps: int = key(500, "steps at most; -1: by epochs", low=-1, high=1_000_000, parameter="MaxSteps")
    epochs: float = key(1.0, "times that the data is read where steps is -1", low=0.01, high=1000)
    batch_size: int = key(8, "queries a device at once", low=1, high=1024, parameter="TrainBatchSize")
    total_batch_size: int = key(128, "queries a step; the rest is accumulated", low=1, high=65_536)
    learning_rate: float = key(5e-6, "largest learning rate", low=1e-9, high=1, parameter="LearningRate")
    warmup: float = key(0.1, "share of the steps in which it rises", low=0, high=1)
    temperature: float = key(0.0, "of the teacher's scores; 0: from their spread", low=0, high=1000)
    precision: str = key("auto", "auto: bf16 where the device has it, else fp32", choices=("auto", "fp32", "bf16"))
    cpu_tokens: int = key(
        1_000_000,
        "tokens that are trained on at most without a GPU, for a MiniLM; larger: fewer; 0: no bound",
        low=0,
        high=10**12,
    )
    save_steps: int = key(100, "steps from checkpoint to checkpoint", low=1, high=1_000_000)
    processes: int = key(1, "processes of torchrun, one a GPU", low=1, high=64)
    target_flops: float = key(
        0.0, "sparse: products a pair of query and document; 0: what the base has", low=0, high=10_000
    )
    document_weight: float = key(
        0.003, "sparse: weight of the documents' FLOPS at the start; steered from there on", low=1e-9, high=100
    )
    idf: str = key("corpus", "sparse: the queries' weights", choices=("corpus", "base", "ones"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSection:
    """``[evaluate]``."""

    sets: tuple[str, ...] = key((), "judged sets in BEIR's layout over the user's domain; relative to the recipe")
    guards: tuple[str, ...] = key((), "judged sets of other domains, which may lose little")
    documents: int = key(
        200_000,
        "documents that the held-out queries search; of a larger corpus a sample by hash, and the judged ones",
        low=100,
        high=10_000_000,
    )
    min_gain: float = key(0.0, "points of nDCG@10 to gain at least on the held-out queries", low=-100, high=100)
    max_p: float = key(0.05, "p value of the paired randomisation test at most", low=0, high=1)
    max_guard_drop: float = key(0.5, "points of nDCG@10 that a guard may lose", low=0, high=100)
    max_flops_ratio: float = key(1.1, "sparse: times the base's FLOPS", low=0, high=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverSection:
    """``[hand_over]``."""

    licence: str = key("", "licence of the new model for its card; default: the base's")
    description: str = key("", "one sentence for its card")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSection:
    """``[engine]``."""

    name: str = key("local", "who runs the stages", choices=("local", "torchrun", "aws"))
    processes: int = key(1, "processes that share the parts of a stage on this machine", low=1, high=256)
