"""Run a stage unless it is done: the one way in which any of them runs."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import RULES, Stage
from release_tool.steps.finetune.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from release_tool.core.finetune.recipe import Recipe
    from release_tool.core.finetune.stages import FinetunePlan, StageState
    from release_tool.global_options import Context
    from release_tool.run_folder import RunFolder
    from release_tool.services.finetune.state_keeper import StateKeeper

TITLES = {
    Stage.CORPUS: "Read the documents",
    Stage.SPLIT: "Divide the documents",
    Stage.QUERIES: "Have queries written",
    Stage.FILTER: "Filter the queries",
    Stage.MINE: "Mine negatives",
    Stage.TEACH: "Score with the teachers",
    Stage.SELECT: "Select what is trained on",
    Stage.TRAIN: "Train",
    Stage.EVALUATE: "Evaluate",
    Stage.HAND_OVER: "Hand over",
}

EXTRAS: dict[Stage, tuple[str, ...]] = {
    Stage.CORPUS: ("finetune",),
    Stage.FILTER: ("finetune",),
    Stage.MINE: ("finetune",),
    Stage.TEACH: ("trace",),
    Stage.TRAIN: ("trace", "finetune"),
    Stage.EVALUATE: ("trace", "quality", "finetune"),
}
"""Stage → extras without which it can't be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a stage is given."""

    context: Context
    plan: FinetunePlan
    run: RunFolder
    folder: Path
    """Its own: what lies in it at the end, but for ``scratch``, is what it made."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Those of its command alone that were given."""

    @property
    def recipe(self) -> Recipe:
        """The recipe of the plan."""
        return self.plan.recipe

    def of(self, stage: Stage) -> Path:
        """Return the folder of a stage before this one."""
        return self.run.folder(stage)

    @property
    def scratch(self) -> Path:
        """Where it may keep what it can make again; made if need be."""
        from release_tool.run_folder import SCRATCH

        path = self.folder / SCRATCH
        path.mkdir(parents=True, exist_ok=True)
        return path

    def place(self, path: str) -> Path:
        """Return a path of the recipe, which begins where the recipe lies."""
        from pathlib import Path

        return place_of(Path(self.plan.folder), path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a stage says of what it made."""

    counts: dict[str, float]
    """Of everything that was made or dropped, by name: what people look at."""
    dollars: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    """Libraries that decide what came out."""


def run_stage(
    context: Context,
    stage: Stage,
    *,
    again: bool = False,
    options: Mapping[str, str] | None = None,
    keeper: StateKeeper | None = None,
) -> StageState:
    """Return the state of a stage, after it was run where that was needed.

    Args:
        context: of the command.
        stage: which one.
        again: run it also where it is done.
        options: of this stage's command alone.
        keeper: keeps its state elsewhere, too.

    Raises:
        UsageError: there is no plan, a stage before it is not done, or a package is too old.
        MissingExtra: a package is not installed.
        ReleaseError: the stage can't do its work; see its module.
    """
    from release_tool.core.finetune.stages import StageState, fingerprint
    from release_tool.run_folder import RunFolder

    run = RunFolder.below(context.work)
    plan = run.plan()
    require_here(plan)
    if keeper is not None and not again:
        bring(run, plan, stage, keeper)
    current = run.current(stage, plan)
    if current is not None and not again:
        context.console.info(f"{stage.value} is done.")
        if keeper is not None:
            keeper.push(stage)
        return current
    require_extras((stage,))
    digests = {before: run.require(before, plan).digest for before in RULES[stage].after}
    mark = fingerprint(stage, plan, digests)
    with context.console.step(TITLES[stage]):
        started = time.monotonic()
        folder = run.begin(stage, mark, anew=again)
        if keeper is not None:
            keeper.watch(stage)
        module = importlib.import_module(f"release_tool.steps.finetune.{stage.value.replace('-', '_')}")
        made: Made = module.make(Work(context=context, plan=plan, run=run, folder=folder, options=options or {}))
        state = StageState(
            stage=stage,
            fingerprint=mark,
            inputs={before.value: digest for before, digest in digests.items()},
            files=run.files(stage),
            counts=made.counts,
            seconds=round(time.monotonic() - started, 3),
            dollars=made.dollars,
            versions=made.versions,
        )
        run.finish(state)
        if keeper is not None:
            keeper.push(stage)
        context.console.info(counts_text(state))
    return state


def bring(run: RunFolder, plan: FinetunePlan, stage: Stage, keeper: StateKeeper) -> bool:
    """Bring a stage from where its state is kept, unless it is done here; tell whether it is done now."""
    if run.current(stage, plan) is not None:
        return True
    mark = run.today(stage, plan)
    if mark is None or not keeper.bring(stage, mark):
        return False
    run.forget()
    return run.current(stage, plan) is not None


def require_extras(stages: Iterable[Stage]) -> None:
    """Refuse before anything is done or paid when a package is missing that one of these stages needs.

    Raises:
        MissingExtra: it is not installed.
        UsageError: it is too old.
    """
    from release_tool.services.extras import require_finetune_extras

    require_finetune_extras(dict.fromkeys(extra for stage in stages for extra in EXTRAS.get(stage, ())))


def counts_text(state: StageState) -> str:
    """Return the counts of a stage on one line."""
    from release_tool.steps.finetune.status import made_text

    return made_text(state.counts)


def require_here(plan: FinetunePlan) -> None:
    """Refuse a stage whose recipe says that it runs in AWS.

    Raises:
        UsageError: with the way there.
    """
    from release_tool.errors import UsageError

    if plan.recipe.engine.name == "aws":
        raise UsageError(
            "The recipe says engine.name = 'aws': its stages run in one's account of AWS, not on this machine.",
            hint="finetune doctor --parameters FILE writes what the stack is made of; or set engine.name = 'local'.",
        )
