"""``release-tool ml connector blueprints``: connectors of services that many people use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.ml.blueprints import Blueprint
    from release_tool.global_options import Context

HELP = """List the blueprints, or show one with its variables. No cluster is asked.

\b
Examples:
  release-tool ml connector blueprints
  release-tool ml connector blueprints bedrock-claude-3
"""


@click.command(help=HELP, short_help="List the blueprints, or show one.")
@click.argument("name", required=False)
@click.pass_obj
def command(context: Context, name: str | None) -> None:
    """Show them."""
    from release_tool.core.ml.blueprints import BLUEPRINTS, blueprint
    from release_tool.steps.ml.tables import rows

    if name is None:
        text = rows(("blueprint", "since", "what it asks"), [(one.name, one.since, one.summary) for one in BLUEPRINTS])
        emit(context, text, [{"name": one.name, "since": one.since, "summary": one.summary} for one in BLUEPRINTS])
        return
    found = blueprint(name)
    emit(context, _shown(found), found)


def _shown(found: Blueprint) -> str:
    import json

    from release_tool.steps.ml.tables import rows

    variables = rows(
        ("variable", "default", "what it is"), [(one.name, one.default or "", one.meaning) for one in found.variables]
    )
    connector = json.dumps(found.connector, indent=2, ensure_ascii=False)
    return f"{found.name}: {found.summary}\n\n{variables}\n\n{connector}\n\nasked by: {json.dumps(found.ask)}"
