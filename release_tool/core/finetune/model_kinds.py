"""What base and teachers must be, told from their small files: at plan, before anything is paid for or scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.detect import detect
from release_tool.core.kinds import ModelKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.modeljson import Reader
    from release_tool.core.plan import PlannedFile

NO_BASE = {
    ModelKind.CROSS_ENCODER: "a cross-encoder, which has no vectors",
    ModelKind.QUESTION_ANSWERING: "a model that answers questions",
    ModelKind.HIGHLIGHTER: "a highlighter",
    ModelKind.SPARSE_TOKENIZER: "a query tokenizer without an encoder",
    ModelKind.METRICS_CORRELATION: "no encoder of texts",
}
NO_TEACHER = {
    ModelKind.DENSE: "an encoder of single texts",
    ModelKind.SPARSE: "an encoder of single texts",
    ModelKind.QUESTION_ANSWERING: "a model that answers questions",
    ModelKind.HIGHLIGHTER: "a highlighter",
    ModelKind.SPARSE_TOKENIZER: "a query tokenizer",
    ModelKind.METRICS_CORRELATION: "no reader of texts",
}


def base_problem(read: Reader, files: Sequence[PlannedFile], kind: str) -> str | None:
    """Say why no model of a kind can start from a base; null where one can, or where it can't be told.

    Args:
        read: path → bytes of a small file, null where there is none.
        files: of the base.
        kind: ``dense`` or ``sparse``.

    Raises:
        UnsupportedModel: a file of the base is not what it must be.
    """
    found = detect(read, files)
    wrong = [one for one in found.kinds if one in NO_BASE]
    if not wrong:
        return None
    return f"The base is {NO_BASE[wrong[0]]} ({found.reason}); a {kind} model can't start from it."


def teacher_problem(read: Reader, files: Sequence[PlannedFile], name: str) -> str | None:
    """Say why a model can't score; null where it can, or where only loading it will tell.

    Args:
        read: path → bytes of a small file, null where there is none.
        files: of the teacher.
        name: as the recipe says it.

    Raises:
        UnsupportedModel: a file of it is not what it must be.
    """
    found = detect(read, files)
    if not found.kinds or not all(one in NO_TEACHER for one in found.kinds):
        return None
    return f"The teacher {name} is no cross-encoder but {NO_TEACHER[found.kinds[0]]} ({found.reason})."
