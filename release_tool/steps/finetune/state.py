"""The option ``--state``: where a run's state is kept beside the work folder, so that another machine can go on."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from release_tool.global_options import Context
    from release_tool.services.bucket import Bucket
    from release_tool.services.finetune.state_keeper import StateKeeper

F = TypeVar("F", bound="Callable[..., Any]")
VARIABLE = "RELEASE_TOOL_FINETUNE_STATE"


def state_options(function: F) -> F:
    """Add ``--state`` and ``--take-over``."""
    function = click.option(
        "--take-over", is_flag=True, help="Go on with the run at --state although another command works on it."
    )(function)
    return click.option(
        "--state",
        metavar="PLACE",
        envvar=VARIABLE,
        help=f"Keep the run's state there, too: s3://bucket/prefix or a folder; also {VARIABLE}.",
    )(function)


@contextmanager
def open_state(context: Context, place: str | None, command: str, *, take_over: bool) -> Iterator[StateKeeper | None]:
    """Keep the state of the work folder's run for as long as the command lasts; null where no place is named.

    Raises:
        UsageError: ``--take-over`` without a place.
        RequestError: the place is none.
        WorkFolderBusy: another command works on the run, or has taken it over.
        IntegrityError: what lies there is no state, or was changed.
        PublishError: the store refused.
        Unreachable: it did not answer.
    """
    from release_tool.errors import UsageError
    from release_tool.run_folder import RunFolder
    from release_tool.services.finetune.state_keeper import keeping

    if not place:
        if take_over:
            raise UsageError("--take-over is of a run whose state is kept elsewhere.", hint="Name it with --state.")
        yield None
        return
    console = context.console
    path = RunFolder.below(context.work).path
    with keeping(
        bucket_at(place), path, command, take_over=take_over, say=console.info, warn=console.warning
    ) as keeper:
        yield keeper


def bucket_at(place: str) -> Bucket:
    """Return the bucket of an address, or of a folder by its path.

    Raises:
        RequestError: it is neither.
        MissingExtra: it is of S3 and boto3 is not installed.
    """
    from dataclasses import replace

    from release_tool.errors import Fault, RequestError
    from release_tool.services.bucket_folder import FolderBucket
    from release_tool.services.buckets import open_bucket

    if "://" in place:
        try:
            return open_bucket(place)
        except RequestError as error:
            raise RequestError(tuple(replace(fault, field="--state") for fault in error.faults)) from error
    folder = Path(place)
    if "\0" in place or (folder.exists() and not folder.is_dir()):
        raise RequestError((Fault("--state", "is neither an address nor a folder", "s3://bucket/prefix, or a folder"),))
    return FolderBucket(folder)
