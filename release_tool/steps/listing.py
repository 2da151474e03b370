"""``release-tool listing``: show, make anew and publish what can be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from release_tool.core.settings import SETTINGS_FILE
from release_tool.steps import draft_option, emit
from release_tool.steps.jenkins_options import jenkins_options, optional_options_of

if TYPE_CHECKING:
    from release_tool.global_options import Context

HELP = """Show, make anew and publish the listings of what can be had.

model_listing/pretrained_models_all_versions.json has formats and descriptions; model_listing/pre_trained_models.json
is the one that OpenSearch reads before it downloads a model.

\b
Examples:
  release-tool listing show
  release-tool listing rebuild --to s3://models/production --draft
  release-tool listing publish --to s3://models/production
"""
REBUILD = """Make both listings anew from the keys of a bucket.

What lies there is listed, unless the ledger has yanked it or model_listing/excluded.json leaves it out. Exit code 9
where an entry would be lost whose objects exist: --drop names it, by its registered name or its model id, and notes it
in excluded.json. Exit code 9 also where entries would be lost because no model at all lies there. A listing that can't
be read is made anew.

\b
Examples:
  release-tool listing rebuild --to s3://models/production --draft
  release-tool listing rebuild --to s3://models/production --drop huggingface/acme/tiny@1.0.0
"""
PUBLISH = """Write both listings into a bucket, and let Jenkins serve them.

Each replaces exactly the one that was read there. Exit code 9 where the bucket's lists a version that would be lost
and that is neither yanked nor excluded. Of a target that serves, and with --server, the release job then serves them,
with the credentials that notify has: once each time they were written, kept in listing-notice.json of the work folder
(exit code 10: it failed).

\b
Examples:
  release-tool listing publish --to production --dry-run
  release-tool listing publish --to s3://models/production --server https://ci.example.org
"""
SHOW = """Show what can be had, by the listings of the repository.

\b
Examples:
  release-tool listing show
  release-tool listing show --json
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One version of the listings."""

    name: str
    version: str
    formats: tuple[str, ...]
    description: str | None
    served: bool
    """Whether OpenSearch will download it: whether pre_trained_models.json has it."""


@click.group(help=HELP, short_help="Show, make anew and publish the listings of what can be had.")
def command() -> None:
    """Hold the three."""


to_option = click.option(
    "--to", required=True, metavar="ADDRESS", help="s3://bucket/prefix, file:///folder or a target of the settings."
)


@command.command("show", help=SHOW, short_help="Show what can be had.")
@click.pass_obj
def show_command(context: Context) -> None:
    """Show both listings as one."""
    from release_tool.core import listing as files
    from release_tool.steps.worktree import read_state

    records = read_state(context.repo).records
    served = files.pairs(records.served)
    shown = []
    for name, version in sorted(files.pairs(records.all_versions) | served, key=files.pair_key):
        facts = (records.all_versions.entry(name) or {}).get("versions", {}).get(version, {})
        formats = facts.get("format") or (records.served.entry(name) or {}).get("format", [])
        shown.append(
            Shown(
                name=name,
                version=version,
                formats=tuple(formats),
                description=facts.get("description"),
                served=(name, version) in served,
            )
        )
    lines = (
        f"{one.name}  {one.version}  {', '.join(one.formats)}{'' if one.served else '  not served'}" for one in shown
    )
    emit(context, "\n".join(lines) or "nothing is listed", shown)


@command.command("rebuild", help=REBUILD, short_help="Make both listings anew from the keys of a bucket.")
@to_option
@click.option("--drop", multiple=True, metavar="NAME@VERSION", help="Leave this out, though it lies there; repeatable.")
@draft_option
@click.pass_obj
def rebuild_command(context: Context, to: str, drop: tuple[str, ...], *, draft: bool) -> None:
    """Make both listings anew."""
    from release_tool.steps.listing_rebuilding import run_rebuild

    done = run_rebuild(context.repo, to, drop, draft=draft)
    for what in done.unreadable:
        context.console.warning(f"{what} It is made anew, without anything that stood in it.")
    for folder in done.halves:
        context.console.warning(f"{folder} lacks its archive or its config.json; it is not listed.")
    for one in done.gone:
        context.console.warning(f"{one} was listed and does not lie in {done.to}; it is not listed any more.")
    lines = done.diff or "\n".join(f"changed   {name}" for name in done.changed)
    emit(context, lines or "unchanged  the listings are what the bucket says", done)


@command.command("publish", help=PUBLISH, short_help="Write both listings into a bucket, and let Jenkins serve them.")
@to_option
@jenkins_options(which=f"that of {SETTINGS_FILE} where --to is a target that serves, else nobody is told")
@click.option("--dry-run", is_flag=True, help="Say what would be written and sent.")
@click.pass_context
def publish_command(ctx: click.Context, /, to: str, *, dry_run: bool, **asked: Any) -> None:
    """Write both listings into a bucket."""
    from release_tool.services.buckets import open_bucket
    from release_tool.steps.listing_asking import run_publish, text_of
    from release_tool.steps.settings import address_of, is_served, read_settings

    context: Context = ctx.obj
    settings = read_settings(context.repo)
    options = optional_options_of(ctx, asked, settings.jenkins, unasked=is_served(settings, to))
    done = run_publish(context, open_bucket(address_of(context.repo, to)), options, dry_run=dry_run)
    emit(context, text_of(done, dry_run=dry_run), done)
