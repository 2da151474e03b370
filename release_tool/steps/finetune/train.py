"""``release-tool finetune train``: train the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.core.finetune.training_job import TrainJob
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Train the model."
HELP = """Train the model.

In a process of its own, or several under torchrun, on the GPU where there is one. A killed training goes on from its
last checkpoint; the one that is best on dev is kept.
"""

command = stage_command(Stage.TRAIN, HELP, short=SHORT)

MODULE = "release_tool.models.finetune.training"
VERSIONED = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets", "tokenizers")


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: nothing to train on, less than one batch, or a loss that is no number.
        UnsupportedModel: no model of the recipe's kind can start from the base.
        MachineError: memory or disk don't suffice.
    """
    from importlib.metadata import version

    from release_tool.core.codec import encode_text
    from release_tool.documents import write_atomic
    from release_tool.steps.finetune.running import Made
    from release_tool.workers import start

    path = work.scratch / "job.json"
    write_atomic(path, encode_text(job_of(work)))
    console = work.context.console
    worker = start("training", MODULE, [str(path)], gpu=True, processes=processes_of(work))
    counts: dict[str, float] = {}
    try:
        with console.progress("Train", 1, "steps") as bar:
            for event in worker.wait(console, bar.reach):
                counts = event["counts"]
    finally:
        worker.stop()
    if counts.get("dev_ndcg_at_10_after", 1) <= counts.get("dev_ndcg_at_10_before", 0):
        console.warning("No checkpoint is better on dev than the base: evaluate will tell what came of it.")
    return Made(counts=counts, versions={name: version(name) for name in VERSIONED})


def processes_of(work: Work) -> int:
    """Return how many processes torchrun starts; 0: no torchrun."""
    train, engine = work.recipe.train, work.recipe.engine
    return train.processes if train.processes > 1 or engine.name == "torchrun" else 0


def job_of(work: Work) -> TrainJob:
    """Return what the training process is told."""
    from release_tool.core.finetune.training_job import TrainJob
    from release_tool.core.kinds import ModelKind
    from release_tool.steps.finetune.models_there import model_folder

    recipe = work.recipe
    return TrainJob(
        kind=ModelKind(recipe.model.kind),
        base=str(model_folder(work, "base").absolute()),
        documents=str(work.of(Stage.CORPUS).absolute()),
        places=str(work.of(Stage.SPLIT).absolute()),
        queries=str(work.of(Stage.QUERIES).absolute()),
        rows=str(work.of(Stage.SELECT).absolute()),
        out=str(work.folder.absolute()),
        scratch=str(work.scratch.absolute()),
        max_length=recipe.model.max_length,
        seed=recipe.model.seed,
        train=recipe.train,
    )
