"""Settings of a repository, ``release-tool.toml``: the targets that a release may be sent to, and who serves them.

.. code-block:: toml

    [targets.production]
    to = "s3://models/production"

    [targets.staging]
    to = "s3://models/staging"
    serves = false

    [jenkins]
    server = "https://ci.example.org"
    job = "ml-models-release"
    secret = "releases/jenkins"

``[quality]`` is read by ``core.quality_settings``, ``[clusters.NAME]`` by ``core.ml.clusters``.

A form offers the names of the targets; a test holds the two together. Where credentials are sent stands in a file that
is reviewed, and in no variable of GitHub's, which more people may set.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from release_tool.core.ml.clusters import ClusterAddress, parse_clusters
from release_tool.core.notice import DEFAULT_JOB, JOB_NAME
from release_tool.core.quality_settings import QualitySettings, parse_quality
from release_tool.core.request import closest
from release_tool.core.server_address import address_problem, is_in_clear
from release_tool.errors import UsageError

SETTINGS_FILE = "release-tool.toml"
TARGET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
"""Part of the names of GitHub's environments and of the roles behind them."""
SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
"""What Secrets Manager takes for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place that releases may go to."""

    name: str
    to: str
    """Address of the bucket: ``s3://bucket/prefix`` or ``file:///folder``."""
    serves: bool = True
    """Whether people are served from there: only then is Jenkins asked, and only then are records kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jenkins:
    """Who serves what was released."""

    server: str
    """Address without a final slash: https, or http where it stays on this machine."""
    job: str = DEFAULT_JOB
    secret: str | None = None
    """Name of the secret in Secrets Manager; null where the credentials come from the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the file says."""

    targets: tuple[Target, ...] = ()
    """Sorted by name."""
    jenkins: Jenkins | None = None
    """Null where nobody is told of a release."""
    quality: QualitySettings = field(default_factory=QualitySettings)
    clusters: tuple[ClusterAddress, ...] = ()
    """Sorted by name."""

    def target(self, name: str) -> Target | None:
        """Return the target of a name; null where there is none."""
        return next((target for target in self.targets if target.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the targets."""
        return tuple(target.name for target in self.targets)


def parse_settings(data: bytes | None) -> Settings:
    """Return the settings; none where there is no file.

    Raises:
        UsageError: the file is no TOML, or says what is not known here.
    """
    if data is None:
        return Settings()
    try:
        found = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(f"is no TOML: {error}") from error
    _known(found, ("targets", "jenkins", "quality", "clusters"), "")
    targets = found.get("targets", {})
    if not isinstance(targets, dict):
        raise _wrong("has something else than tables under targets")
    return Settings(
        targets=tuple(_target(name, targets[name]) for name in sorted(targets)),
        jenkins=_jenkins(found["jenkins"]) if "jenkins" in found else None,
        quality=parse_quality(found.get("quality", {}), _wrong),
        clusters=parse_clusters(found.get("clusters", {}), _wrong),
    )


def _target(name: str, found: Any) -> Target:
    where = f"targets.{name}"[:80]
    if not TARGET_NAME.fullmatch(name):
        raise _wrong(f"names a target {name[:80]!r}: lower-case letters, digits and '-', at most 32")
    if not isinstance(found, dict):
        raise _wrong(f"has no table at {where}")
    _known(found, ("to", "serves"), f"{where}.")
    to = found.get("to")
    if not isinstance(to, str) or not to.startswith(("s3://", "file:///")):
        raise _wrong(f"has no address at {where}.to: s3://bucket/prefix")
    serves = found.get("serves", True)
    if not isinstance(serves, bool):
        raise _wrong(f"has neither true nor false at {where}.serves")
    return Target(name=name, to=to.rstrip("/"), serves=serves)


def _jenkins(found: Any) -> Jenkins:
    if not isinstance(found, dict):
        raise _wrong("has no table at jenkins")
    _known(found, ("server", "job", "secret"), "jenkins.")
    server, job, secret = found.get("server"), found.get("job", DEFAULT_JOB), found.get("secret")
    if not isinstance(server, str):
        raise _wrong("has no address of Jenkins at jenkins.server, such as https://ci.example.org")
    problem = address_problem(server)
    if problem:
        raise _wrong(f"has no address of Jenkins at jenkins.server: {problem}")
    if is_in_clear(server):
        raise _wrong("would send credentials in the clear: jenkins.server must be https://")
    if not isinstance(job, str) or not JOB_NAME.fullmatch(job):
        raise _wrong(f"has no full name of a job at jenkins.job, such as {DEFAULT_JOB} or folder/job")
    if secret is not None and not (isinstance(secret, str) and SECRET_NAME.fullmatch(secret)):
        raise _wrong("has no name of a secret of Secrets Manager at jenkins.secret, such as releases/jenkins")
    return Jenkins(server=server.rstrip("/"), job=job, secret=secret)


def _known(found: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in names:
            raise _wrong(f"says {where}{key[:80]}, which means nothing: {closest(key, names)}")


def _wrong(problem: str) -> UsageError:
    return UsageError(f"{SETTINGS_FILE} {problem}.", hint=f"Correct {SETTINGS_FILE} of the repository.")
