"""Judge what every job of every branch gets: secrets and variables that are not an environment's.

Whoever can push a branch can write a workflow that reads them. Shapes are those of GitHub's REST documentation
("Actions secrets", "Actions variables"); of a secret it gives out the name alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from release_tool.core.environments import ROLE_VARIABLE
from release_tool.core.github_findings import Finding, Seen, Unseen, judged, objects, unseen

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = "secrets of the repository"
ORGANISATION = "secrets of the organisation"
VARIABLES = "variables of the repository"
_CREDENTIAL = re.compile(r"(?:^|_)(?:TOKEN|PASSWORD|CREDENTIALS?|(?:API|ACCESS|PRIVATE|SECRET)_?KEY)(?:_|$)")
"""Names that say that a variable, which anybody with read access sees, holds a credential."""


def shared_findings(secrets: Any, organisation: Any, variables: Any) -> Iterator[Finding]:
    """Yield what is known of them; each argument is a list of GitHub's, or Unseen.

    A secret of the repository may hold any credential, so one is too many. What an organisation shares is not the
    repository's to take away, and only said.
    """
    if isinstance(secrets, Unseen):
        yield unseen(SECRETS, secrets)
    else:
        names = _names(secrets)
        hint = "Any job of any branch reads them: move each into the environment that needs it, see docs/set-up.md."
        yield judged(SECRETS, good=not names, found=", ".join(names) or "none", hint=hint)
    if isinstance(organisation, Unseen):
        yield unseen(ORGANISATION, organisation)
    elif names := _names(organisation):
        hint = "Any job of any branch reads them: none may open a bucket, a role or Jenkins."
        yield Finding(name=ORGANISATION, level=Seen.NOTE, found=", ".join(names), hint=hint)
    if isinstance(variables, Unseen):
        yield unseen(VARIABLES, variables)
    else:
        wrong = [name for name in _names(variables) if name == ROLE_VARIABLE or _CREDENTIAL.search(name)]
        hint = f"A role belongs into its environment ({ROLE_VARIABLE}), a credential into a secret of one."
        yield judged(VARIABLES, good=not wrong, found=", ".join(wrong) or "neither a role nor a credential", hint=hint)


def _names(listed: Any) -> tuple[str, ...]:
    return tuple(str(item.get("name")).upper() for item in objects(listed))
