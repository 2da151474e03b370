"""The prompt's template and the example queries of a recipe, checked; the files are those that were planned with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.finetune.keys import MAX_SHOWN
from release_tool.core.finetune.own import query_row
from release_tool.core.finetune.prompt import Template, template_faults
from release_tool.core.quantity import clip
from release_tool.errors import Fault, IntegrityError, RequestError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.finetune.recipe import Recipe
    from release_tool.steps.finetune.running import Work

SHIPPED = "finetune-prompt.txt"
MAX_EXAMPLES = 1000
"""Examples that are chosen from; a file of more is read up to here."""
MAX_LINE = 1 << 20
"""Bytes of a line."""
READS_PROMPT = ("openai", "bedrock", "local")


def template_of(work: Work) -> Template:
    """Return the template of a run.

    Raises:
        RequestError: it has faults; all of them are listed.
        IntegrityError: it is not the one that was planned with.
    """
    path = own_file(work, "prompt")
    return read_template(work.recipe, path)


def read_template(recipe: Recipe, path: Path | None) -> Template:
    """Return an own template, or the shipped one.

    Raises:
        RequestError: it has faults; all of them are listed.
    """
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.packaged import read_packaged

    if path is None:
        return Template(text=read_packaged(SHIPPED).decode())
    try:
        text = read_bounded(path).decode()
    except (OSError, NotReadable, UnicodeDecodeError) as error:
        said = f"can't be read as UTF-8: {clip(one_line(str(error)), MAX_SHOWN)}"
        raise RequestError((Fault("queries.prompt", said),)) from error
    faults = template_faults(text)
    if not faults and recipe.queries.examples and not Template(text=text).has_examples:
        faults = [Fault("queries.examples", "would go nowhere", "write {examples} into the prompt")]
    if faults:
        raise RequestError(tuple(faults))
    return Template(text=text)


def examples_of(work: Work) -> tuple[str, ...]:
    """Return the example queries of a run.

    Raises:
        UsageError: a line is none.
        IntegrityError: the file is not the one that was planned with.
    """
    path = own_file(work, "examples")
    return read_examples(path) if path is not None else ()


def read_examples(path: Path) -> tuple[str, ...]:
    """Return the first queries of a file of JSON lines.

    Raises:
        UsageError: a line is none, or there is no query in it.
    """
    found = []
    for number, line in lines_of(path):
        found.append(query_row(line, f"{path.name}, line {number}").text)
        if len(found) == MAX_EXAMPLES:
            break
    if not found:
        raise UsageError(f"{one_line(path.name)} holds no query.", hint='A line is {"text": "..."}.')
    return tuple(found)


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers from 1.

    Raises:
        UsageError: it can't be read, or a line is too long.
    """
    from release_tool.bounded import NotReadable, open_regular

    try:
        with open_regular(path) as stream:
            number = 0
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise UsageError(f"{one_line(path.name)}, line {number}: it is longer than {MAX_LINE:,} bytes.")
                if line.strip():
                    yield number, line
    except (OSError, NotReadable) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{one_line(path.name)} can't be read: {said}.") from error


def own_file(work: Work, word: str) -> Path | None:
    """Return a file that ``[queries]`` names, if it names one.

    Args:
        work: of the stage.
        word: the key, which is the name of its pin as well: ``path`` is pinned as ``queries``.

    Raises:
        IntegrityError: it is not the one that was planned with.
    """
    from release_tool.steps.finetune.pinning import digest_of

    named: str = getattr(work.recipe.queries, word)
    if not named:
        return None
    path = work.place(named)
    if digest_of([path]) != work.plan.pins["queries" if word == "path" else word]:
        raise IntegrityError(
            f"queries.{word}: {one_line(path.name)} is not what it was when the run was planned.",
            hint="Run release-tool finetune plan again.",
        )
    return path
