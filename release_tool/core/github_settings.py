"""Judge a repository's settings on GitHub: what keeps a release from being published unapproved.

Shapes are those of GitHub's REST documentation ("Deployment environments", "Deployment branch policies", "Actions
variables", "Actions secrets", "Actions permissions", "Actions OIDC"). Pure: ``services.github_settings`` asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.environments import (
    BRANCH,
    REGION_VARIABLE,
    ROLE_VARIABLE,
    Environment,
    Purpose,
    environments,
)
from release_tool.core.escape import one_line
from release_tool.core.github_branch import branch_findings
from release_tool.core.github_findings import Finding, Seen, Unseen, field, judged, objects, unseen
from release_tool.core.github_shared import shared_findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from release_tool.core.github_branch import BranchRules
    from release_tool.core.settings import Jenkins, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSeen:
    """GitHub's answers about one environment."""

    data: Any
    """The environment; null where there is none, Unseen where the token may not see it."""
    branches: Any
    """Its deployment branch policies."""
    variables: Any
    """Its variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSeen:
    """GitHub's answers about one repository; each is JSON, null for "not there", or Unseen."""

    repository: Any
    variables: Any
    """Of the repository."""
    secrets: Any
    """Of the repository: their names, GitHub gives out no more."""
    organisation_secrets: Any
    """The same of the organisation, as far as this repository has them; empty where a person owns it."""
    environments: Mapping[str, EnvironmentSeen]
    branch: BranchRules
    workflow: Any
    """Default permissions of workflows."""
    subject: Any
    """Customisation of the subject of tokens."""


def findings(seen: SettingsSeen, settings: Settings) -> tuple[Finding, ...]:
    """Return what is known of every setting that a release depends on, in the order in which it meets them.

    Args:
        seen: GitHub's answers.
        settings: release-tool.toml.
    """
    needed = environments(settings.names)
    found: list[Finding] = [*_repository(seen), _subject(seen)]
    found += shared_findings(seen.secrets, seen.organisation_secrets, seen.variables)
    for environment in needed:
        unused = environment.purpose is Purpose.JENKINS and settings.jenkins is None
        found += _environment(environment, seen.environments[environment.name], seen.variables, unused=unused)
    if not any(environment.target for environment in needed):
        hint = "Name each place that releases may go to in release-tool.toml."
        found.append(Finding(name="targets", level=Seen.MISSING, found="release-tool.toml names none", hint=hint))
    found += [*_two_people(seen), _jenkins(settings.jenkins)]
    found += branch_findings(seen.branch)
    # Names of rulesets and people are GitHub's text, not ours.
    return tuple(replace(one, found=one_line(one.found)) for one in found)


def _repository(seen: SettingsSeen) -> Iterator[Finding]:
    default = field(seen.repository, "default_branch")
    yield judged(
        "default branch",
        good=default == BRANCH,
        found=str(default),
        hint=f"Call it {BRANCH}: the form is taken from the default branch, and only {BRANCH} may deploy.",
    )
    if isinstance(seen.workflow, Unseen):
        yield unseen("default rights of workflows", seen.workflow)
        return
    rights = field(seen.workflow, "default_workflow_permissions")
    yield judged(
        "default rights of workflows",
        good=rights == "read",
        found=str(rights),
        hint="Settings, Actions, General, Workflow permissions: Read repository contents and packages permissions.",
    )
    proposes = field(seen.workflow, "can_approve_pull_request_reviews") is True
    yield judged(
        "workflows may open pull requests",
        good=proposes,
        found="yes" if proposes else "no",
        hint="Settings, Actions, General: Allow GitHub Actions to create and approve pull requests; propose needs it."
        " An approval by a workflow is none of a code owner.",
    )


def _subject(seen: SettingsSeen) -> Finding:
    name = "subject of tokens"
    if isinstance(seen.subject, Unseen):
        return unseen(name, seen.subject)
    keys = field(seen.subject, "include_claim_keys")
    if field(seen.subject, "use_default") is not True and keys != ["repo", "context"]:
        hint = (
            "Use the default: gh api --method PUT repos/OWNER/NAME/actions/oidc/customization/sub -F use_default=true"
        )
        return judged(name, good=False, found="customised: the roles' trust does not fit it", hint=hint)
    return judged(name, good=True, found=subject_prefix(seen.repository, seen.subject), hint="")


def subject_prefix(repository: Any, subject: Any) -> str:
    """Return how tokens name the repository, which is the parameter Subject of templates/aws.

    Repositories made since July 2026 have the numbers of owner and repository in it, so that nobody who gets a name
    that was given up gets its rights.
    """
    stated = field(subject, "sub_claim_prefix")
    if isinstance(stated, str) and stated.startswith("repo:"):
        return stated
    owner, _, name = str(field(repository, "full_name")).partition("/")
    if field(subject, "use_immutable_subject") is True:
        return f"repo:{owner}@{field(repository, 'owner', 'id')}/{name}@{field(repository, 'id')}"
    return f"repo:{owner}/{name}"


def _environment(environment: Environment, seen: EnvironmentSeen, shared: Any, *, unused: bool) -> Iterator[Finding]:
    name, traits = environment.name, environment.traits
    if isinstance(seen.data, Unseen):
        yield unseen(name, seen.data)
        return
    if seen.data is None:
        level = Seen.NOTE if traits.optional or unused else Seen.MISSING
        hint = f"Make it, see docs/set-up.md: it {traits.why}."
        if environment.purpose is Purpose.SECOND_GATE:
            hint = "Without it one approval is enough; where two are wanted, make it with reviewers of its own."
        elif traits.optional:
            hint = f"Make it where it is needed: it {traits.why}."
        yield Finding(name=name, level=level, found="not there", hint=hint)
        return
    yield _branches(environment, seen)
    if traits.reviewed:
        yield from _review(environment, seen.data)
    if traits.role:
        yield _role(environment, seen.variables)
        yield _region(environment, seen.variables, shared)


def _branches(environment: Environment, seen: EnvironmentSeen) -> Finding:
    name = f"{environment.name}: branches"
    hint = f"Selected branches and tags, and there only the branch {BRANCH}."
    policy = field(seen.data, "deployment_branch_policy")
    if policy is None:
        return judged(name, good=False, found="any branch deploys", hint=hint)
    if field(policy, "custom_branch_policies") is not True:
        return judged(name, good=False, found="any protected branch deploys", hint=hint)
    if isinstance(seen.branches, Unseen):
        return unseen(name, seen.branches)
    patterns = [(item.get("type") or "branch", item.get("name")) for item in objects(seen.branches)]
    found = ", ".join(f"{kind} {pattern}" for kind, pattern in patterns) or "none"
    return judged(name, good=patterns == [("branch", BRANCH)], found=found, hint=hint)


def _review(environment: Environment, data: Any) -> Iterator[Finding]:
    rule = _reviewers_rule(data)
    who = _reviewers(data)
    yield judged(
        f"{environment.name}: reviewers",
        good=bool(who),
        found=", ".join(who) or "none",
        hint="Required reviewers: at least one team or person.",
    )
    yield judged(
        f"{environment.name}: self-review",
        good=field(rule, "prevent_self_review") is True,
        found="prevented" if field(rule, "prevent_self_review") is True else "allowed",
        hint="Prevent self-review: who starts a release must not approve it.",
    )
    bypass = field(data, "can_admins_bypass")
    name = f"{environment.name}: administrators"
    if not isinstance(bypass, bool):
        yield unseen(name, Unseen("GitHub's answer does not say whether they may bypass the rules"))
        return
    yield judged(
        name,
        good=not bypass,
        found="may bypass the rules" if bypass else "are held to the rules",
        hint="Take away: Allow administrators to bypass configured protection rules.",
    )


def _reviewers_rule(data: Any) -> Any:
    rules = objects(field(data, "protection_rules"))
    return next((rule for rule in rules if rule.get("type") == "required_reviewers"), None)


def _reviewers(data: Any) -> tuple[str, ...]:
    listed = objects(field(_reviewers_rule(data), "reviewers"))
    return tuple(
        f"{one.get('type')} {field(one, 'reviewer', 'login') or field(one, 'reviewer', 'slug')}" for one in listed
    )


def _role(environment: Environment, variables: Any) -> Finding:
    name = f"{environment.name}: {ROLE_VARIABLE}"
    if isinstance(variables, Unseen):
        return unseen(name, variables)
    value = _value(variables, ROLE_VARIABLE)
    hint = f"Set the variable {ROLE_VARIABLE} of the environment to the ARN of its role, an output of templates/aws."
    return judged(name, good=value.startswith("arn:") and ":role/" in value, found=value or "not set", hint=hint)


def _region(environment: Environment, own: Any, shared: Any) -> Finding:
    name = f"{environment.name}: {REGION_VARIABLE}"
    value = _value(own, REGION_VARIABLE) or _value(shared, REGION_VARIABLE)
    hidden = next((part for part in (own, shared) if isinstance(part, Unseen)), None)
    if not value and hidden:
        return unseen(name, hidden)
    hint = f"Set the variable {REGION_VARIABLE} of the environment, or of the repository, such as us-east-1."
    return judged(name, good=bool(value), found=value or "not set", hint=hint)


def _jenkins(jenkins: Jenkins | None) -> Finding:
    """Say who is asked to serve a release; in a workflow there are no credentials but those of the secret."""
    name = "who serves"
    if jenkins is None:
        hint = "Nobody is notified of a release; where Jenkins serves them, name it in release-tool.toml."
        return Finding(name=name, level=Seen.NOTE, found="release-tool.toml names no Jenkins", hint=hint)
    hint = "Name the secret of Secrets Manager under [jenkins] in release-tool.toml: a job has no other credentials."
    found = f"{jenkins.job} at {jenkins.server}"
    return judged(
        name, good=jenkins.secret is not None, found=found if jenkins.secret else f"{found}, no secret", hint=hint
    )


def _value(variables: Any, name: str) -> str:
    """Return the value of a variable; empty where it is not set."""
    found = next((item.get("value") for item in objects(variables) if item.get("name") == name), None)
    return found if isinstance(found, str) else ""


def _two_people(seen: SettingsSeen) -> Iterator[Finding]:
    """Say where one person may pass both gates: GitHub lets the same one approve in each."""
    gates = [_reviewers(seen.environments[str(purpose)].data) for purpose in (Purpose.GATE, Purpose.SECOND_GATE)]
    both = sorted(set(gates[0]) & set(gates[1]))
    if both:
        hint = "GitHub does not ask for two different people: give the two gates reviewers that have nobody in common."
        yield Finding(name="two approvals", level=Seen.NOTE, found=f"{', '.join(both)} may give both", hint=hint)
