"""Ask GitHub for a repository's settings; what the token may not see is kept as that.

Nothing is changed. A 401 ends it: a token that is none sees nothing at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.environments import BRANCH, environments
from release_tool.core.github_branch import BranchRules
from release_tool.core.github_findings import Unseen, field, objects
from release_tool.core.github_settings import EnvironmentSeen, SettingsSeen
from release_tool.errors import Refused
from release_tool.services.github import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from release_tool.services.github import GitHub

FORBIDDEN = 403
NOT_SHOWN = "GitHub shows nothing there (404)"


def look(client: GitHub, repository: str, targets: Iterable[str]) -> SettingsSeen:
    """Return GitHub's answers about everything that ``core.github_settings.findings`` judges.

    Args:
        client: of GitHub's API.
        repository: ``owner/name``.
        targets: the names of release-tool.toml.

    Raises:
        RemoteFailed: there is no such repository, the token is none, or it is not GitHub's API that answers.
        Unreachable: no answer, or a rate limit that does not end soon.
    """
    base = f"repos/{repository}"
    found = client.get(base)
    if found is None:
        raise Refused(
            f"There is no repository {repository}, or the token may not see it.",
            hint="Check --repository and the token.",
            status=404,
        )
    return SettingsSeen(
        repository=found,
        variables=_counted(client, f"{base}/actions/variables", "variables"),
        secrets=_counted(client, f"{base}/actions/secrets", "secrets"),
        organisation_secrets=_shared(client, base, found),
        environments=_environments(client, base, targets),
        branch=_branch(client, base, administrator=field(found, "permissions", "admin") is True),
        workflow=_shown(lambda: client.get(f"{base}/actions/permissions/workflow")),
        subject=_shown(lambda: client.get(f"{base}/actions/oidc/customization/sub")),
    )


def _shared(client: GitHub, base: str, repository: Any) -> Any:
    """Return the organisation's secrets that this repository has; none where a person owns it."""
    if field(repository, "owner", "type") == "User":
        return []
    return _counted(client, f"{base}/actions/organization-secrets", "secrets")


def _environments(client: GitHub, base: str, targets: Iterable[str]) -> dict[str, EnvironmentSeen]:
    # With none at all GitHub answers with an empty list.
    listed = _listed(client, f"{base}/environments", "environments")
    there = {item.get("name"): item for item in objects(listed)}
    found = {}
    for environment in environments(targets):
        data = listed if isinstance(listed, Unseen) else there.get(environment.name)
        branches = variables = None
        if isinstance(data, dict):
            own = f"{base}/environments/{quoted(environment.name)}"
            if field(data, "deployment_branch_policy", "custom_branch_policies") is True:
                branches = _listed(client, f"{own}/deployment-branch-policies", "branch_policies")
            if environment.traits.role:
                variables = _listed(client, f"{own}/variables", "variables")
        found[environment.name] = EnvironmentSeen(data=data, branches=branches, variables=variables)
    return found


def _branch(client: GitHub, base: str, *, administrator: bool) -> BranchRules:
    rules = _listed(client, f"{base}/rules/branches/{BRANCH}")
    numbers = {rule.get("ruleset_id") for rule in objects(rules)}
    rulesets = {
        number: _shown(_one(client, f"{base}/rulesets/{number}")) for number in numbers if isinstance(number, int)
    }
    classic = _allowed(lambda: client.get(f"{base}/branches/{BRANCH}/protection"))
    if classic is None and not administrator:
        # Where nothing protects the branch, and where the token may not see what does, GitHub answers alike.
        branch = _allowed(lambda: client.get(f"{base}/branches/{BRANCH}"))
        if field(branch, "protected") is not False:
            classic = Unseen(NOT_SHOWN)
    return BranchRules(rules=rules, rulesets=rulesets, classic=classic)


def _listed(client: GitHub, path: str, key: str | None = None) -> Any:
    """Return the objects of a list; Unseen where GitHub forbids or hides it."""
    found = _shown(lambda: client.pages(path, key))
    return found if isinstance(found, Unseen) else list(found)


def _counted(client: GitHub, path: str, key: str) -> Any:
    """Return the same of a list that is best empty: it counts as empty only where GitHub says that there are none."""
    first = _shown(lambda: client.get(path, per_page=1))
    if isinstance(first, Unseen):
        return first
    count, found = field(first, "total_count"), _listed(client, path, key)
    if not isinstance(count, int) or (count and found == []):
        return Unseen("GitHub's answer is no list with a count")
    return found


def _one(client: GitHub, path: str) -> Callable[[], Any]:
    return lambda: client.get(path)


def _allowed(ask: Callable[[], Any]) -> Any:
    """Return an answer; Unseen where GitHub forbids it."""
    try:
        return ask()
    except Refused as error:
        if error.status != FORBIDDEN:
            raise
        return Unseen(f"GitHub forbids it ({error.said or error.status})")


def _shown(ask: Callable[[], Any]) -> Any:
    """Return an answer that is there for everybody who may see it; Unseen where GitHub forbids or hides it."""
    found = _allowed(ask)
    return Unseen(NOT_SHOWN) if found is None else found
