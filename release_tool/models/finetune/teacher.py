"""A teacher: sentence-transformers' CrossEncoder, asked for raw logits by batches of as many tokens as fit.

``CrossEncoder.predict`` sorts by characters, takes 32 pairs a batch however long they are, and applies a sigmoid unless
it is told otherwise, after which differences between good documents are gone. Here the library loads the model and
makes its inputs; the pairs are then sorted by their tokens, and a batch ends where the next pair, padding included,
would exceed the budget. On a CPU each core takes batches of its own, one thread each: faster than many threads in one
batch, and the sums do not depend on the number of cores.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.lengths import NO_LIMIT, OFFSET_POSITIONS
from release_tool.errors import MachineError, ReleaseError, UnsupportedModel, UsageError
from release_tool.models.batches import make_batches
from release_tool.models.starting import no_collection
from release_tool.workers import cause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from release_tool.core.finetune.teach_job import Teacher as Named
    from release_tool.core.finetune.teach_job import TeachJob

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU_TOKENS, GPU_TOKENS = 4096, 32_768
"""A batch, where the recipe says nothing. Measured on two cores with six layers of 384: 2,048 to 4,096 tokens take the
least time, 1,024 take 5 % more and 8,192 13 %."""
PADDED = ("input_ids", "attention_mask", "token_type_ids")

Row = dict[str, torch.Tensor]


def device_of(process: int) -> str:
    """Return the device of a process: GPUs in turn, where there are any."""
    count = torch.cuda.device_count()
    return f"cuda:{process % count}" if count else "cpu"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Teacher:
    """A loaded teacher."""

    def __init__(self, named: Named, job: TeachJob, *, device: str, threads: int) -> None:
        """Load it.

        Raises:
            UnsupportedModel: it is no cross-encoder of one score.
            UsageError: the device has no such precision.
        """
        self.name = named.name
        self.device = device
        self._threads = threads if device == "cpu" else 1
        self._budget = job.batch_tokens or (CPU_TOKENS if device == "cpu" else GPU_TOKENS)
        if job.precision == "fp16" and device == "cpu":
            raise UsageError("fp16 is for GPUs, and this machine shows none.", hint="Set teach.precision to fp32.")
        self._model = _load(named, TYPES[job.precision], device)
        self._manner: dict[str, Any] = {}
        self._model.max_seq_length = min(job.max_length, own_limit(self._model))

    @property
    def max_length(self) -> int:
        """Tokens that are read of a pair."""
        return int(self._model.max_seq_length)

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        """Return the library's inputs of pairs (query, document), without padding."""
        model = self._model
        name = model.default_prompt_name
        prompt = model.prompts.get(name) if name is not None else None
        features = model.preprocess(list(pairs), prompt=prompt)
        names = [one for one, value in features.items() if isinstance(value, torch.Tensor)]
        if "attention_mask" not in names or not set(names) <= set(PADDED):
            raise UnsupportedModel(
                f"The teacher {self.name} takes inputs that are no text: {', '.join(sorted(names))}.",
                hint="Name a cross-encoder for texts at teach.models.",
            )
        # What is no tensor says how the library's modules are to be called, the same for every pair.
        self._manner = {one: value for one, value in features.items() if one not in names}
        kept = features["attention_mask"].bool()
        return [
            {name: features[name][number][mask].to(torch.int32) for name in names} for number, mask in enumerate(kept)
        ]

    def logits(self, rows: Sequence[Row], told: Callable[[int], None] = lambda _: None) -> list[float]:
        """Return the raw logit of each encoded pair, float32.

        Args:
            rows: what ``encode`` gave.
            told: told how many more are scored.

        Raises:
            UnsupportedModel: it answers other than one number a pair.
            MachineError: the device's memory is too small for a batch.
        """
        batches = make_batches([len(row["input_ids"]) for row in rows], budget=self._budget)
        found = [0.0] * len(rows)
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                answers = pool.map(lambda batch: self._forward([rows[number] for number in batch]), batches)
                for batch, scores in zip(batches, answers, strict=True):
                    for number, score in zip(batch, scores, strict=True):
                        found[number] = score
                    told(len(batch))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return found

    def _forward(self, rows: list[Row]) -> list[float]:
        try:
            with torch.inference_mode():
                scores = self._model(self._padded(rows))["scores"].float()
        except torch.OutOfMemoryError as error:
            raise MachineError(
                f"{self._budget:,} tokens of the teacher {self.name} at once need more memory than the GPU has.",
                hint=f"Set teach.batch_tokens to {max(64, self._budget // 4)}.",
            ) from error
        if scores.numel() != len(rows):
            raise UnsupportedModel(
                f"The teacher {self.name} answers {scores.numel() // len(rows)} numbers a pair, not one.",
                hint="Name a cross-encoder with one label at teach.models.",
            )
        return [float(score) for score in scores.reshape(-1).cpu()]

    def _padded(self, rows: list[Row]) -> dict[str, Any]:
        tokenizer = self._model.tokenizer
        fill = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
        left = tokenizer.padding_side == "left"
        features = {
            name: torch.nn.utils.rnn.pad_sequence(
                [row[name] for row in rows],
                batch_first=True,
                padding_value=fill.get(name, 0),
                padding_side="left" if left else "right",
            ).to(device=self.device, dtype=torch.int64)
            for name in rows[0]
        }
        return {**self._manner, **features}


def _load(named: Named, dtype: torch.dtype, device: str) -> Any:
    from sentence_transformers import CrossEncoder

    try:
        with no_collection():
            model = CrossEncoder(
                named.model,
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": dtype, "use_safetensors": True},
            )
    except (MemoryError, ReleaseError):
        raise
    except Exception as error:  # what a config.json makes the libraries raise has no end
        raise UnsupportedModel(
            f"The teacher {named.name} can't be loaded: {cause(error)}",
            hint="It must be a cross-encoder with safetensors and without code of its own.",
        ) from error
    _check(model, named.name)
    return model.eval()


def _check(model: Any, name: str) -> None:
    """Refuse a model without the head that scores: the library would invent one."""
    last = model[-1]
    architectures = getattr(model.config, "architectures", None) or ("none",)
    if len(model) == 1 and not architectures[0].endswith("ForSequenceClassification"):
        raise UnsupportedModel(
            f"The teacher {name} is no cross-encoder: its config.json says {architectures[0]}.",
            hint="Name models at teach.models that score a query and a document together.",
        )
    if model.num_labels != 1:
        raise UnsupportedModel(
            f"The teacher {name} has {model.num_labels} labels, not one ({type(last).__name__}).",
            hint="Name a cross-encoder with one label at teach.models.",
        )


def own_limit(model: Any) -> int:
    """Return how many tokens a loaded cross-encoder takes."""
    config = model.config
    limits = [model.max_seq_length, getattr(config, "max_position_embeddings", None)]
    if limits[1] is not None and config.model_type in OFFSET_POSITIONS:
        limits[1] -= (config.pad_token_id or 0) + 1
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < NO_LIMIT]
    return min(known, default=NO_LIMIT)


def first_not_finite(logits: Sequence[float]) -> int | None:
    """Return the place of the first logit that is no number, null where all are."""
    return next((place for place, logit in enumerate(logits) if not math.isfinite(logit)), None)
