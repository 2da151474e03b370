"""``release-tool doctor --github``: a gate that is missing is found, and what can't be seen is never called fine.

The answers have the shape of GitHub's REST documentation; GitHub itself is not asked.
"""

from __future__ import annotations

import json

import pytest
from github_double.server import TOKEN, GitHubDouble

from release_tool.cli import run
from release_tool.core.environments import Purpose, environment_name, environments
from release_tool.core.github_branch import CHECK, FORCE, FRESH, KEPT, LAST, OWNERS, REVIEW
from release_tool.core.github_settings import subject_prefix
from release_tool.core.github_shared import ORGANISATION, SECRETS, VARIABLES

REPOSITORY = "octo-org/models"
TARGETS = ("production", "staging")
NEEDED = environments(TARGETS)
RULESET = 42
ROLE = "arn:aws:iam::123456789012:role/releases"
JENKINS = '[jenkins]\nserver = "https://ci.example.org"\n'
FORBIDDEN = {"message": "Resource not accessible by personal access token", "status": "403"}


class NoGit:
    """Settings are looked at, no file of the repository."""

    @staticmethod
    def close():
        pass


def environment(one):
    """Return an environment as the API shows it, set up as it must be."""
    rules = [{"id": 1, "node_id": "N1", "type": "branch_policy"}]
    if one.traits.reviewed:
        team = {"type": "Team", "reviewer": {"id": 7, "slug": f"approvers-of-{one.name}", "name": "Approvers"}}
        rules.append({"id": 2, "type": "required_reviewers", "prevent_self_review": True, "reviewers": [team]})
    return {
        "id": 161088068,
        "name": one.name,
        "can_admins_bypass": False,
        "protection_rules": rules,
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    }


def rule(kind, **parameters):
    told = {"parameters": parameters} if parameters else {}
    return {"type": kind, "ruleset_source_type": "Repository", "ruleset_id": RULESET, **told}


def variables(**values):
    """Return variables as the API lists them."""
    return [{"name": name, "value": value} for name, value in values.items()]


def well_set_up():
    """Return path → answer of a repository that lacks nothing."""
    found = {
        "": {"id": 456, "owner": {"login": "octo-org", "id": 123}, "permissions": {"admin": True}},
        "actions/permissions/workflow": {
            "default_workflow_permissions": "read",
            "can_approve_pull_request_reviews": True,
        },
        "actions/variables": {
            "total_count": 1,
            "variables": variables(GREETING="hello"),
        },
        "actions/secrets": {"total_count": 0, "secrets": []},
        "actions/organization-secrets": {"total_count": 0, "secrets": []},
        "actions/oidc/customization/sub": {
            "use_default": True,
            "use_immutable_subject": True,
            "sub_claim_prefix": "repo:octo-org@123/models@456",
        },
        "environments": {"total_count": len(NEEDED), "environments": [environment(one) for one in NEEDED]},
        "branches/main": {"name": "main", "protected": True},
        "rules/branches/main": [
            rule("deletion"),
            rule("non_fast_forward"),
            rule(
                "pull_request",
                required_approving_review_count=1,
                require_code_owner_review=True,
                dismiss_stale_reviews_on_push=True,
                require_last_push_approval=True,
            ),
            rule(
                "required_status_checks",
                required_status_checks=[{"context": "Required checks", "integration_id": 15368}],
            ),
        ],
        f"rulesets/{RULESET}": {"id": RULESET, "name": "main", "enforcement": "active", "bypass_actors": []},
    }
    for one in NEEDED:
        own = f"environments/{one.name}"
        found[f"{own}/deployment-branch-policies"] = {
            "total_count": 1,
            "branch_policies": [{"id": 3, "name": "main", "type": "branch"}],
        }
        found[f"{own}/variables"] = {"total_count": 2, "variables": variables(AWS_ROLE=ROLE, AWS_REGION="us-east-1")}
    return found


@pytest.fixture
def api(monkeypatch, tmp_path):
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    targets = "".join(f'[targets.{name}]\nto = "s3://bucket-of-{name}"\n' for name in TARGETS)
    (tmp_path / "release-tool.toml").write_text(f'{targets}{JENKINS}secret = "releases/jenkins"\n')
    with GitHubDouble(NoGit, REPOSITORY) as server:
        server.answers = well_set_up()
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        assert server.writes == []


@pytest.fixture
def look(api, tmp_path, capsys):
    """Return a function that runs the command: exit code, name → (level, what was found), what went to stderr."""

    def looked(*more):
        code = run(["--repo", str(tmp_path), "doctor", "--github", "--json", *more])
        out, err = capsys.readouterr()
        checks = json.loads(out)["checks"] if out else []
        return code, {one["name"]: (one["level"], one["found"]) for one in checks}, err

    return looked


def of(api, name):
    return next(one for one in api.answers["environments"]["environments"] if one["name"] == name)


def reviewers_of(one):
    return next(rule for rule in one["protection_rules"] if rule["type"] == "required_reviewers")


def not_ok(found):
    return {name: level for name, (level, _) in found.items() if level != "ok"}


def test_a_repository_that_lacks_nothing_is_ready(look, api):
    code, found, _ = look()
    assert not_ok(found) == {}
    assert code == 0
    assert found["subject of tokens"] == ("ok", "repo:octo-org@123/models@456")
    names = {name.partition(":")[0] for name in found}
    assert {one.name for one in NEEDED} <= names
    assert found["publish-production: reviewers"] == ("ok", "Team approvers-of-publish-production")
    assert found[f"main: {REVIEW}"] == ("ok", "demanded by the ruleset main")


def test_a_person_reads_a_table_with_what_to_do(look, api, tmp_path, capsys):
    of(api, "release-gate")["can_admins_bypass"] = True
    assert run(["--repo", str(tmp_path), "doctor", "--github"]) == 12
    out, err = capsys.readouterr()
    assert "MISSING release-gate: administrators" in out
    assert "-> Take away: Allow administrators to bypass" in out
    assert "ok      release-gate: reviewers" in out
    assert "release-gate: administrators" in err
    assert TOKEN not in out + err


@pytest.mark.parametrize("one", NEEDED, ids=lambda one: one.name)
def test_an_environment_that_is_not_there_is_found(look, api, one):
    listed = api.answers["environments"]["environments"]
    listed.remove(of(api, one.name))
    code, found, _ = look()
    level = "note" if one.purpose in OPTIONAL else "missing"
    assert found[one.name] == (level, "not there")
    assert not_ok(found) == {one.name: level}
    assert code == (0 if level == "note" else 12)


@pytest.mark.parametrize("one", NEEDED, ids=lambda one: one.name)
def test_an_environment_that_other_branches_deploy_to_is_found(look, api, one):
    for policy in (None, {"protected_branches": True, "custom_branch_policies": False}):
        of(api, one.name)["deployment_branch_policy"] = policy
        code, found, _ = look()
        assert (code, not_ok(found)) == (12, {f"{one.name}: branches": "missing"})


@pytest.mark.parametrize(
    "patterns",
    [
        [],
        [{"name": "release/*", "type": "branch"}],
        [{"name": "main", "type": "tag"}],
        [{"name": "main", "type": "branch"}, {"name": "v*", "type": "tag"}],
        [{"name": "main*", "type": "branch"}],
    ],
)
def test_a_pattern_beside_main_is_found(look, api, patterns):
    api.answers["environments/publish-staging/deployment-branch-policies"]["branch_policies"] = patterns
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {"publish-staging: branches": "missing"})


OPTIONAL = {Purpose.HUB_READ, Purpose.SECOND_GATE, Purpose.TUNING_QUERIES, Purpose.TUNING_GPU, Purpose.TUNING_RELEASE}
REVIEWED = [one.name for one in NEEDED if one.traits.reviewed]


def test_gates_and_what_publishes_are_reviewed():
    wanted = {"release-gate", "release-gate-second", "tuning-gpu", "tuning-release"}
    wanted |= {environment_name(one, target) for one in (Purpose.PUBLISH, Purpose.OVERWRITE) for target in TARGETS}
    assert set(REVIEWED) == wanted


@pytest.mark.parametrize("name", REVIEWED)
def test_an_environment_without_reviewers_is_found(look, api, name):
    own = of(api, name)
    reviewers_of(own)["reviewers"] = []
    assert not_ok(look()[1]) == {f"{name}: reviewers": "missing"}
    own["protection_rules"].remove(reviewers_of(own))
    code, found, _ = look()
    assert code == 12
    assert not_ok(found) == {f"{name}: reviewers": "missing", f"{name}: self-review": "missing"}


@pytest.mark.parametrize("name", REVIEWED)
@pytest.mark.parametrize("value", [False, None])
def test_self_review_is_found(look, api, name, value):
    reviewers_of(of(api, name))["prevent_self_review"] = value
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {f"{name}: self-review": "missing"})


@pytest.mark.parametrize("name", REVIEWED)
def test_administrators_who_may_bypass_are_found(look, api, name):
    of(api, name)["can_admins_bypass"] = True
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {f"{name}: administrators": "missing"})


def test_an_answer_that_does_not_say_whether_they_may_is_not_fine(look, api):
    del of(api, "release-gate")["can_admins_bypass"]
    code, found, _ = look()
    assert (code, not_ok(found)) == (10, {"release-gate: administrators": "unseen"})


@pytest.mark.parametrize("one", [one for one in NEEDED if one.traits.role], ids=lambda one: one.name)
def test_an_environment_without_its_role_is_found(look, api, one):
    own = api.answers[f"environments/{one.name}/variables"]
    for value in (None, "", "publish"):
        own["variables"] = variables(AWS_REGION="us-east-1") + ([] if value is None else variables(AWS_ROLE=value))
        code, found, _ = look()
        assert (code, not_ok(found)) == (12, {f"{one.name}: AWS_ROLE": "missing"})


def test_a_region_is_of_the_environment_or_of_the_repository(look, api):
    api.answers["environments/jenkins/variables"]["variables"] = variables(AWS_ROLE=ROLE)
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {"jenkins: AWS_REGION": "missing"})
    api.answers["actions/variables"]["variables"] += variables(AWS_REGION="eu-west-1")
    code, found, _ = look()
    assert (code, found["jenkins: AWS_REGION"]) == (0, ("ok", "eu-west-1"))


def test_a_secret_that_nobody_named_is_found_where_there_is_a_jenkins(look, api, tmp_path):
    settings = tmp_path / "release-tool.toml"
    assert look()[1]["who serves"] == ("ok", "ml-models-release at https://ci.example.org")
    settings.write_text(settings.read_text().partition("secret =")[0])
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {"who serves": "missing"})


def test_a_repository_does_without_jenkins(look, api, tmp_path):
    settings = tmp_path / "release-tool.toml"
    settings.write_text(settings.read_text().partition(JENKINS)[0])
    api.answers["environments"]["environments"].remove(of(api, "jenkins"))
    code, found, _ = look()
    assert (code, not_ok(found)) == (0, dict.fromkeys(("jenkins", "who serves"), "note"))


# ---------------------------------------------------------------------------------------------------------------------
# What every job gets


def secrets(*names):
    """Return secrets as the API lists them: never a value."""
    at = "2026-11-21T09:00:00Z"
    return {
        "total_count": len(names),
        "secrets": [{"name": name, "created_at": at, "updated_at": at} for name in names],
    }


def test_a_secret_of_the_repository_is_read_by_any_job_of_any_branch(look, api):
    api.answers["actions/secrets"] = secrets("HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {SECRETS: "missing"})
    assert found[SECRETS][1] == "HF_TOKEN, AWS_SECRET_ACCESS_KEY"


def test_a_list_that_is_empty_against_its_count_is_not_fine(look, api):
    api.answers["actions/secrets"] = {"total_count": 1, "secrets": [None]}
    code, found, _ = look()
    assert (code, not_ok(found)) == (10, {SECRETS: "unseen"})


def test_what_the_organisation_shares_is_said(look, api):
    api.answers["actions/organization-secrets"] = secrets("CODECOV_TOKEN")
    code, found, _ = look()
    assert (code, found[ORGANISATION]) == (0, ("note", "CODECOV_TOKEN"))


def test_a_person_s_repository_has_no_organisation_to_ask(look, api):
    del api.answers["actions/organization-secrets"]
    assert not_ok(look()[1]) == {ORGANISATION: "unseen"}
    api.answers[""]["owner"]["type"] = "User"
    code, found, _ = look()
    assert (code, not_ok(found)) == (0, {})


@pytest.mark.parametrize("name", ["AWS_ROLE", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "JENKINS_PASSWORD", "APIKEY"])
def test_a_variable_of_the_repository_holds_no_role_and_no_credential(look, api, name):
    api.answers["actions/variables"]["variables"] += variables(**{name: ROLE})
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {VARIABLES: "missing"})
    assert found[VARIABLES][1] == name


def test_one_who_may_give_both_approvals_is_said(look, api):
    both = [{"type": "User", "reviewer": {"login": "octocat", "id": 1}}]
    for name in ("release-gate", "release-gate-second"):
        reviewers_of(of(api, name))["reviewers"] += both
    code, found, _ = look()
    assert (code, found["two approvals"]) == (0, ("note", "User octocat may give both"))


def test_rights_of_workflows_are_looked_at(look, api):
    api.answers["actions/permissions/workflow"] = {
        "default_workflow_permissions": "write",
        "can_approve_pull_request_reviews": False,
    }
    code, found, _ = look()
    assert code == 12
    assert not_ok(found) == {
        "default rights of workflows": "missing",
        "workflows may open pull requests": "missing",
    }


def test_another_default_branch_is_found(look, api):
    api.default_branch = "trunk"
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {"default branch": "missing"})


def test_a_customised_subject_fits_no_trust(look, api):
    path = "actions/oidc/customization/sub"
    api.answers[path] = {"use_default": False, "include_claim_keys": ["repo", "job_workflow_ref"]}
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {"subject of tokens": "missing"})
    api.answers[path] = {"use_default": False, "include_claim_keys": ["repo", "context"]}
    assert look()[0] == 0


def test_the_subject_is_said_where_github_does_not_spell_it_out():
    repository = {"full_name": "octo-org/models", "id": 456, "owner": {"id": 123}}
    assert subject_prefix(repository, {"use_default": True}) == "repo:octo-org/models"
    assert subject_prefix(repository, {"use_immutable_subject": True}) == "repo:octo-org@123/models@456"


def test_without_targets_nothing_can_be_released(look, api, tmp_path):
    (tmp_path / "release-tool.toml").unlink()
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {"targets": "missing", "who serves": "note"})


# ---------------------------------------------------------------------------------------------------------------------
# The branch


@pytest.mark.parametrize(
    ("kind", "change", "wanted"),
    [
        ("pull_request", {"required_approving_review_count": 0}, REVIEW),
        ("pull_request", {"require_code_owner_review": False}, OWNERS),
        ("pull_request", {"dismiss_stale_reviews_on_push": False}, FRESH),
        ("pull_request", {"require_last_push_approval": False}, LAST),
        ("required_status_checks", {"required_status_checks": [{"context": "Lint"}]}, CHECK),
        ("non_fast_forward", None, FORCE),
        ("deletion", None, KEPT),
    ],
)
def test_what_a_ruleset_does_not_demand_is_found(look, api, kind, change, wanted):
    rules = api.answers["rules/branches/main"]
    own = next(one for one in rules if one["type"] == kind)
    if change is None:
        rules.remove(own)
    else:
        own["parameters"] |= change
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {f"main: {wanted}": "missing"})
    api.answers["branches/main/protection"] = classic()
    code, found, _ = look()
    assert (code, found[f"main: {wanted}"]) == (0, ("ok", "demanded by the classic protection"))


def classic(**over):
    found = {
        "required_status_checks": {"strict": True, "contexts": ["Required checks"], "checks": []},
        "enforce_admins": {"enabled": True},
        "required_pull_request_reviews": {
            "dismiss_stale_reviews": True,
            "require_code_owner_reviews": True,
            "require_last_push_approval": True,
            "required_approving_review_count": 1,
        },
        "allow_force_pushes": {"enabled": False},
        "allow_deletions": {"enabled": False},
    }
    return {**found, **over}


ALL = {f"main: {wanted}" for wanted in (REVIEW, OWNERS, FRESH, LAST, CHECK, FORCE, KEPT)}


def test_the_classic_protection_is_as_good(look, api):
    api.answers["rules/branches/main"] = []
    api.answers["branches/main/protection"] = classic()
    assert look()[0] == 0
    api.answers["branches/main/protection"] = classic(
        required_status_checks={"checks": [{"context": "Required checks", "app_id": 15368}]}
    )
    assert look()[0] == 0


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"required_pull_request_reviews": None}, {REVIEW, OWNERS, FRESH, LAST}),
        ({"required_status_checks": {"contexts": ["Lint"], "checks": [{"context": "Lint"}]}}, {CHECK}),
        ({"allow_force_pushes": {"enabled": True}}, {FORCE}),
        ({"allow_deletions": {"enabled": True}}, {KEPT}),
    ],
)
def test_what_the_classic_protection_does_not_demand_is_found(look, api, change, wanted):
    api.answers["rules/branches/main"] = []
    api.answers["branches/main/protection"] = classic(**change)
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, {f"main: {one}": "missing" for one in wanted})


def test_a_branch_without_protection_is_found(look, api):
    api.answers["rules/branches/main"] = []
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, dict.fromkeys(ALL, "missing"))


def test_who_may_bypass_a_ruleset_is_said(look, api):
    ruleset = api.answers[f"rulesets/{RULESET}"]
    ruleset["bypass_actors"] = [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, dict.fromkeys(ALL, "missing"))
    assert found[f"main: {REVIEW}"][1] == "demanded by the ruleset main, but not of RepositoryRole 5"
    api.answers["branches/main/protection"] = classic()
    assert look()[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"enforce_admins": {"enabled": False}},
        {
            "required_pull_request_reviews": {
                **classic()["required_pull_request_reviews"],
                "bypass_pull_request_allowances": {"users": [{"login": "octocat"}], "teams": [], "apps": []},
            }
        },
    ],
)
def test_who_may_bypass_the_classic_protection_is_said(look, api, change):
    api.answers["rules/branches/main"] = []
    api.answers["branches/main/protection"] = classic(**change)
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, dict.fromkeys(ALL, "missing"))
    who = "octocat" if "enforce_admins" not in change else "administrators"
    assert found[f"main: {CHECK}"][1] == f"demanded by the classic protection, but not of {who}"


# ---------------------------------------------------------------------------------------------------------------------
# What can't be seen


ENVIRONMENTS_UNSEEN = {one.name for one in NEEDED}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/actions/permissions/workflow$", {"default rights of workflows"}),
        ("/actions/oidc/customization/sub$", {"subject of tokens"}),
        ("/environments$", ENVIRONMENTS_UNSEEN),
        ("/environments/jenkins/variables$", {"jenkins: AWS_ROLE", "jenkins: AWS_REGION"}),
        ("/actions/variables$", {VARIABLES}),
        ("/actions/secrets$", {SECRETS}),
        ("/actions/organization-secrets$", {ORGANISATION}),
        ("/environments/jenkins/deployment-branch-policies$", {"jenkins: branches"}),
        (f"/rulesets/{RULESET}$", ALL),
        ("/rules/branches/main$", ALL),
    ],
)
@pytest.mark.parametrize("status", [403, 404])
def test_what_the_token_may_not_see_is_never_called_fine(look, api, path, names, status):
    api.fault(path, times=9, status=status, data={**FORBIDDEN, "status": str(status)})
    code, found, err = look()
    assert (code, not_ok(found)) == (10, dict.fromkeys(names, "unseen"))
    assert all(found[name][1].startswith("can't be seen") for name in names)
    assert "administrator" in err


def test_a_hidden_protection_may_be_there(look, api):
    """GitHub answers 404 to who may not see it, and where there is none."""
    api.answers["rules/branches/main"] = []
    api.answers[""]["permissions"] = {"admin": False}
    code, found, _ = look()
    assert (code, not_ok(found)) == (10, dict.fromkeys(ALL, "unseen"))
    api.answers["branches/main"]["protected"] = False
    code, found, _ = look()
    assert (code, not_ok(found)) == (12, dict.fromkeys(ALL, "missing"))
    api.answers["branches/main/protection"] = classic()
    api.fault("/branches/main/protection$", times=9, status=403, data=FORBIDDEN)
    assert not_ok(look()[1]) == dict.fromkeys(ALL, "unseen")


def test_what_is_missing_weighs_more_than_what_is_hidden(look, api):
    of(api, "release-gate")["can_admins_bypass"] = True
    api.fault("/actions/permissions/workflow$", status=403, data=FORBIDDEN)
    code, found, err = look()
    assert (code, set(not_ok(found).values())) == (12, {"missing", "unseen"})
    assert "release-gate: administrators" in err


# ---------------------------------------------------------------------------------------------------------------------
# What is no look at all


def test_a_token_that_is_none_ends_it(look, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_other")
    code, found, err = look()
    assert (code, found) == (10, {})
    assert "Bad credentials" in err
    monkeypatch.delenv("GITHUB_TOKEN")
    assert look()[0] == 2


def test_a_repository_that_is_not_there_ends_it(look, monkeypatch):
    code, found, err = look("--repository", "octo-org/other")
    assert (code, found) == (10, {})
    assert "octo-org/other" in err
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert look()[0] == 2
    assert look("--repository", "no repository")[0] == 2


def test_answers_of_another_shape_are_not_fine(look, api):
    """Whatever lies where a setting should be: it does not count as set."""
    kept = {"", "environments", "rules/branches/main", "branches/main"}
    for path in api.answers:
        if path not in kept:
            api.answers[path] = {"branch_policies": ["main"], "variables": [None]} if "environments/" in path else []
    for one in api.answers["environments"]["environments"]:
        one["protection_rules"] = {"type": "required_reviewers"}
        one["can_admins_bypass"] = "no"
    code, found, _ = look()
    assert code == 12
    expected = {"default branch", "who serves"}
    assert {name for name, (level, _) in found.items() if level == "ok"} <= expected


def test_names_from_github_forge_no_line(look, api, tmp_path, capsys):
    api.answers[f"rulesets/{RULESET}"]["name"] = "main\nok      release-gate: reviewers  forged\x1b[2K"
    run(["--repo", str(tmp_path), "doctor", "--github"])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert not [line for line in out.splitlines() if line.endswith("forged")]
