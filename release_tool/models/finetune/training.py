"""The training process: ``python -m release_tool.models.starting release_tool.models.finetune.training JOB``.

Also the program that torchrun starts several times. It goes on from the last whole checkpoint; on a CPU the same job
gives the same bytes, whether it was killed or not. Its last event says what came out.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import decode_text
from release_tool.core.finetune.training_job import TrainJob
from release_tool.documents import write_atomic
from release_tool.errors import MachineError, UsageError
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.finetune.schedule import Schedule
    from release_tool.core.finetune.training_job import Start

LOGGED = (
    "step", "loss", "base_loss", "document_regularizer_loss", "document_weight", "learning_rate", "grad_norm",
    "eval_ndcg_at_10", "eval_flops",
)  # fmt: skip
"""What of the library's log is kept: numbers that are the same in every run, no times."""
CHECKPOINTS = "checkpoints"
_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Train; the argument is the path of the job."""
    path = Path((sys.argv[1:] if argv is None else argv)[0])
    return run_child(lambda: train(decode_text(TrainJob, path.read_text(encoding="utf-8"))))


def train(job: TrainJob) -> None:
    """Train a model and write it.

    Raises:
        UsageError: nothing to train on, or a loss that is no number.
        RequestError: less than one batch.
        UnsupportedModel: no model of this kind can start from the base.
        MachineError: the memory does not suffice.
    """
    import torch

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    _end_with_parent()
    _quiet()
    try:
        _train(job, rank, processes)
    except torch.OutOfMemoryError as error:
        raise MachineError(
            "The GPU has too little memory for this training.",
            hint=f"Lower train.batch_size (it is {job.train.batch_size}; train.total_batch_size keeps the size of a "
            "step), model.max_length or select.negatives.",
        ) from error


def _train(job: TrainJob, rank: int, processes: int) -> None:
    import torch

    from release_tool.models.finetune import checkpoints, preparing
    from release_tool.models.finetune.training_rows import Texts

    on_cpu = not torch.cuda.is_available()
    device = "cpu" if on_cpu else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if on_cpu:
        torch.set_num_threads(preparing.threads(processes))
        torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(job.seed)
    scratch = Path(job.scratch)
    if rank:
        _wait_for(scratch / preparing.START)
    texts = Texts.open(Path(job.queries), Path(job.documents), scratch)
    start = preparing.prepare(job, texts, first=rank == 0, device=device)
    trainer, plan = _trainer(job, start, texts, processes, device)
    found = checkpoints.last(scratch / CHECKPOINTS, trainer.layout)
    trainer.accelerator.wait_for_everyone()
    if found is not None and trainer.controller:
        trainer.controller.restore(found[1]["controller"])
    trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    best = trainer.load_best()
    if rank == 0:
        _finish(job, trainer, start, plan, best)


def _wait_for(path: Path) -> None:
    import time

    while not path.is_file():
        time.sleep(0.2)


def _trainer(job: TrainJob, start: Start, texts: Any, processes: int, device: str) -> tuple[Any, Schedule]:
    """Return the trainer, ready to go, and its schedule."""
    import torch
    from transformers.trainer_callback import PrinterCallback

    from release_tool.core.finetune.flops_control import FlopsController
    from release_tool.core.finetune.schedule import schedule
    from release_tool.core.kinds import ModelKind
    from release_tool.models.finetune import preparing, students, trainers
    from release_tool.models.finetune.dev_measure import (
        MAX_ROWS,
        PROBE_DOCUMENTS,
        DevEvaluator,
        encode,
        sample_of,
        share,
    )
    from release_tool.models.finetune.training_losses import loss_name, make_loss
    from release_tool.models.finetune.training_rows import LABEL, first_rows, load_rows, with_texts

    model = preparing.student(job, device)
    rows = load_rows(Path(job.rows), "train")
    has_labels = LABEL in rows.column_names
    name = loss_name(job, has_labels=has_labels)
    if name == "mnrl" and has_labels:
        rows = rows.remove_columns(LABEL)
    elif name != "mnrl" and not has_labels:
        raise UsageError(f"train.loss is {name!r}, and the rows have no scores of a teacher.",
                         hint='Name one at teach.models, or set train.loss = "mnrl".')  # fmt: skip
    on_cpu = device == "cpu"
    alone = name == "mnrl"
    plan = schedule(job.train, len(rows), processes=processes, row_tokens=start.row_tokens, on_cpu=on_cpu, alone=alone)
    if on_cpu:
        students.leave_attention_whole(model)
    if plan.steps < plan.wanted and os.environ.get("RANK", "0") == "0":
        report("note", text=f"{plan.steps:,} steps of {plan.wanted:,}: a CPU has train.cpu_tokens")
    sample = preparing.dev_sample(job, texts, MAX_ROWS)
    loss = make_loss(job, model, start, name)
    sparse = job.kind is ModelKind.SPARSE
    arguments = _arguments(job, plan, model, rows, on_cpu=on_cpu, has_dev=sample is not None, alone=alone)
    trainer = (trainers.SparseTrainer if sparse else trainers.DenseTrainer)(
        model=model,
        args=arguments,
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
        "steps": plan.steps,
        "torch": torch.__version__,
    }
    if sparse:
        probe = sample or sample_of(first_rows(rows, texts, MAX_ROWS))
        trainer.controller = FlopsController(target=preparing.flops_target(job, start), start=job.train.document_weight)
        queries = share(encode(model, probe.queries, query=True))
        trainer.add_callback(
            trainers.SteeredFlops(trainer.controller, loss, model, queries, probe.documents[:PROBE_DOCUMENTS])
        )
    return trainer, plan


def _arguments(
    job: TrainJob, plan: Schedule, model: Any, rows: Any, *, on_cpu: bool, has_dev: bool, alone: bool
) -> Any:
    """Return the trainer's arguments."""
    import torch
    from sentence_transformers import SentenceTransformerTrainingArguments, SparseEncoderTrainingArguments

    from release_tool.core.kinds import ModelKind
    from release_tool.models.finetune import trainers
    from release_tool.models.finetune.dev_measure import CHOICE
    from release_tool.models.finetune.training_rows import LABEL, QUERY

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
        batch_sampler=trainers.sampler_of(rows, plan.step_rows, alone=alone),
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


def _finish(job: TrainJob, trainer: Any, start: Start, plan: Schedule, best: int) -> None:
    """Write model and log, and report the counts."""
    from release_tool.core.kinds import ModelKind
    from release_tool.models.finetune.dev_measure import FLOPS, NDCG
    from release_tool.models.finetune.saving import save_model_folder

    history = [{name: entry[name] for name in LOGGED if name in entry} for entry in trainer.state.log_history]
    lines = [{"step": 0, **{f"eval_{name}": value for name, value in start.measures.items()}}]
    lines += [entry for entry in history if len(entry) > 1]
    out = Path(job.out)
    write_atomic(out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    weights = None
    if job.kind is ModelKind.SPARSE:
        weights = [float(value) for value in trainer.model[0].sub_modules["query"][0].weight.double().tolist()]
    save_model_folder(trainer.model.cpu(), out / "model", Path(job.base), weights)
    chosen = next((entry for entry in history if entry["step"] == best and f"eval_{NDCG}" in entry), {})
    counts = {
        "rows": len(trainer.train_dataset),
        "steps": plan.steps,
        "steps_wanted": plan.wanted,
        "rows_a_step": plan.step_rows,
        "best_step": best,
        "tokens_a_row": round(start.row_tokens, 1),
        "new_head": int(start.made_head),
    }
    measures = {f"dev_{name}_before": value for name, value in start.measures.items()}
    measures |= {f"dev_{name}_after": chosen[f"eval_{name}"] for name in (NDCG, FLOPS) if f"eval_{name}" in chosen}
    if trainer.controller:
        measures["target_flops"] = trainer.controller.target
    report("trained", counts={**counts, **{name: round(value, 6) for name, value in measures.items()}})


def _quiet() -> None:
    """Leave the libraries' advice out; what goes wrong is raised."""
    import warnings

    import transformers

    # accelerate hands torch an argument under its old name: nothing that a user could change.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)


def _end_with_parent() -> None:
    """End when torchrun dies, which is killed with the process that started it."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
