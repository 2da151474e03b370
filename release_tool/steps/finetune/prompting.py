"""The prompt's template and the example queries of a recipe, checked; the files are those that were planned with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.finetune.keys import MAX_SHOWN
from release_tool.core.finetune.own import query_row
from release_tool.core.finetune.prompt import Template, template_faults
from release_tool.core.quantity import clip
from release_tool.errors import Fault, RequestError, UsageError
from release_tool.steps.finetune.given_files import lines_of, planned_file

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.finetune.recipe import Recipe
    from release_tool.steps.finetune.running import Work

SHIPPED = "finetune-prompt.txt"
MAX_EXAMPLES = 1000
"""Examples that are chosen from; a file of more is read up to here."""


def template_of(work: Work) -> Template:
    """Return the template of a run.

    Raises:
        RequestError: it has faults; all of them are listed.
        IntegrityError: it is not the one that was planned with.
    """
    with planned_file(work, "prompt") as path:
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
    with planned_file(work, "examples") as path:
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
