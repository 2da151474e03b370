"""Files that ``[queries]`` names: here or in S3, and those that the run was planned with."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip
from release_tool.errors import IntegrityError, UsageError
from release_tool.steps.finetune.places import digest_of, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.finetune.recipe import Recipe
    from release_tool.steps.finetune.running import Work

PINS = {"path": "queries", "qrels": "qrels", "examples": "examples", "prompt": "prompt"}
"""Key of ``[queries]`` → the name of its pin."""
REMOTE = "s3://"
MAX_LINE = 1 << 20
"""Bytes of a line."""


@contextmanager
def given_file(recipe: Recipe, folder: Path, word: str) -> Iterator[Path | None]:
    """Give the file of a key for the time of a ``with``; null where the recipe names none.

    Args:
        recipe: with paths relative to ``folder``.
        folder: where the recipe lies.
        word: the key.

    Raises:
        UsageError: it names no object of S3, or one that is too large.
        Refused, Unreachable: S3 says no, or nothing.
    """
    named: str = getattr(recipe.queries, word)
    if not named.startswith(REMOTE):
        yield place_of(folder, named) if named else None
        return
    from release_tool.services.finetune.s3_file import fetch_object

    with tempfile.TemporaryDirectory(prefix="release-tool-") as aside:
        yield fetch_object(named, Path(aside))


@contextmanager
def planned_file(work: Work, word: str) -> Iterator[Path | None]:
    """Give the file of a key, which is the one that the run was planned with; see ``given_file``.

    Raises:
        IntegrityError: it is another one.
    """
    with given_file(work.recipe, Path(work.plan.folder), word) as path:
        if path is not None and digest_of([path]) != work.plan.pins.get(PINS[word]):
            shown = clip(one_line(getattr(work.recipe.queries, word)))
            raise IntegrityError(
                f"queries.{word}: {shown} is not what it was when the run was planned.",
                hint="Run release-tool finetune plan again.",
            )
        yield path


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers from 1.

    Raises:
        UsageError: it can't be read, or a line is too long.
    """
    from release_tool.bounded import NotReadable, open_regular

    shown = clip(one_line(path.name))
    try:
        with open_regular(path) as stream:
            number = 0
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise UsageError(f"{shown}, line {number}: it is longer than {MAX_LINE:,} bytes.")
                if line.strip():
                    yield number, line
    except (OSError, NotReadable) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{shown} can't be read: {said}.") from error
