"""Put a training together: the student, its loss, the steps, what is looked at on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformerTrainingArguments, SparseEncoderTrainingArguments
from transformers.trainer_callback import PrinterCallback

from release_tool.core.finetune.flops_control import FlopsController
from release_tool.core.finetune.schedule import CPU_BATCH_TOKENS, schedule
from release_tool.core.kinds import ModelKind
from release_tool.errors import UsageError
from release_tool.models.finetune import preparing, students, trainers
from release_tool.models.finetune.dev_measure import (
    CHOICE,
    MAX_ROWS,
    PROBE_DOCUMENTS,
    DevEvaluator,
    encode,
    sample_of,
    share,
)
from release_tool.models.finetune.training_losses import loss_name, make_loss
from release_tool.models.finetune.training_rows import (
    LABEL,
    QUERY,
    Texts,
    by_group,
    first_rows,
    load_rows,
    with_texts,
)
from release_tool.workers import report

if TYPE_CHECKING:
    from datasets import Dataset

    from release_tool.core.finetune.schedule import Schedule
    from release_tool.core.finetune.training_job import Start, TrainJob
    from release_tool.models.finetune.dev_measure import Sample

CHECKPOINTS = "checkpoints"
CPU = "cpu"
LOGITS_BYTES = 512 << 20
"""What the logits of a sparse model's batch may take on a CPU; training holds them four times."""


def assemble(job: TrainJob, start: Start, texts: Texts, processes: int, device: str) -> tuple[Any, Schedule]:
    """Return the trainer, ready to go, and its schedule.

    Args:
        job: what is trained.
        start: what was measured of it.
        texts: of queries and documents.
        processes: that share a step.
        device: ``cpu`` or ``cuda:0``.

    Raises:
        UsageError: loss and rows, or precision and device, don't go together.
        RequestError: less than one batch.
    """
    rows = load_rows(Path(job.rows), "train")
    name = loss_name(job, has_labels=LABEL in rows.column_names)
    if name != "mnrl" and LABEL not in rows.column_names:
        raise UsageError(
            f"train.loss is {name!r}, and the rows have no scores of a teacher.",
            hint='Name one at teach.models, or set train.loss = "mnrl".',
        )
    if name == "mnrl" and LABEL in rows.column_names:
        rows = rows.remove_columns(LABEL)
    model = preparing.student(job, device)
    if device == CPU:
        students.leave_attention_whole(model)
    plan = _steps(job, start, model, len(rows), processes, on_cpu=device == CPU, alone=name == "mnrl")
    sample = preparing.dev_sample(job, texts, MAX_ROWS)
    loss = make_loss(job, model, start, name)
    kind = trainers.SparseTrainer if job.kind is ModelKind.SPARSE else trainers.DenseTrainer
    trainer = kind(
        model=model,
        args=_arguments(job, plan, model, rows, on_cpu=device == CPU, has_dev=sample is not None, alone=name == "mnrl"),
        train_dataset=with_texts(rows, texts),
        loss=loss,
        evaluator=DevEvaluator(sample, preparing.flops_target(job, start)) if sample else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(trainers.Told())
    trainer.layout = {
        "processes": processes,
        "threads": torch.get_num_threads(),
        "device": device.partition(":")[0],
        "batch": plan.batch,
        "steps": plan.steps,
        "torch": torch.__version__,
    }
    if job.kind is ModelKind.SPARSE:
        _steer(job, start, trainer, loss, sample or sample_of(first_rows(rows, texts, MAX_ROWS)))
    return trainer, plan


def _steps(
    job: TrainJob, start: Start, model: Any, rows: int, processes: int, *, on_cpu: bool, alone: bool
) -> Schedule:
    most = CPU_BATCH_TOKENS
    if job.kind is ModelKind.SPARSE:
        most = min(most, LOGITS_BYTES // (4 * int(model.get_embedding_dimension() or 1)))
    plan = schedule(
        job.train,
        rows,
        processes=processes,
        row_tokens=start.row_tokens,
        on_cpu=on_cpu,
        alone=alone,
        weights=start.weights,
        batch_tokens=most,
    )
    if plan.steps < plan.wanted and os.environ.get("RANK", "0") == "0":
        text = f"There is no GPU: {plan.steps:,} of {plan.wanted:,} steps are trained (train.cpu_tokens)."
        report("warning", text=text)
    return plan


def _steer(job: TrainJob, start: Start, trainer: Any, loss: Any, probe: Sample) -> None:
    """Have the weight of the FLOPS steered, by a few documents of a sample."""
    trainer.controller = FlopsController(target=preparing.flops_target(job, start), start=job.train.document_weight)
    queries = share(encode(trainer.model, probe.queries, query=True))
    documents = probe.documents[:PROBE_DOCUMENTS]
    trainer.add_callback(trainers.SteeredFlops(trainer.controller, loss, trainer.model, queries, documents))


def _arguments(
    job: TrainJob, plan: Schedule, model: Any, rows: Dataset, *, on_cpu: bool, has_dev: bool, alone: bool
) -> Any:
    """Return the trainer's arguments."""
    documents = [name for name in rows.column_names if name not in (QUERY, LABEL)]
    sparse = job.kind is ModelKind.SPARSE
    if sparse:
        special: dict[str, Any] = {"router_mapping": {QUERY: "query"} | dict.fromkeys(documents, "document")}
    else:
        special = {"prompts": _prompts(model, documents)}
    bf16 = not on_cpu and job.train.precision != "fp32" and torch.cuda.is_bf16_supported()
    if job.train.precision == "bf16" and not bf16:
        raise UsageError("train.precision is 'bf16', and this machine has no device for it.",
                         hint='Set train.precision = "auto".')  # fmt: skip
    return (SparseEncoderTrainingArguments if sparse else SentenceTransformerTrainingArguments)(
        output_dir=str(Path(job.scratch) / CHECKPOINTS),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=job.train.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=plan.warmup,
        max_grad_norm=1.0,
        bf16=bf16,
        seed=job.seed,
        data_seed=job.seed,
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and "RANK" in os.environ else None,
        logging_steps=plan.log_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=plan.save_steps,
        eval_strategy="steps" if has_dev else "no",
        eval_steps=plan.save_steps,
        metric_for_best_model=f"eval_{CHOICE}" if has_dev else None,
        greater_is_better=True if has_dev else None,
        batch_sampler=trainers.sampler_of(
            by_group(rows, Path(job.documents)) if alone else rows, plan.step_rows, alone=alone
        ),
        dataloader_drop_last=True,
        dataloader_pin_memory=not on_cpu,
        disable_tqdm=True,
        report_to="none",
        **special,
    )


def _prompts(model: Any, documents: list[str]) -> dict[str, str]:
    """Return column → what the model puts before a text, as its encode_query and encode_document do."""
    prompts = dict(model.prompts)
    default = prompts.get(model.default_prompt_name or "") or ""
    query = prompts.get("query") or default
    document = next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), default)
    named = {"query": query} | dict.fromkeys(documents, document)
    return {name: prompt for name, prompt in named.items() if prompt}
