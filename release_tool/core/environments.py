"""The environments on GitHub that the workflows run in: what each is for, what it grants, and who must agree.

An environment is where GitHub decides: a job in it waits for its reviewers, and only then gets its secrets and a token
with its name, which is all that the roles in AWS trust. So nothing grants a right but an environment, and the two gates
grant nothing. Pure: the workflows' tests, the settings' doctor and the guide all mean these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BRANCH = "main"
"""The only branch from which anything is released."""
REQUIRED_CHECK = "Required checks"
"""Name of the job of ci.yml that waits for all the others."""
ROLE_VARIABLE = "AWS_ROLE"
"""Variable of an environment: ARN of the role that it may become."""
REGION_VARIABLE = "AWS_REGION"
"""Variable of an environment, or of the repository for all of them: where bucket and secret lie."""


class Purpose(StrEnum):
    """What an environment is for; also its name, or what its name begins with."""

    HUB_READ = "hub-read"
    BUCKET_READ = "bucket-read"
    GATE = "release-gate"
    SECOND_GATE = "release-gate-second"
    PUBLISH = "publish"
    OVERWRITE = "overwrite"
    JENKINS = "jenkins"
    LISTING = "listing"
    TUNING_QUERIES = "tuning-queries"
    TUNING_GPU = "tuning-gpu"
    TUNING_RELEASE = "tuning-release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What holds for every environment of one purpose."""

    why: str
    by_target: bool = False
    """Whether each target has one of its own."""
    role: bool = False
    """Whether it has a role in AWS."""
    secret: bool = False
    """Whether it may hold a secret of GitHub."""
    reviewed: bool = False
    """Whether people must agree before a job in it starts."""
    optional: bool = False
    """Whether the workflows do without it: GitHub makes it, empty, when a job first names it."""

    @property
    def grants(self) -> bool:
        """Whether a job in it gets a right that it would not have elsewhere."""
        return self.role or self.secret


TRAITS = {
    Purpose.HUB_READ: Traits(why="reads gated models: the secret HF_TOKEN", secret=True, optional=True),
    Purpose.BUCKET_READ: Traits(why="looks whether a version is taken", by_target=True, role=True),
    Purpose.GATE: Traits(why="a release is approved here; grants nothing", reviewed=True),
    Purpose.SECOND_GATE: Traits(why="a second approval; grants nothing", reviewed=True, optional=True),
    Purpose.PUBLISH: Traits(why="publishes what is new", by_target=True, role=True, reviewed=True),
    Purpose.OVERWRITE: Traits(why="publishes over what is released", by_target=True, role=True, reviewed=True),
    Purpose.JENKINS: Traits(why="reads the credentials for Jenkins", role=True),
    Purpose.LISTING: Traits(why="writes the two listings and starts Jenkins for them", by_target=True, role=True),
    Purpose.TUNING_QUERIES: Traits(
        why="pays for queries when a model is tuned: the secret OPENAI_API_KEY", secret=True, optional=True
    ),
    Purpose.TUNING_GPU: Traits(
        why="a machine of one's own may start to train; grants nothing", reviewed=True, optional=True
    ),
    Purpose.TUNING_RELEASE: Traits(
        why="the release of a tuned model may be started; grants nothing", reviewed=True, optional=True
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment."""

    name: str
    purpose: Purpose
    target: str | None
    """Null where it is the same for all of them."""

    @property
    def traits(self) -> Traits:
        """What holds for its purpose."""
        return TRAITS[self.purpose]


def environment_name(purpose: Purpose, target: str | None = None) -> str:
    """Return the name of the environment for a purpose, and for a target where each has its own."""
    return f"{purpose}-{target}" if TRAITS[purpose].by_target and target is not None else str(purpose)


def environments(targets: Iterable[str]) -> tuple[Environment, ...]:
    """Return every environment of a repository with these targets, in the order in which a release meets them."""
    names = tuple(targets)
    return tuple(
        Environment(name=environment_name(purpose, target), purpose=purpose, target=target)
        for purpose, traits in TRAITS.items()
        for target in (names if traits.by_target else (None,))
    )
