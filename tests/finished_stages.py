"""Stages of a fine-tuning run that are finished without having been run: a test writes what they would have made."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage, StageState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.run_folder import RunFolder


@contextmanager
def finished(
    run: RunFolder,
    stage: Stage,
    *,
    is_begun: bool = False,
    counts: dict[str, float] | None = None,
    dollars: float = 0.0,
) -> Iterator[Path]:
    """Give the folder of a stage for what it would have made; when the block ends, the stage is finished.

    Args:
        run: whose stages before it are finished.
        stage: which one.
        is_begun: leave the files that are there.
        counts: what it says of what it made.
        dollars: what it cost.
    """
    mark = run.today(stage, run.plan())
    assert mark is not None
    yield run.folder(stage) if is_begun else run.begin(stage, mark)
    run.finish(
        StageState(
            stage=stage,
            fingerprint=mark,
            inputs={},
            files=run.files(stage),
            counts=counts or {},
            seconds=1.0,
            dollars=dollars,
            versions={},
        )
    )
