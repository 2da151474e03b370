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
from release_tool.errors import MachineError
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
DEVICES = "CUDA_VISIBLE_DEVICES"
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
    _settle()
    try:
        _train(job, rank, processes)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise MachineError(
            "There is too little memory for this training.",
            hint=f"Lower train.batch_size (it is {job.train.batch_size}; train.total_batch_size keeps the size of a "
            "step), model.max_length or select.negatives.",
        ) from error


def _train(job: TrainJob, rank: int, processes: int) -> None:
    import torch

    from release_tool.models.finetune import checkpoints, preparing
    from release_tool.models.finetune.assembling import CHECKPOINTS, assemble
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
    trainer, plan = assemble(job, start, texts, processes, device)
    found = checkpoints.last(scratch / CHECKPOINTS, trainer.layout)
    trainer.accelerator.wait_for_everyone()
    if found is not None and trainer.controller:
        trainer.controller.restore(found[1]["controller"])
    if found is None or not trainer.take_finished(found[0], plan.steps):
        trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    best = trainer.load_best()
    if rank == 0:
        _finish(job, trainer, start, plan, best)


def _wait_for(path: Path) -> None:
    import time

    while not path.is_file():
        time.sleep(0.2)


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
    save_model_folder(
        trainer.model.cpu(), out / "model", base=Path(job.base), scratch=Path(job.scratch), weights=weights
    )
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


def _settle() -> None:
    """Leave the libraries' advice out (what goes wrong is raised), and take one GPU where torchrun divides none.

    The trainer would put a copy of the model on every GPU that it sees, in threads of one process.
    """
    import warnings

    import transformers

    # accelerate hands torch an argument under its old name: nothing that a user could change.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    # Nothing is forked here, and a corpus is tokenised for its counts.
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    if "RANK" not in os.environ and os.environ.get(DEVICES) != "":
        os.environ[DEVICES] = os.environ.get(DEVICES, "0").partition(",")[0]


def _end_with_parent() -> None:
    """End when torchrun dies, which is killed with the process that started it."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
