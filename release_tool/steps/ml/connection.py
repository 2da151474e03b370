"""The options of every command that talks to a cluster; they are declared here and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from release_tool.core.settings import SETTINGS_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender

F = TypeVar("F", bound="Callable[..., Any]")

CLUSTER_VARIABLE = "RELEASE_TOOL_CLUSTER"
DEFAULT_SECONDS = 120.0
RECORDER = "release_tool.ml.recorder"
"""Key of click's context under which export-request leaves what makes a recorder of a cluster's address, or of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which cluster a person means, and how long it may take."""

    cluster: str | None
    timeout: float

    def address(self, context: Context) -> ClusterAddress:
        """Return the cluster; a password in the clear is warned of.

        Raises:
            UsageError: none is named, or what is named is neither an address nor in the settings.
        """
        found = find_cluster(context.repo, self.cluster)
        if found.is_in_clear and found.auth == "basic":
            context.console.warning(f"The password travels unencrypted to {found.url}.")
        return found

    def open(self, context: Context, *, connections: int = 1) -> Sender:
        """Return the transport to the cluster, or under export-request what only notes; nothing is sent yet.

        Args:
            context: of the command.
            connections: how many threads will ask at once.

        Raises:
            UsageError: as ``address``, or credentials are missing.
            MissingExtra: opensearch-py is not installed.
        """
        noting = click.get_current_context().meta.get(RECORDER)
        if noting is not None:
            recorder: Sender = noting(self.cluster and self.address(context))
            return recorder
        from release_tool.services.cluster.transport import Cluster

        return Cluster(self.address(context), os.environ, timeout=self.timeout, connections=connections)


def cluster_options(function: F) -> F:
    """Add the options to a command, which gets them as one argument ``asked``."""
    from functools import wraps

    @wraps(function)
    def gathered(*args: Any, cluster: str | None, timeout: float, **rest: Any) -> Any:
        return function(*args, asked=Asked(cluster=cluster, timeout=timeout), **rest)

    decorated = click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=DEFAULT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for one answer.",
    )(gathered)
    return click.option(  # type: ignore[return-value]
        "--cluster",
        metavar="URL|NAME",
        envvar=CLUSTER_VARIABLE,
        help=f"Address of the cluster, or its name in {SETTINGS_FILE}.  [env var: {CLUSTER_VARIABLE}]",
    )(decorated)


wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a task; it goes on afterwards.",
)
size_option = click.option(
    "--size", type=click.IntRange(1, 10_000), default=100, show_default=True, metavar="N", help="At most so many."
)


def find_cluster(repo: Path, asked: str | None, *, where: str = "--cluster") -> ClusterAddress:
    """Return the cluster of an address or of a name in the settings, with paths that hold here.

    Args:
        repo: whose settings these are.
        asked: the address or the name.
        where: what a person named it with, for messages.

    Raises:
        UsageError: there is none.
    """
    from release_tool.core.ml.clusters import of_url
    from release_tool.core.request import closest
    from release_tool.errors import UsageError
    from release_tool.services.cluster.credentials import has_user
    from release_tool.steps.settings import read_settings

    if not asked:
        raise UsageError("No cluster is named.", hint=f"Name it with --cluster URL, or set {CLUSTER_VARIABLE}.")
    if "://" in asked:
        try:
            return of_url(asked, has_user=has_user(os.environ))
        except ValueError as error:
            raise UsageError(f"{where} is no address: {error}.", hint="Such as https://search.example.org.") from error
    clusters = {one.name or "": one for one in read_settings(repo).clusters}
    found = clusters.get(asked)
    if found is None:
        known = closest(asked, tuple(clusters)) if clusters else f"{SETTINGS_FILE} names none"
        raise UsageError(f"{where} {asked[:80]!r} is neither an address nor a cluster ({known}).")
    files = {key: str(repo / value) for key in ("ca", "certificate", "key") if (value := getattr(found, key))}
    return replace(found, **files)  # type: ignore[arg-type]
