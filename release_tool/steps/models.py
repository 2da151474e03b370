"""``release-tool models``: list, show, compare, explain, yank and restore what was released."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import draft_option, emit, emit_text

if TYPE_CHECKING:
    from release_tool.core.catalogue import Difference, Meaning
    from release_tool.global_options import Context
    from release_tool.steps.models_asking import Changed

HELP = """List, show, compare and yank what was released.

Reads supported_models.json of --repo. NAME is a registered name (huggingface/acme/tiny) or a model id (acme/tiny).

\b
Examples:
  release-tool models list
  release-tool models show acme/tiny@1.0.0
  release-tool models yank acme/tiny@1.0.0 --reason "wrong answers beyond 256 tokens"
"""
LIST = """List every version that was released, oldest first.

\b
Examples:
  release-tool models list
  release-tool models list --json
"""
SHOW = """Show everything that the ledger says of a model, or of one version.

\b
Examples:
  release-tool models show acme/tiny
  release-tool models show huggingface/acme/tiny@1.0.0 --json
"""
DIFF = """Compare two releases: sizes, sources, and with --to their configs, certificates and proofs.

\b
Examples:
  release-tool models diff acme/tiny@1.0.0 acme/tiny@1.0.1
  release-tool models diff acme/tiny@1.0.0 acme/tiny@1.0.1 --to s3://models/production
"""
EXPLAIN = """Tell all that is known of a digest: an archive, an approval, a revision, a document of a release.

The first eight digits will do. With --to the bucket is asked, too: markers, claims, releases that are not complete or
were given up, and whether the bytes still lie there.

\b
Examples:
  release-tool models explain 6f1c09ab
  release-tool models explain 6f1c09ab --to s3://models/production
"""
YANK = """Take a version out of the listings; its bytes stay where they are.

\b
Examples:
  release-tool models yank acme/tiny@1.0.0 --reason "wrong answers beyond 256 tokens" --draft
"""
RESTORE = """Put a yanked version back into the listings, exactly where it was.

\b
Examples:
  release-tool models restore acme/tiny@1.0.0
"""
MAX_REASON = 500


@click.group(help=HELP, short_help="List, show, compare and yank what was released.")
def command() -> None:
    """Hold the six."""


to_option = click.option(
    "--to",
    metavar="ADDRESS",
    help="Ask this bucket, too: s3://bucket/prefix, file:///folder or a target of the settings.",
)


@command.command("list", help=LIST, short_help="List every version that was released.")
@click.pass_obj
def list_command(context: Context) -> None:
    """List one line a version."""
    from release_tool.core.catalogue import listing_lines, releases
    from release_tool.steps.worktree import read_ledger, unswept

    with unswept():
        found = listing_lines(releases(read_ledger(context.repo)))
    if context.json:
        # One line an object: a reader finds its way, and ten thousand are written at once.
        lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in found)
        emit_text(f"[\n{lines}\n]\n" if found else "[]\n")
        return
    emit(context, "\n".join(map(_line, found)) or "nothing was released yet", found)


def _line(one: dict[str, Any]) -> str:
    state = "yanked" if one["yanked"] else one["build"] or ""
    formats = ",".join(one["formats"])
    released = one["released"] or "-"
    return _one_line(f"{one['name']}  {one['version']}  {one['kind'] or '-'}  {formats}  {released}  {state}").rstrip()


def _one_line(text: str) -> str:
    """Return text without line breaks, its spaces kept: they are what columns are told by."""
    return " ".join(text.splitlines())


@command.command("show", help=SHOW, short_help="Show everything that the ledger says of a model.")
@click.argument("name", metavar="NAME[@VERSION]")
@click.pass_obj
def show_command(context: Context, name: str) -> None:
    """Show the rows."""
    from release_tool.core.catalogue import find, flat
    from release_tool.core.ledger_columns import YANKED
    from release_tool.core.yank import TAKEN
    from release_tool.steps.worktree import read_ledger

    rows = []
    for release in find(read_ledger(context.repo), name):
        for row in release.rows:
            data = dict(row.data)
            if row.yanked:
                data[YANKED] = {key: value for key, value in row.yanked.items() if key != TAKEN}
            rows.append({"name": release.name, **data})
    width = max((len(key) for row in rows for key in flat(row)), default=0)
    blocks = ("\n".join(_one_line(f"{key:{width}}  {value}") for key, value in flat(row).items()) for row in rows)
    emit(context, "\n\n".join(blocks), rows)


@command.command("diff", help=DIFF, short_help="Compare two releases.")
@click.argument("first", metavar="NAME@VERSION")
@click.argument("second", metavar="NAME@VERSION")
@to_option
@click.pass_obj
def diff_command(context: Context, first: str, second: str, to: str | None) -> None:
    """Say in what two releases differ."""
    from release_tool.steps.models_asking import compare

    found = compare(context.repo, first, second, to)
    emit(context, "\n".join(map(_difference, found)) or "nothing differs", found)


def _difference(one: Difference) -> str:
    first, second = (_one_line(text) if text is not None else "(not there)" for text in (one.first, one.second))
    return f"{_one_line(one.what)}\n  - {first}\n  + {second}"


@command.command("explain", help=EXPLAIN, short_help="Tell all that is known of a digest.")
@click.argument("digest", metavar="DIGEST")
@to_option
@click.pass_obj
def explain_command(context: Context, digest: str, to: str | None) -> None:
    """Say what a digest is."""
    from release_tool.steps.explaining import explained

    found = explained(context.repo, digest, to)
    emit(context, "\n".join(map(_meaning, found)), found)


def _meaning(one: Meaning) -> str:
    return f"{_one_line(one.what)} of {_one_line(one.of)}\n  {_one_line(one.where)}"


@command.command("yank", help=YANK, short_help="Take a version out of the listings.")
@click.argument("name", metavar="NAME@VERSION")
@click.option("--reason", required=True, metavar="TEXT", help="Why; stands in the ledger and in the history.")
@click.option("--by", metavar="LOGIN", help="Who decided it.")
@draft_option
@click.pass_obj
def yank_command(context: Context, name: str, reason: str, by: str | None, *, draft: bool) -> None:
    """Yank one version."""
    from release_tool.core.escape import one_line
    from release_tool.errors import Fault, RequestError
    from release_tool.steps.models_asking import change
    from release_tool.steps.recording import login_of

    said = one_line(reason)
    if not said or len(said) > MAX_REASON:
        raise RequestError(
            (Fault("--reason", "it is empty or too long", f"one line, at most {MAX_REASON} characters"),)
        )
    _tell(context, change(context.repo, name, yank_for=said, by=login_of(by, "--by"), draft=draft))


@command.command("restore", help=RESTORE, short_help="Put a yanked version back into the listings.")
@click.argument("name", metavar="NAME@VERSION")
@draft_option
@click.pass_obj
def restore_command(context: Context, name: str, *, draft: bool) -> None:
    """Restore one version."""
    from release_tool.steps.models_asking import change

    _tell(context, change(context.repo, name, yank_for=None, by=None, draft=draft))


def _tell(context: Context, done: Changed) -> None:
    lines = [f"changed   {name}" for name in done.changed] or ["unchanged  it is so already"]
    word = "yanked   " if done.yanked else "restored "
    text = (done.diff or "nothing would change") if done.diff is not None else None
    emit(context, text or "\n".join([f"{word} {done.name} {done.version}", *lines]), done)
