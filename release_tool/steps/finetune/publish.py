"""``release-tool finetune publish``: publish the packages of the AWS template, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.parts import FileParts
    from release_tool.global_options import Context
    from release_tool.services.bucket import Bucket

HELP = """Publish the packages of the AWS template, once, and the template that pins them.

Takes what scripts/build-finetune made, from packages in --work. Nothing is sent unless the template pins exactly these
bytes and names the very addresses that they get. What is published stays as it is: the same build again does nothing,
another one under the same tag is refused.

\b
Examples:
  release-tool finetune publish --tag v1.2.0 --to staging
"""
MAX_TEMPLATE_BYTES = 1 << 20
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One file in the bucket."""

    key: str
    sha256: str
    written: bool
    """False where the very same bytes lay there already."""


@click.command(help=HELP, short_help="Publish the packages of the AWS template, once.")
@click.option("--tag", metavar="TAG", help="How the build is called.  [default: v and the version of this tool]")
@click.option("--to", required=True, metavar="TARGET", help="A target of release-tool.toml, or an address.")
@click.pass_obj
def command(context: Context, /, *, tag: str | None, to: str) -> None:
    """See HELP."""
    from release_tool import __version__
    from release_tool.lock import hold
    from release_tool.services.buckets import open_bucket
    from release_tool.steps.settings import address_of

    bucket = open_bucket(address_of(context.repo, to).rstrip("/"))
    with hold(context.work, "finetune publish"):
        placed = publish_packages(context, bucket, tag or f"v{__version__}")
    lines = [f"{'published' if one.written else 'was there'}  {bucket.address}/{one.key}" for one in placed]
    emit(context, "\n".join(lines), placed)


def publish_packages(context: Context, bucket: Bucket, tag: str) -> tuple[Placed, ...]:
    """Publish the packages of the work folder, the template last.

    Args:
        context: of the command.
        bucket: where to.
        tag: of the build.

    Raises:
        RequestError: the tag is none.
        UsageError: there are no packages.
        IntegrityError: the template pins other bytes, or is that of another place or tag.
        AlreadyReleased: another build was published under this tag.
        PublishError: the bucket refused.
        Unreachable: it did not answer.
    """
    from release_tool.core.tuning_packages import CONTENT_TYPES, FOLDER, NAMES, TAG_PATTERN, key_of
    from release_tool.documents import file_parts
    from release_tool.errors import Fault, RequestError, UsageError

    if not TAG_PATTERN.fullmatch(tag):
        raise RequestError((Fault("--tag", f"{tag[:120]!r} is no tag", "such as v1.2.0"),))
    folder = context.work / FOLDER
    lacking = [name for name in NAMES if not (folder / name).is_file()]
    if lacking:
        raise UsageError(
            f"There is no {lacking[0]} in {folder}.", hint=f"Put there what scripts/build-finetune {tag} makes."
        )
    parts = {name: file_parts(folder / name) for name in NAMES}
    check_template(folder, parts, tag, bucket.address)
    with context.console.step("Publish the packages"):
        # All are looked at before one is sent: a refused build leaves nothing beside the one that is there.
        for name, file in parts.items():
            _lies_there(bucket, key_of(tag, name), file)
        placed = tuple(
            _place(bucket, key_of(tag, name), folder / name, file, CONTENT_TYPES[name]) for name, file in parts.items()
        )
    context.console.summary(f"The template: `{bucket.address}/{placed[-1].key}`, sha256 `{placed[-1].sha256}`.")
    return placed


def check_template(folder: Path, parts: dict[str, FileParts], tag: str, address: str) -> None:
    """Refuse a template that pins anything but the packages beside it, at the place where they will lie.

    Raises:
        IntegrityError: with everything that is wrong.
    """
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.core.tuning_packages import TEMPLATE, template_problems
    from release_tool.errors import IntegrityError

    try:
        text = read_bounded(folder / TEMPLATE, MAX_TEMPLATE_BYTES).decode("utf-8", "replace")
    except (OSError, NotReadable) as error:
        raise IntegrityError(f"{TEMPLATE} can't be read: {error}.", hint="Build it anew.") from error
    problems = template_problems(text, {name: file.sha256 for name, file in parts.items()}, tag, address)
    if problems:
        lines = "\n".join(f"  - it {problem}" for problem in problems)
        raise IntegrityError(
            f"{TEMPLATE} is not the template of these packages:\n{lines}",
            hint=f"Build all three together: scripts/build-finetune {tag} TARGET.",
        )


def _lies_there(bucket: Bucket, key: str, file: FileParts) -> bool:
    """Tell whether these bytes lie under a key already.

    Raises:
        AlreadyReleased: other ones do.
    """
    from release_tool.errors import AlreadyReleased

    found = bucket.head(key)
    if found is None:
        return False
    held = found.holds(file)
    if held or (held is None and bucket.digest(key) == file.sha256):
        return True
    raise AlreadyReleased(
        f"{key} in {bucket.address} is published with other bytes.",
        hint="A build that is published stays as it is: take another tag.",
    )


def _place(bucket: Bucket, key: str, path: Path, file: FileParts, content_type: str) -> Placed:
    from release_tool.errors import Unreachable
    from release_tool.services.bucket import Taken

    for _ in range(TRIES):
        if _lies_there(bucket, key, file):
            return Placed(key=key, sha256=file.sha256, written=False)
        try:
            bucket.send(key, path, file, match=None, content_type=content_type)
        except Taken:  # by the same build elsewhere, by a request of ours whose answer was lost, or by another build
            continue
        return Placed(key=key, sha256=file.sha256, written=True)
    raise Unreachable(f"{key} in {bucket.address} can't be created, and is not there.", hint="Run again.")
