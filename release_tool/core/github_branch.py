"""Judge what protects a branch on GitHub: rulesets, classic protection, and who may pass them by.

Shapes are those of GitHub's REST documentation ("Rules", "Protected branches"). A ruleset and the classic protection
add up; a protection that somebody may bypass protects against everybody else only, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.environments import BRANCH, REQUIRED_CHECK
from release_tool.core.github_findings import Finding, Seen, Unseen, field, judged, objects, unseen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REVIEW = "a pull request with an approval"
OWNERS = "an approval of a code owner"
FRESH = "approvals end with a new push"
LAST = "an approval by another than who pushed last"
CHECK = f"the check {REQUIRED_CHECK!r}"
FORCE = "no forced push"
KEPT = "no deletion"
WANTED = (REVIEW, OWNERS, FRESH, LAST, CHECK, FORCE, KEPT)
HINTS = {
    REVIEW: "Require a pull request before merging, with at least one approval.",
    OWNERS: "Require review from Code Owners: .github/CODEOWNERS names who decides on rights.",
    FRESH: "Dismiss stale pull request approvals when new commits are pushed.",
    LAST: "Require approval of the most recent reviewable push.",
    CHECK: f"Require status checks to pass, and there {REQUIRED_CHECK!r}, the last job of ci.yml.",
    FORCE: "Block force pushes.",
    KEPT: "Restrict deletions.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchRules:
    """GitHub's answers about one branch; each is JSON, null for "not there", or Unseen."""

    rules: Any
    """Active rules of rulesets, those of the organisation included."""
    rulesets: Mapping[int, Any]
    """Id of a ruleset that these rules are of → the ruleset."""
    classic: Any
    """The classic protection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One ruleset, or the classic protection."""

    name: str
    holds: frozenset[str]
    bypass: tuple[str, ...] | None
    """Who may pass it by; null where the token may not see that."""


def branch_findings(seen: BranchRules) -> Iterator[Finding]:
    """Yield what is known of each thing that must be demanded of whoever changes the branch."""
    guards = [*_rulesets(seen), *_classic(seen)]
    hidden = next((part for part in (seen.rules, seen.classic) if isinstance(part, Unseen)), None)
    for wanted in WANTED:
        name = f"{BRANCH}: {wanted}"
        holding = [guard for guard in guards if wanted in guard.holds]
        if not holding:
            yield unseen(name, hidden) if hidden else judged(name, good=False, found="not demanded", hint=HINTS[wanted])
        else:
            yield _held(name, holding)


def _held(name: str, holding: list[Guard]) -> Finding:
    firm = next((guard for guard in holding if guard.bypass == ()), None)
    if firm is not None:
        return Finding(name=name, level=Seen.OK, found=f"demanded by {firm.name}")
    dark = next((guard for guard in holding if guard.bypass is None), None)
    if dark is not None:
        return unseen(name, Unseen(f"demanded by {dark.name}, and who may bypass it is not shown"))
    loose = holding[0]
    found = f"demanded by {loose.name}, but not of {', '.join(loose.bypass or ())}"
    return judged(name, good=False, found=found, hint="Empty the bypass list; administrators included.")


def _rulesets(seen: BranchRules) -> Iterator[Guard]:
    by_id: dict[Any, set[str]] = {}
    for rule in objects(seen.rules):
        by_id.setdefault(rule.get("ruleset_id"), set()).update(_of_rule(rule))
    for number, holds in by_id.items():
        data = seen.rulesets.get(number)
        actors = field(data, "bypass_actors")
        bypass = None
        if isinstance(actors, list):
            bypass = tuple(f"{one.get('actor_type')} {one.get('actor_id')}" for one in objects(actors))
        name = field(data, "name")
        shown = f"the ruleset {name}" if isinstance(name, str) else f"the ruleset {number}"
        yield Guard(name=shown, holds=frozenset(holds), bypass=bypass)


def _of_rule(rule: dict[str, Any]) -> Iterator[str]:
    told = rule.get("parameters")
    match rule.get("type"):
        case "pull_request":
            if _count(field(told, "required_approving_review_count")):
                yield REVIEW
            if field(told, "require_code_owner_review") is True:
                yield OWNERS
            if field(told, "dismiss_stale_reviews_on_push") is True:
                yield FRESH
            if field(told, "require_last_push_approval") is True:
                yield LAST
        case "required_status_checks":
            checks = objects(field(told, "required_status_checks"))
            if REQUIRED_CHECK in [check.get("context") for check in checks]:
                yield CHECK
        case "non_fast_forward":
            yield FORCE
        case "deletion":
            yield KEPT
        case _:
            pass


def _classic(seen: BranchRules) -> Iterator[Guard]:
    data = seen.classic
    if not isinstance(data, dict):
        return
    reviews = data.get("required_pull_request_reviews")
    holds: set[str] = set()
    if _count(field(reviews, "required_approving_review_count")):
        holds.add(REVIEW)
    if field(reviews, "require_code_owner_reviews") is True:
        holds.add(OWNERS)
    if field(reviews, "dismiss_stale_reviews") is True:
        holds.add(FRESH)
    if field(reviews, "require_last_push_approval") is True:
        holds.add(LAST)
    checks = data.get("required_status_checks")
    contexts = field(checks, "contexts")
    named = [check.get("context") for check in objects(field(checks, "checks"))]
    if REQUIRED_CHECK in [*named, *(contexts if isinstance(contexts, list) else ())]:
        holds.add(CHECK)
    if field(data, "allow_force_pushes", "enabled") is False:
        holds.add(FORCE)
    if field(data, "allow_deletions", "enabled") is False:
        holds.add(KEPT)
    yield Guard(name="the classic protection", holds=frozenset(holds), bypass=_past_classic(data, reviews))


def _past_classic(data: dict[str, Any], reviews: Any) -> tuple[str, ...]:
    allowed = field(reviews, "bypass_pull_request_allowances")
    named = [
        str(field(one, "login") or field(one, "slug"))
        for kind in ("users", "teams", "apps")
        for one in objects(field(allowed, kind))
    ]
    return (*(() if field(data, "enforce_admins", "enabled") is True else ("administrators",)), *named)


def _count(value: Any) -> bool:
    return isinstance(value, int) and value > 0
