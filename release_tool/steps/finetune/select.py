"""``release-tool finetune select``: choose positives, negatives and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.showing import with_show
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.finetune.records import Mined, Taught
    from release_tool.core.finetune.selecting import Selection
    from release_tool.errors import IntegrityError
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Choose positives, negatives and labels."
HELP = """Choose positives, negatives and labels.

Brings the teachers' scores together, from 0 to 1 within each query, and leaves out negatives that are as good as the
positive, and queries whose positive the teachers put too far down or that have too few negatives left. Without a
teacher, candidates are taken as the search ranked them.
"""

command = with_show(stage_command(Stage.SELECT, HELP, short=SHORT, example="select --show 5"))


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: no query is left to train on.
        IntegrityError: teachers and candidates do not tell of the same documents.
    """
    from collections import Counter

    from release_tool.core.finetune.ensemble import lowest
    from release_tool.core.finetune.records import Dropped, Selected
    from release_tool.core.finetune.selecting import PERCENTILE, REASONS, choose
    from release_tool.part_files import PartWriter
    from release_tool.steps.finetune.running import Made

    rules = _rules(work)
    worst = lowest(_positives(work), work.recipe.filter.teacher_percentile)
    found: Counter[str] = Counter({"train": 0, "dev": 0, **dict.fromkeys(REASONS, 0)})
    answers = 0
    with PartWriter(work.folder, Selected.STEM) as rows, PartWriter(work.folder, Dropped.STEM) as dropped:
        for number, (mined, logits) in enumerate(_scored(work)):
            chosen = None if number in worst else choose(mined, logits, rules)
            if chosen is not None and chosen.row is not None:
                rows.add(chosen.row)
                found[chosen.row.split] += 1
            else:
                reason = PERCENTILE if chosen is None else chosen.reason
                dropped.add(Dropped(query=mined.query, reason=reason))
                found[reason] += 1
            answers += 0 if chosen is None else chosen.answers
    _look(found, rules)
    return Made(counts={**found, "candidates_that_answer": answers})


def _rules(work: Work) -> Selection:
    from release_tool.core.finetune.selecting import Selection

    keys = work.recipe.select
    return Selection(
        negatives=keys.negatives,
        max_positive_share=keys.max_positive_share,
        min_positive_rank=keys.min_positive_rank,
        sampling=keys.sampling,
        seed=work.recipe.model.seed,
    )


def _scored(work: Work) -> Iterator[tuple[Mined, list[tuple[float, ...]]]]:
    """Yield each query's candidates with each teacher's logits of them, in the order of mine."""
    from release_tool.core.finetune.records import Mined, Taught
    from release_tool.part_files import read_rows
    from release_tool.steps.finetune.teach import teacher_folder

    folders = [teacher_folder(work.of(Stage.TEACH), number) for number in range(len(work.recipe.teach.models))]
    readers: list[Iterator[Taught]] = [read_rows(folder, Taught) for folder in folders]
    mined: Mined
    for mined in read_rows(work.of(Stage.MINE), Mined):
        taught = [next(reader, None) for reader in readers]
        yield mined, [_logits(row, mined) for row in taught]
    if any(next(reader, None) is not None for reader in readers):
        raise _apart()


def _logits(row: Taught | None, mined: Mined) -> tuple[float, ...]:
    if row is None or row.query != mined.query:
        raise _apart()
    if row.documents != (mined.positive, *mined.documents)[: len(row.documents)]:
        raise _apart()
    return row.logits


def _apart() -> IntegrityError:
    from release_tool.errors import IntegrityError

    return IntegrityError(
        "Teachers and candidates do not tell of the same documents.", hint="Run release-tool finetune teach --again."
    )


def _positives(work: Work) -> list[Sequence[float]]:
    """Return each teacher's logit of every query's positive; none where nobody asks."""
    from array import array

    from release_tool.core.finetune.records import Taught
    from release_tool.part_files import read_rows
    from release_tool.steps.finetune.teach import teacher_folder

    if not work.recipe.filter.teacher_percentile:
        return []
    return [
        array("d", (row.logits[0] for row in read_rows(teacher_folder(work.of(Stage.TEACH), number), Taught)))
        for number in range(len(work.recipe.teach.models))
    ]


def _look(found: dict[str, int], rules: Selection) -> None:
    """Refuse a selection that nothing can be trained on.

    Raises:
        UsageError: as it says.
    """
    from release_tool.core.finetune.selecting import REASONS
    from release_tool.errors import UsageError

    if not found["train"]:
        reasons = [f"{reason.replace('_', ' ')}: {found[reason]:,}" for reason in REASONS if found[reason]]
        why = ", ".join(reasons) or "none was mined"
        raise UsageError(
            f"No query of train is left with {rules.negatives} negatives ({why}).",
            hint="Lower select.negatives, raise mine.depth or teach.negatives, or give more documents and queries.",
        )
