"""The folder of a fine-tuning run: a folder a stage, each with its files and, once it is finished, its stage.json.

A folder belongs to the fingerprint that it was begun with: what an interrupted stage had finished is kept for the same
fingerprint and thrown away for another. What was paid for lies apart, in ``paid``, and is never thrown away.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.codec import encode_text
from release_tool.core.finetune.stages import RULES, FinetunePlan, Stage, StageFile, StageState, fingerprint
from release_tool.documents import WorkFolder, file_sha256, write_atomic
from release_tool.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "finetune"
PLAN = "plan.json"
STATE = "stage.json"
BEGUN = "begun"
PAID = "paid"
SCRATCH = "scratch"
"""A stage's folder for what it can make again: an index, checkpoints; no part of its digest, removed at its end."""
WHOLE = "whole.json"
"""In a folder of scratch, written last and removed first: what lies beside it is whole, and worth more than making it
again. It is kept elsewhere with the run's state."""


@dataclass
class RunFolder:
    """Reads and writes the state of one run."""

    path: Path
    _checked: dict[Stage, StageState] = field(default_factory=dict, init=False)

    @classmethod
    def below(cls, work: Path) -> RunFolder:
        """Return the run in a work folder."""
        return cls(work / FOLDER)

    def plan(self) -> FinetunePlan:
        """Read the plan.

        Raises:
            UsageError: there is none.
            IntegrityError: it is not what its schema says.
        """
        return WorkFolder(self.path).read(FinetunePlan, PLAN, made_by="finetune plan")

    def last_plan(self) -> FinetunePlan | None:
        """Return the plan that is there; null where none is, or none that this version reads."""
        try:
            return self.plan()
        except (UsageError, IntegrityError):
            return None

    def write_plan(self, plan: FinetunePlan) -> None:
        """Write the plan."""
        WorkFolder(self.path).write(PLAN, plan)
        self._checked.clear()

    def forget(self) -> None:
        """Look anew at what lies there."""
        self._checked.clear()

    def folder(self, stage: Stage) -> Path:
        """Return the folder of a stage."""
        return self.path / stage.folder

    def said(self, stage: Stage) -> StageState | None:
        """Return the state of a finished stage as it was written; its files are not looked at."""
        folder = self.folder(stage)
        if not (folder / STATE).is_file():
            return None
        return WorkFolder(folder).read(StageState, STATE, made_by=f"finetune {stage.value}")

    def finished(self, stage: Stage) -> StageState | None:
        """Return the state of a finished stage, whatever it was made of; null where there is none.

        Raises:
            IntegrityError: a file of it is gone or has changed.
        """
        if stage in self._checked:
            return self._checked[stage]
        state = self.said(stage)
        if state is None:
            return None
        folder = self.folder(stage)
        for name, file in state.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != file.size or file_sha256(path) != file.sha256:
                raise IntegrityError(
                    f"{stage.folder}/{name} is not what finetune {stage.value} made.",
                    hint=f"Remove {stage.folder} and run it again.",
                )
        self._checked[stage] = state
        return state

    def today(self, stage: Stage, plan: FinetunePlan) -> str | None:
        """Return the fingerprint that a stage has today; null while a stage before it is not current."""
        return self._today(stage, plan, {})

    def current(self, stage: Stage, plan: FinetunePlan) -> StageState | None:
        """Return the state of a stage that is finished for this plan; null where it must be run.

        Raises:
            IntegrityError: it is, and a file of it is gone or has changed since.
        """
        return self._current(stage, plan, {})

    def _today(self, stage: Stage, plan: FinetunePlan, known: dict[Stage, StageState | None]) -> str | None:
        digests = {}
        for before in RULES[stage].after:
            state = self._current(before, plan, known)
            if state is None:
                return None
            digests[before] = state.digest
        return fingerprint(stage, plan, digests)

    def _current(self, stage: Stage, plan: FinetunePlan, known: dict[Stage, StageState | None]) -> StageState | None:
        """Return the same, asking for each stage once: almost every one reads almost all before it."""
        if stage not in known:
            state = self.said(stage)
            # What was made of other inputs is made again: nobody has to clear up after it first.
            is_today = state is not None and state.fingerprint == self._today(stage, plan, known)
            known[stage] = self.finished(stage) if is_today else None
        return known[stage]

    def require(self, stage: Stage, plan: FinetunePlan) -> StageState:
        """Return the state of a current stage.

        Raises:
            UsageError: it has to be run first.
        """
        state = self.current(stage, plan)
        if state is None:
            raise UsageError(
                f"The stage {stage.value} is not done, or what it was made of has changed.",
                hint=f"Run release-tool finetune {stage.value} first, or release-tool finetune run for all of them.",
            )
        return state

    def begin(self, stage: Stage, mark: str, *, anew: bool = False) -> Path:
        """Return the folder of a stage that is about to run; it holds what the same stage has finished before.

        Args:
            stage: which one.
            mark: its fingerprint of today.
            anew: whether it begins with an empty folder in any case.
        """
        folder = self.folder(stage)
        self._checked.clear()
        begun = folder / BEGUN
        if anew or not begun.is_file() or begun.read_text(encoding="utf-8") != mark:
            # The mark goes first: what is left of another run is nobody's after it.
            begun.unlink(missing_ok=True)
            (folder / STATE).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            write_atomic(begun, mark)
        (folder / STATE).unlink(missing_ok=True)
        for left in folder.rglob(".*.part"):
            left.unlink(missing_ok=True)
        return folder

    def finish(self, state: StageState) -> None:
        """Write a stage's state: from now on it is finished."""
        folder = self.folder(state.stage)
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        write_atomic(folder / STATE, encode_text(state))
        self._checked[state.stage] = state

    def files(self, stage: Stage) -> dict[str, StageFile]:
        """Describe the files of a stage."""
        folder = self.folder(stage)
        found = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in (STATE, BEGUN) and not name.startswith(f"{SCRATCH}/"):
                found[name] = StageFile(size=path.stat().st_size, sha256=file_sha256(path))
        return found
