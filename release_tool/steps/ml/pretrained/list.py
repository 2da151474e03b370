"""``release-tool ml pretrained list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.global_options import Context

HELP = """List the models that a cluster can register by name.

\b
Examples:
  release-tool ml pretrained list
  release-tool ml pretrained list --function SPARSE_ENCODING
"""


@click.command(help=HELP, short_help="List the pretrained models.")
@click.option("--function", metavar="NAME", help="Only models of this function, such as SPARSE_ENCODING.")
@click.option("--listing", type=click.Path(path_type=Path), help="A pretrained_models_all_versions.json to add.")
@click.pass_obj
def command(context: Context, *, function: str | None, listing: Path | None) -> None:
    """Print the table."""
    from release_tool.steps.ml.tables import rows
    from release_tool.steps.ml.targets import table_of

    table = table_of(context, listing)
    found = [one for one in table if function is None or one.function_name == function.upper()]
    lines = [
        (one.name, one.versions[0], one.function_name, ", ".join(one.formats), one.dimension, one.since)
        for one in found
    ]
    header = ("name", "newest", "function", "formats", "dimension", "since")
    emit(context, rows(header, lines, empty="no model"), found)
