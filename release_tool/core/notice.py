"""The notice: which builds a release asked Jenkins for, and what became of them. Pure.

The release job takes one folder of the bucket a build (``BASE_DOWNLOAD_PATH``, ``VERSION``, ``FORMAT``), so a release
of an encoder and its query tokenizer asks for two. A build is recognised by its parameters and its time: Jenkins
forgets a queue item five minutes after it has left the queue, and a killed run may never have learnt its number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from release_tool.core.naming import CONFIG_FILE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NOTICE_NAME = "notice.json"
LISTING_NOTICE = "listing-notice.json"
DEFAULT_JOB = "ml-models-release"
JOB_NAME = re.compile(r"[A-Za-z0-9_][\w .-]{0,99}(?:/[A-Za-z0-9_][\w .-]{0,99}){0,9}")
"""A job's full name, the folders that it lies in before it."""

BASE_PATH = "BASE_DOWNLOAD_PATH"
VERSION = "VERSION"
FORMAT = "FORMAT"
DIGEST = "APPROVED_DIGEST"
"""Sent only to a job that declares it: Jenkins drops what is not declared, without a word."""

BOTH = "BOTH"
LISTING_PARAMETERS = {BASE_PATH: f"{ROOT}/model_listing"}
"""What makes the same job publish the listing: no version, no format."""

SUCCESS = "SUCCESS"
CANCELLED = "CANCELLED"
"""Our word: the queue item was cancelled, so no build has a result."""
GONE = "GONE"
"""Our word: Jenkins knows neither the queue item nor a build of it any more."""
MISMATCHED = "MISMATCHED"
"""Our word: the build runs with other parameters than were sent, so it releases something else."""
UNKNOWN_RESULT = "FAILURE"
_RESULT = re.compile(r"[A-Z][A-Z_]{0,30}")

ALLOWED_SKEW = timedelta(minutes=2)
"""What two clocks may differ by where nothing better is known."""
TIME = "%Y-%m-%dT%H:%M:%SZ"


class Way(StrEnum):
    """How a build is asked for."""

    JENKINS = "jenkins"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build that the release needs, as far as it has got."""

    parameters: dict[str, str]
    requested_at: str | None = None
    """UTC; written before the request is sent. With no ``queue_id`` beside it nobody knows whether it arrived."""
    queue_id: int | None = None
    build_number: int | None = None
    url: str | None = None
    """Of the build, below the server that was named; what Jenkins itself says is not trusted with an address."""
    result: str | None = None
    """Jenkins's SUCCESS, UNSTABLE, FAILURE, ABORTED, NOT_BUILT; our CANCELLED, GONE, MISMATCHED; null while unknown."""
    ended_at: str | None = None
    """UTC: when the build ended by Jenkins's clock, or when it was found to be cancelled or gone."""
    after: int | None = None
    """Builds up to this number belong to an earlier try that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildNotice:
    """notice.json, of a release, and listing-notice.json, of the listings."""

    SCHEMA: ClassVar[str] = "release-tool/notice@1"

    schema: str = "release-tool/notice@1"
    uses: dict[str, str] = field(default_factory=dict)
    """Of a release: receipt.json; of the listings: the address of each in the bucket → sha256 of its bytes there."""
    server: str
    """Address of Jenkins; never holds a credential."""
    job: str
    way: Way
    builds: tuple[Build, ...]
    """One a folder of the bucket, sorted by it."""

    @property
    def result(self) -> str | None:
        """SUCCESS when every build succeeded, else the first other result; null while one is unknown."""
        results = [build.result for build in self.builds]
        bad = [result for result in results if result not in {None, SUCCESS}]
        if bad:
            return bad[0]
        return None if None in results else SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A build, or an item still in the queue, as Jenkins lists it."""

    parameters: Mapping[str, str]
    at: datetime
    """When it began to wait or to run, by Jenkins's clock."""
    queue_id: int | None = None
    number: int | None = None
    """Null in the queue."""
    result: str | None = None
    """Null while it runs."""
    ended: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as Jenkins describes it."""

    declared: Mapping[str, tuple[str, ...]]
    """Name of a parameter → its choices; none where any text will do."""
    buildable: bool


def release_parameters(keys: Iterable[str]) -> tuple[dict[str, str], ...]:
    """Return the parameters of every build that a release needs, from the keys under which its objects lie.

    Args:
        keys: as the receipt has them; all but archives are passed over.

    Returns:
        One set a folder (the key of a model without version, format and file), sorted by it.
    """
    formats: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        parts = key.split("/")
        if parts[0] == ROOT and len(parts) >= 5 and parts[-1] != CONFIG_FILE:
            formats.setdefault(("/".join(parts[:-3]), parts[-3]), set()).add(parts[-2])
    return tuple(
        {BASE_PATH: folder, VERSION: version, FORMAT: next(iter(found)).upper() if len(found) == 1 else BOTH}
        for (folder, version), found in sorted(formats.items())
    )


def with_digest(parameters: Mapping[str, str], approved: str | None, job: Job | None) -> dict[str, str]:
    """Add the approved digest where the job declares a parameter for it."""
    if approved is None or job is None or DIGEST not in job.declared:
        return dict(parameters)
    return {**parameters, DIGEST: approved}


def misfits(parameters: Mapping[str, str], job: Job) -> tuple[str, ...]:
    """Say which parameters a job would drop or refuse; empty when it takes them all."""
    found = []
    for name, value in parameters.items():
        choices = job.declared.get(name)
        if choices is None:
            found.append(f"it declares no parameter {name}")
        elif choices and value not in choices:
            found.append(f"its parameter {name} has no choice {value}")
    return tuple(found)


def is_same(parameters: Mapping[str, str], seen: Mapping[str, str]) -> bool:
    """Tell whether a build has our parameters; it may have more, which the job itself fills in."""
    return all(seen.get(name) == value for name, value in parameters.items())


def earliest(since: str, ahead: timedelta, before: timedelta = ALLOWED_SKEW) -> datetime:
    """Return the time before which a build can't be one that was asked for, by Jenkins's clock.

    Args:
        since: when what it is about was published, UTC, by ours.
        ahead: by how much Jenkins's clock is ahead of ours.
        before: how much earlier a build may seem to have begun.
    """
    return parsed(since) + ahead - before


def find_earlier(build: Build, seen: Sequence[Seen], since: datetime) -> Seen | None:
    """Return the latest of the builds and queue items that this build may already have become.

    Args:
        build: what is needed.
        seen: what Jenkins lists, in any order.
        since: see ``earliest``.
    """
    if build.queue_id is not None:
        exact = [one for one in seen if one.queue_id == build.queue_id and is_same(build.parameters, one.parameters)]
        if exact:
            return exact[0]
    after = build.after or 0
    own = [
        one
        for one in seen
        if is_same(build.parameters, one.parameters) and one.at >= since and (one.number is None or one.number > after)
    ]
    # What still waits in the queue comes after every build that has begun.
    return max(own, key=lambda one: (one.number is None, one.number or 0, one.queue_id or 0), default=None)


def known_result(word: object) -> str:
    """Return a build's result as it may be stored: one of Jenkins's words, or FAILURE for anything else."""
    return word if isinstance(word, str) and _RESULT.fullmatch(word) else UNKNOWN_RESULT


def shown(moment: datetime) -> str:
    """Return a time as documents have it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime(TIME)


def parsed(text: str) -> datetime:
    """Read a time that ``shown`` wrote.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(text, TIME).replace(tzinfo=UTC)
