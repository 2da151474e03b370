"""``release-tool ml update``: change what a registered model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options
from release_tool.steps.ml.rate import RATE
from release_tool.steps.ml.remote_options import held_options, with_guardrails, with_interface

if TYPE_CHECKING:
    from release_tool.core.ml.register import RateLimiter
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Change a model, also while it is deployed: switch it off and on, limit how often it is asked, rename it.

The server can't forget a rate limiter; --no-rate-limit sets one that nothing reaches.

\b
Examples:
  release-tool ml update cleMb4kBJ1eYAeTMFFg4 --disable
  release-tool ml update cleMb4kBJ1eYAeTMFFg4 --rate-limit 100/minutes
  release-tool ml update cleMb4kBJ1eYAeTMFFg4 --guardrails guardrails.json
"""


@click.command(help=HELP, short_help="Change a model, also while it is deployed.")
@click.argument("model")
@click.option("--name", metavar="TEXT", help="Another name.")
@click.option("--description", metavar="TEXT", help="Another description.")
@click.option("--group", metavar="ID", help="Another model group.")
@click.option("--enable/--disable", "enabled", default=None, help="Whether it may be asked at all.")
@click.option("--rate-limit", type=RATE, metavar="N/UNIT", help="How often it may be asked, such as 100/minutes.")
@click.option("--no-rate-limit", is_flag=True, help="Let it be asked as often as anybody likes.")
@held_options
@cluster_options
@click.pass_obj
def command(
    context: Context,
    /,
    model: str,
    *,
    name: str | None,
    description: str | None,
    group: str | None,
    enabled: bool | None,
    rate_limit: RateLimiter | None,
    no_rate_limit: bool,
    asked: Asked,
    **held: Any,
) -> None:
    """Send what is given."""
    from release_tool.core.ml.api import get_model, update_model
    from release_tool.core.ml.register import NO_LIMIT, Wishes, too_new
    from release_tool.errors import RequestError, UsageError

    if rate_limit and no_rate_limit:
        raise UsageError("--rate-limit and --no-rate-limit contradict each other.", hint="Leave one out.")
    wishes = Wishes(
        name=name,
        description=description,
        group_id=group,
        is_enabled=enabled,
        rate_limiter=NO_LIMIT if no_rate_limit else rate_limit,
    )
    if not wishes.body() and not any(held.values()):
        raise UsageError("Nothing is to be changed.", hint="Name what, such as --disable.")
    with asked.open(context) as cluster:
        wishes = with_interface(wishes, held, cluster.version)
        if held["guardrails"] is not None:
            wishes = with_guardrails(context, cluster, wishes, held["guardrails"], cluster.send(get_model(model)))
        body = wishes.body()
        faults = too_new(body, cluster.version)
        if faults:
            raise RequestError(faults)
        reply = cluster.send(update_model(model, body))
    emit(context, f"changed  {model}: {', '.join(body)}", reply)
