"""Show some of the rows that are trained on, with their texts, to the eye of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.finetune.records import Selected
    from release_tool.global_options import Context

MAX_TEXT = 160
"""Characters of a text."""


def with_show(command: click.Command) -> click.Command:
    """Give the command of stage select its option ``--show``."""
    run = command.callback

    def shown(*arguments: Any, show: int | None, **options: Any) -> None:
        from release_tool.errors import UsageError

        context: Context = click.get_current_context().obj
        if show is not None and context.json:
            raise UsageError("--show prints texts for people.", hint="Leave --json out; the rows are JSON themselves.")
        if run is not None:
            run(*arguments, **options)
        for line in lines(context, show) if show is not None else ():
            click.echo(line)

    command.callback = shown
    command.params.append(
        click.Option(["--show"], type=click.IntRange(1, 1000), metavar="N", help="Print N rows with their texts.")
    )
    return command


def lines(context: Context, count: int) -> Iterator[str]:
    """Yield what is shown of so many rows, drawn by the seed of the run."""
    import pathlib
    from tempfile import TemporaryDirectory

    from release_tool.core.escape import log_text, one_line
    from release_tool.core.finetune.records import Document, Query
    from release_tool.core.finetune.stages import Stage
    from release_tool.core.quantity import clip
    from release_tool.run_folder import RunFolder
    from release_tool.text_lookup import TextLookup

    run = RunFolder.below(context.work)
    rows = drawn(run.folder(Stage.SELECT), count, run.plan().recipe.model.seed)

    def text(lookup: TextLookup, one: str) -> str:
        return log_text(f"{clip(one_line(one), 40)}  {clip(one_line(lookup.whole(one)), MAX_TEXT)}")

    with (
        TemporaryDirectory() as scratch,
        TextLookup.open(run.folder(Stage.CORPUS), pathlib.Path(scratch), Document) as documents,
        TextLookup.open(run.folder(Stage.QUERIES), pathlib.Path(scratch), Query) as queries,
    ):
        for row in rows:
            yield f"\n{row.split}  {text(queries, row.query)}"
            for place, one in enumerate(row.documents):
                label = "" if row.labels is None else f"{row.labels[place]:.3f}  "
                yield f"  {'-' if place else '+'} {label}{text(documents, one)}"


def drawn(folder: Path, count: int, seed: int) -> list[Selected]:
    """Return some rows of a folder, the same ones for the same seed."""
    from hashlib import blake2b
    from heapq import nsmallest

    from release_tool.core.finetune.records import Selected
    from release_tool.part_files import read_rows

    def key(row: Selected) -> bytes:
        return blake2b(f"{seed}:{row.query}".encode(), digest_size=16).digest()

    return nsmallest(count, read_rows(folder, Selected), key=key)
