"""``release-tool node``: a real OpenSearch with ML Commons on this machine, for ``validate --on node``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.services.node import NodeStatus

MEGABYTE = 1_000_000


@click.group(short_help="Start and stop a real OpenSearch with ML Commons.")
def command() -> None:
    """Start and stop a real OpenSearch with ML Commons.

    It listens on this machine only, has no password and keeps nothing. validate --on node starts one by itself; start
    one here to validate several times, or to look at it.

    \b
      release-tool node up
      release-tool validate --on node
      curl "$(release-tool node status --url)/_cat/plugins"
      release-tool node down
    """  # noqa: D301 - \b is click's mark


@command.command(short_help="Get, prepare and start the node; wait until it answers.")
@click.option("--version", metavar="X.Y.Z", help="A pinned version of OpenSearch. [default: the newest one pinned]")
@click.option("--prepare-only", is_flag=True, help="Get and prepare everything, start nothing.")
@click.pass_obj
def up(context: Context, *, version: str | None, prepare_only: bool) -> None:
    """Get, prepare and start the node; wait until it answers.

    The files (0.7 GB, once) come through your own Maven, so its settings.xml, mirrors and proxies hold, and are
    compared with pinned sha256. Needs a JDK 21 or newer (OPENSEARCH_JAVA_HOME, JAVA_HOME, /usr/lib/jvm, PATH), 3 GB
    of memory and 3 GB of disk. Run as root, the server runs as nobody, in a folder of its own under /var/tmp
    (RELEASE_TOOL_NODE_DIR names another place). RELEASE_TOOL_CACHE names the cache.

    \b
      release-tool node up
      release-tool --json node up | jq -r .url
    """  # noqa: D301 - \b is click's mark
    from release_tool.services import node

    if prepare_only:
        home = node.make_ready(context.console, env=os.environ, version=version)
        emit(context, f"OpenSearch {home.prepared.version} is prepared in {home.folder}", home.prepared)
        return
    node.up(context.console, env=os.environ, version=version)
    _tell(context, node.status(env=os.environ))


@command.command(short_help="Say whether a node runs, where and what answers in it.")
@click.option("--url", "only_url", is_flag=True, help="Print the address only; exit 1 when no node is up.")
@click.pass_obj
def status(context: Context, *, only_url: bool) -> None:
    """Say whether a node runs, where and what answers in it.

    \b
      release-tool node status
      curl "$(release-tool node status --url)/_cluster/health"
    """  # noqa: D301 - \b is click's mark
    from release_tool.services import node

    found = node.status(env=os.environ)
    if not only_url:
        _tell(context, found)
        return
    if found.state != "up" or found.url is None:
        raise click.exceptions.Exit(1)
    click.echo(found.url)


@command.command(short_help="Stop the node and delete what it wrote.")
@click.pass_obj
def down(context: Context) -> None:
    """Stop the node and delete what it wrote.

    Only the process that was started here is ended, also after the tool itself was killed. What was downloaded and
    prepared stays in the cache.

    \b
      release-tool node down
    """  # noqa: D301 - \b is click's mark
    from release_tool.services import node

    stopped = node.down(env=os.environ)
    emit(context, "The node is down." if stopped else "No node was running.", {"stopped": stopped})


def _tell(context: Context, found: NodeStatus) -> None:
    lines = [f"state: {found.state}"]
    if found.version is not None:
        lines.append(f"OpenSearch: {found.version}")
    if found.url is not None:
        lines.append(f"address: {found.url}")
    if found.pid is not None:
        memory = f", {found.resident_bytes / MEGABYTE:,.0f} MB" if found.resident_bytes else ""
        lines.append(f"process: {found.pid}{memory}")
    if found.start_seconds is not None:
        lines.append(f"started in: {found.start_seconds:.1f} s")
    lines += [f"{name}: {version}" for name, version in found.libraries.items() if name != "opensearch"]
    emit(context, "\n".join(lines), found)
