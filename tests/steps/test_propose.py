"""``release-tool propose``: the record as a pull request, once, onto what is there, and never over somebody's work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from factories import make_plan
from github_double.clock import Impatient
from github_double.git import CLEAN, Git
from github_double.server import TOKEN, WEB, GitHubDouble
from killed_requests import mortal
from ledger_rows import old_file
from publications import notify, reviewed

from release_tool.cli import run
from release_tool.core import ledger_columns as column
from release_tool.core.codec import decode_text
from release_tool.core.proposal import Proposal, branch_name
from release_tool.services import github

REPOSITORY = "octo-org/models"
CI = b"on:\n  push:\n  workflow_dispatch:\n"
FILES = (
    "supported_models.json",
    "MODEL_UPLOAD_HISTORY.md",
    "model_listing/pretrained_models_all_versions.json",
    "model_listing/pre_trained_models.json",
    "CHANGELOG.md",
)
START = {
    ".github/workflows/ci.yml": CI,
    "README.md": b"# Models\n",
    "src/deep/file.txt": b"untouched\n",
    "supported_models.json": old_file(),
    "CHANGELOG.md": b"# CHANGELOG\n\n## [Unreleased]\n\n### Changed\n- c1\n\n## [1.0.0]\n",
}


def publish(place, name="tiny", *, model_id=None, description=None):
    """Publish a release of a name, and return its work folder."""
    plan = make_plan()
    artifacts = tuple(
        replace(
            artifact,
            key=artifact.key.replace("tiny", name),
            config_key=artifact.config_key.replace("tiny", name),
            registered_name=artifact.registered_name.replace("tiny", name),
        )
        for artifact in plan.artifacts
    )
    source = replace(plan.source, model_id=model_id or f"acme/{name}")
    plan = replace(plan, artifacts=artifacts, source=source, description=description or plan.description)
    work = place / name
    digest = reviewed(work, pages=False, plan=plan)
    to = (place / f"bucket-of-{name}").as_uri()
    assert run(["--work", str(work), "-q", "publish", "--approved", digest, "--to", to]) == 0
    return work


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return two work folders whose releases are published; copied by who changes them."""
    place = tmp_path_factory.mktemp("published")
    return publish(place), publish(place, "two")


@pytest.fixture
def work(published, tmp_path):
    return shutil.copytree(published[0], tmp_path / "work")


@pytest.fixture
def two(published, tmp_path):
    return shutil.copytree(published[1], tmp_path / "two")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """Return a bare repository; copied by each test."""
    git = Git.made(tmp_path_factory.mktemp("origin") / "models.git", START)
    git.close()
    return git.folder


@pytest.fixture
def hub(origin, tmp_path, monkeypatch):
    """Run GitHub's API over a copy of the repository, and lead the client there; nothing waits."""
    clock = Impatient()
    monkeypatch.setattr(github, "Clock", lambda: clock)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("GH_TOKEN", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    with GitHubDouble(Git(shutil.copytree(origin, tmp_path / "models.git")), REPOSITORY) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.clock = clock
        yield server


def propose(work, *more):
    return run(["--work", str(work), "propose", "--uploader", "octocat", *more])


def proposal(work):
    return decode_text(Proposal, (work / "proposal.json").read_text())


def changed(hub, branch, base="main"):
    """Return the files that differ between two branches."""
    return sorted(hub.git.line("diff", "--name-only", base, branch).split("\n"))


def approved(work):
    return json.loads((work / "receipt.json").read_text())["approved"]


def names_of(hub, branch):
    rows = json.loads(hub.git.files(branch)["supported_models.json"])
    return sorted({row[column.MODEL_ID] for row in rows if column.APPROVED in row})


def test_the_record_becomes_one_commit_on_its_own_branch_and_one_pull_request(work, hub, tmp_path, capsys):
    head = hub.git.head("main")
    assert propose(work, "--run-url", "https://github.example/octo-org/models/actions/runs/17") == 0
    found = proposal(work)
    branch = f"record/acme-tiny-1.0.0-{approved(work)[:12]}"
    assert found == Proposal(
        uses=found.uses,
        approved=approved(work),
        state="open",
        repository=REPOSITORY,
        base="main",
        base_commit=head,
        branch=branch,
        commit=hub.git.head(branch),
        pull_request=1,
        url=f"{WEB}/{REPOSITORY}/pull/1",
        files=FILES,
    )
    assert list(found.uses) == ["receipt.json"]
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"proposed  {REPOSITORY}#1  {WEB}/{REPOSITORY}/pull/1"
    assert hub.git.line("rev-list", f"main..{branch}").split() == [found.commit]
    assert changed(hub, branch) == sorted(FILES)
    assert hub.git.head("main") == head

    repo = tmp_path / "checkout"
    for name, data in START.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_bytes(data)
    more = ["--uploader", "octocat", "--run-url", "https://github.example/octo-org/models/actions/runs/17"]
    assert run(["--work", str(work), "--repo", str(repo), "-q", "record", *more]) == 0
    assert hub.git.files(branch) == {
        path.relative_to(repo).as_posix(): path.read_bytes() for path in repo.rglob("*") if path.is_file()
    }
    (pull,) = hub.pulls
    assert (pull["title"], pull["head"]["ref"], pull["base"]["ref"]) == ("Record acme/tiny 1.0.0", branch, "main")
    for text in ("`acme/tiny` 1.0.0", approved(work), head, "@octocat", "/actions/runs/17>", *FILES):
        assert text in pull["body"]
    assert hub.runs == [
        {
            "id": 1,
            "path": ".github/workflows/ci.yml",
            "head_branch": branch,
            "head_sha": found.commit,
            "event": "workflow_dispatch",
        }
    ]


def test_github_names_the_author_of_the_commit_itself(work, hub):
    assert propose(work) == 0
    (sent,) = [one.data for one in hub.requests if one.path.endswith("/git/commits") and one.method == "POST"]
    assert set(sent) == {"message", "tree", "parents"}
    assert sent["message"].splitlines()[0] == "Record acme/tiny 1.0.0"
    assert sent["message"].splitlines()[-1] == f"Release-digest: {approved(work)}"


def test_twice_is_once(work, hub):
    assert propose(work) == 0
    first, before = proposal(work), (hub.git.line("for-each-ref"), [dict(pull) for pull in hub.pulls], list(hub.runs))
    hub.requests.clear()
    assert propose(work) == 0
    assert (hub.git.line("for-each-ref"), hub.pulls, hub.runs) == before
    assert proposal(work) == first
    # A tree is named by its content: asking for it stores nothing new.
    assert hub.writes == [f"POST /repos/{REPOSITORY}/git/trees"]


def test_the_work_folder_may_be_another_one(work, hub, tmp_path):
    """Nothing is remembered in the work folder: GitHub's state alone says what is done."""
    copy = shutil.copytree(work, tmp_path / "copy")
    assert propose(work) == 0
    assert propose(copy) == 0
    assert proposal(copy) == proposal(work)
    assert len(hub.pulls) == len(hub.runs) == 1


def test_without_dispatch_no_check_is_started(work, hub):
    assert propose(work, "--no-dispatch") == 0
    assert not hub.runs
    assert not [one for one in hub.requests if "actions" in one.path]


def test_a_dry_run_shows_everything_and_sends_nothing(work, hub, capsys):
    refs = hub.git.line("for-each-ref")
    assert propose(work, "--dry-run") == 0
    text = capsys.readouterr().out
    assert (hub.writes, hub.git.line("for-each-ref"), hub.pulls) == ([], refs, [])
    assert not (work / "proposal.json").exists()
    assert propose(work, "--dry-run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert propose(work, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert hub.pulls[0]["body"] == shown["body"]
    assert hub.pulls[0]["title"] == shown["title"]
    assert [shown[key] for key in ("branch", "base", "base_commit", "files")] == [
        done[key] for key in ("branch", "base", "base_commit", "files")
    ]
    assert shown["diff"].count("+++ b/") == len(FILES)
    assert shown["branch"] in text
    assert shown["diff"].rstrip("\n") in text


def merge(hub, branch, tmp_path, *, expect=0):
    """Merge a branch into main by the real git, as GitHub's button does, and return what git said."""
    clone = tmp_path / f"clone-{len(list(tmp_path.glob('clone-*')))}"
    line = ["git", "clone", "-q", str(hub.git.folder), str(clone)]
    subprocess.run(line, env=CLEAN, check=True, capture_output=True)
    line = ["git", "merge", "--no-ff", "--no-edit", f"origin/{branch}"]
    done = subprocess.run(line, cwd=clone, env=CLEAN, check=False, capture_output=True)
    assert done.returncode == expect, done.stdout + done.stderr
    if expect == 0:
        subprocess.run(["git", "push", "-q", "origin", "main"], cwd=clone, env=CLEAN, check=True)
    return clone


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_open_records_both_survive_when_one_is_merged_and_the_other_proposed_again(
    work, two, hub, tmp_path, order, capsys
):
    for folder in (work, two):
        assert propose(folder) == 0
    first, second = ((work, two)[place] for place in order)
    merge(hub, proposal(first).branch, tmp_path)
    hub.close(proposal(first).pull_request, merged=True)
    # As it stands, the other one can't be merged: both add their rows in one place.
    merge(hub, proposal(second).branch, tmp_path, expect=1)
    before = proposal(second)
    assert propose(second) == 0
    after = proposal(second)
    assert (after.branch, after.pull_request) == (before.branch, before.pull_request)
    assert after.base_commit == hub.git.head("main") != before.base_commit
    assert hub.git.line("rev-list", f"main..{after.branch}").split() == [after.commit]
    assert after.base_commit in hub.pulls[after.pull_request - 1]["body"]
    clone = merge(hub, after.branch, tmp_path)
    hub.close(after.pull_request, merged=True)
    assert names_of(hub, "main") == ["acme/tiny", "acme/two"]
    assert run(["--repo", str(clone), "record", "--check"]) == 0
    assert len(hub.pulls) == 2
    assert [run_["head_sha"] for run_ in hub.runs][-1] == after.commit
    capsys.readouterr()

    refs = hub.git.line("for-each-ref")
    for folder in (first, second):
        assert propose(folder) == 0
        assert "nothing to propose: main of octo-org/models#" in capsys.readouterr().out
        found = proposal(folder)
        assert (found.state, found.commit, found.files) == ("recorded", None, ())
        assert found.pull_request == [1, 2][(work, two).index(folder)]
    assert hub.git.line("for-each-ref") == refs
    assert len(hub.pulls) == 2


def test_the_commit_stands_on_the_head_even_where_no_file_of_it_has_changed(work, hub):
    assert propose(work) == 0
    head = hub.git.put({}, message="Nothing")
    assert propose(work) == 0
    assert proposal(work).base_commit == head
    assert hub.git.line("rev-list", f"main..{proposal(work).branch}").split() == [proposal(work).commit]


def test_a_squashed_merge_is_seen_by_what_the_files_say(work, hub, capsys):
    assert propose(work) == 0
    files = hub.git.files(proposal(work).branch)
    hub.git.put(files, message="Squashed (#1)")
    hub.close(1, merged=True)
    assert propose(work) == 0
    assert "nothing to propose" in capsys.readouterr().out
    assert propose(work, "--dry-run") == 0
    assert capsys.readouterr().out.startswith("nothing to propose")


def test_an_open_pull_request_whose_record_came_otherwise_is_named(work, hub, capsys):
    assert propose(work) == 0
    hub.git.put(hub.git.files(proposal(work).branch), message="By hand")
    assert propose(work) == 0
    assert "still open" in capsys.readouterr().err
    assert hub.pulls[0]["state"] == "open"


def test_a_pull_request_that_was_refused_is_followed_by_another(work, hub):
    assert propose(work) == 0
    hub.close(1)
    assert propose(work) == 0
    assert proposal(work).pull_request == 2
    assert [pull["state"] for pull in hub.pulls] == ["closed", "open"]


def test_what_jenkins_said_later_comes_into_the_same_pull_request(work, hub):
    assert propose(work) == 0
    before = proposal(work)
    notify(work, "FAILURE")
    assert propose(work) == 0
    after = proposal(work)
    assert (after.branch, after.pull_request) == (before.branch, 1)
    assert after.commit != before.commit
    assert sorted(after.uses) == ["notice.json", "receipt.json"]
    assert "FAILURE (build 17) <https://jenkins.example/job/x/17/>" in hub.pulls[0]["body"]
    assert hub.git.line("rev-list", f"main..{after.branch}").split() == [after.commit]


def test_another_base_is_taken_where_one_is_named(work, hub):
    hub.git("update-ref", "refs/heads/next", hub.git.put({"x": b"y"}, "next", parent=hub.git.head("main")))
    assert propose(work, "--base", "next") == 0
    assert hub.pulls[0]["base"]["ref"] == "next"
    assert proposal(work).base_commit == hub.git.head("next")
    assert propose(work) == 0
    assert [pull["base"]["ref"] for pull in hub.pulls] == ["main"]


def test_a_base_that_is_not_there_is_named(work, hub, capsys):
    assert propose(work, "--base", "nowhere") == 2
    assert "no branch nowhere" in capsys.readouterr().err
    assert not hub.writes


# --- what is not ours ------------------------------------------------------------------------------------------------


def own_branch(work):
    return f"record/acme-tiny-1.0.0-{approved(work)[:12]}"


def test_a_foreign_branch_of_that_name_is_refused(work, hub, capsys):
    head = hub.git.put({"theirs": b"work"}, own_branch(work), parent=hub.git.head("main"))
    assert propose(work) == 10
    text = capsys.readouterr().err
    assert head in text
    assert "Nothing of it is replaced" in text
    assert hub.git.head(own_branch(work)) == head
    assert (hub.writes, hub.pulls) == ([], [])


def test_what_people_put_on_top_of_the_branch_is_not_replaced(work, hub):
    assert propose(work) == 0
    head = hub.git.put({"CHANGELOG.md": b"better"}, own_branch(work))
    hub.git.put({"README.md": b"main goes on"})
    assert propose(work) == 10
    assert hub.git.head(own_branch(work)) == head


def test_the_branch_of_another_release_is_not_replaced(work, two, hub):
    """As if both had the same first digits: the whole digest in the commit decides."""
    assert propose(two) == 0
    hub.git("update-ref", f"refs/heads/{own_branch(work)}", proposal(two).commit)
    assert propose(work) == 10
    assert hub.git.head(own_branch(work)) == proposal(two).commit


def test_a_merge_on_the_branch_is_not_taken_for_ours(work, hub):
    assert propose(work) == 0
    ours, main = proposal(work).commit, hub.git.put({"README.md": b"new"})
    message = f"Merge\n\nRelease-digest: {approved(work)}\n"
    merged = hub.git.commit(message, hub.git.line("rev-parse", f"{ours}^{{tree}}"), [ours, main])
    hub.git("update-ref", f"refs/heads/{own_branch(work)}", merged)
    assert propose(work) == 10
    assert hub.git.head(own_branch(work)) == merged


def test_a_branch_that_appears_while_ours_is_made_is_looked_at(work, hub):
    def foreign(server):
        server.git.put({"theirs": b"work"}, own_branch(work), parent=server.git.head("main"))

    hub.fault("POST .*/git/refs$", action=foreign)
    assert propose(work) == 10
    assert "theirs" in hub.git.files(own_branch(work))


def test_a_push_between_looking_and_replacing_is_seen(work, hub):
    assert propose(work) == 0
    hub.git.put({"README.md": b"main goes on"})
    pushed = []

    def push(server):
        pushed.append(server.git.put({"theirs": b"work"}, own_branch(work)))

    hub.fault("POST .*/git/commits$", action=push)
    assert propose(work) == 10
    assert hub.git.head(own_branch(work)) == pushed[0]


def test_a_pull_request_that_appears_meanwhile_is_taken(work, hub):
    def opened(server):
        server.pulls.append({
            "number": 1, "state": "open", "title": "x", "body": "y", "html_url": f"{WEB}/{REPOSITORY}/pull/1",
            "head": {"ref": own_branch(work), "label": f"octo-org:{own_branch(work)}",
                     "repo": {"full_name": REPOSITORY}},
            "base": {"ref": "main"},
        })  # fmt: skip

    hub.fault(r"POST .*/pulls$", action=opened)
    assert propose(work) == 0
    assert [pull["title"] for pull in hub.pulls] == ["Record acme/tiny 1.0.0"]


@pytest.mark.parametrize(("times", "code"), [(2, 0), (3, 10)])
def test_a_branch_that_github_does_not_see_yet_is_waited_for_and_not_for_ever(work, hub, times, code):
    unseen = {"resource": "PullRequest", "field": "head", "code": "invalid"}
    hub.fault(r"POST .*/pulls$", status=422, data={"message": "Validation Failed", "errors": [unseen]}, times=times)
    assert propose(work) == code
    assert hub.clock.waits == [2, 2]


def test_a_pull_request_of_a_fork_with_that_branch_is_not_ours(work, hub):
    hub.pulls.append({
        "number": 1, "state": "open", "title": "theirs", "body": "", "html_url": "x",
        "head": {"ref": own_branch(work), "label": f"octo-org:{own_branch(work)}",
                 "repo": {"full_name": "octo-org/models-fork"}},
        "base": {"ref": "main"},
    })  # fmt: skip
    hub.fault(r"POST .*/pulls$", action=lambda server: server.pulls[0].update(state="closed"))
    assert propose(work) == 0
    assert proposal(work).pull_request == 2
    assert hub.pulls[0]["title"] == "theirs"


def test_the_head_moving_meanwhile_loses_nothing(work, two, hub, tmp_path):
    """The branch is based on what was read; merging it brings both together where they touch different places."""
    hub.fault("POST .*/git/trees$", action=lambda server: server.git.put({"new.txt": b"meanwhile"}))
    assert propose(work) == 0
    merge(hub, proposal(work).branch, tmp_path)
    files = hub.git.files("main")
    assert files["new.txt"] == b"meanwhile"
    assert names_of(hub, "main") == ["acme/tiny"]


# --- the repository's own files --------------------------------------------------------------------------------------


def test_templates_of_the_repository_are_those_of_the_head(work, hub, tmp_path):
    own = {"templates/pull_request.md.j2": b"Own text of {{ pull.entry.model_id | code }}.\n",
           "templates/changelog_entry.md.j2": b"* own {{ entry.digest }}\n"}  # fmt: skip
    hub.git.put(own)
    assert run(["--work", str(work), "--repo", str(tmp_path), "propose"]) == 0
    assert hub.pulls[0]["body"] == "Own text of `acme/tiny`.\n"
    assert f"* own {approved(work)[:12]}".encode() in hub.git.files(own_branch(work))["CHANGELOG.md"]


def test_a_wrong_template_is_named_and_nothing_is_written(work, hub, capsys):
    hub.git.put({"templates/pull_request.md.j2": b"{{ pull.nothing }}"})
    assert propose(work) == 2
    assert "pull_request.md.j2" in capsys.readouterr().err
    hub.git.put({"templates/pull_request.md.j2": b"{% for i in range(70000) %}x{% endfor %}"})
    assert propose(work) == 2
    assert "60,000" in capsys.readouterr().err
    assert not hub.writes


def test_a_broken_ledger_is_named_and_nothing_is_written(work, hub, capsys):
    hub.git.put({"supported_models.json": b"[{"})
    assert propose(work) == 9
    assert "supported_models.json" in capsys.readouterr().err
    assert not hub.writes


def test_a_link_in_the_place_of_a_file_is_refused(work, hub, capsys):
    main = hub.git.head("main")
    link = ("CHANGELOG.md", "120000", hub.git.blob(b"README.md"))
    tree = hub.git.tree(hub.git.line("rev-parse", f"{main}^{{tree}}"), [link])
    hub.git("update-ref", "refs/heads/main", hub.git.commit("A link", tree, [main]))
    assert propose(work) == 9
    assert "CHANGELOG.md is no plain file" in capsys.readouterr().err


def test_the_mode_of_a_file_is_kept(work, hub):
    main = hub.git.head("main")
    entry = ("CHANGELOG.md", "100755", hub.git.blob(START["CHANGELOG.md"]))
    tree = hub.git.tree(hub.git.line("rev-parse", f"{main}^{{tree}}"), [entry])
    hub.git("update-ref", "refs/heads/main", hub.git.commit("Executable", tree, [main]))
    assert propose(work) == 0
    assert hub.git.line("ls-tree", own_branch(work), "CHANGELOG.md").startswith("100755 ")


def test_a_ledger_of_ten_megabytes_goes_through(work, hub):
    rows = json.loads(old_file())
    lines = [json.dumps({**rows[0], "Model ID": f"acme/model-{number:06}"}) for number in range(50_000)]
    data = ("[\n" + ",\n".join(lines) + "\n]").encode()
    assert len(data) > 10_000_000
    hub.git.put({"supported_models.json": data})
    assert propose(work) == 0
    after = hub.git.files(own_branch(work))["supported_models.json"]
    assert len(json.loads(after)) == 50_000 + 2


def test_an_empty_repository_of_records_gets_every_file(work, hub):
    main = hub.git.commit("Nothing", hub.git.tree(None, [("README.md", "100644", hub.git.blob(b"x"))]), [])
    hub.git("update-ref", "refs/heads/main", main)
    assert propose(work, "--no-dispatch") == 0
    assert changed(hub, own_branch(work)) == sorted(FILES)


# --- killed ----------------------------------------------------------------------------------------------------------


def state(hub, work):
    """Return what a run has left, without the names of commits, which hold their time."""
    found = proposal(work)
    tree, parents, message = (hub.git.line("log", "-1", f"--format={one}", found.branch) for one in ("%T", "%P", "%B"))
    assert found.commit == hub.git.head(found.branch)
    assert [run_["head_sha"] for run_ in hub.runs][-1] == found.commit
    branches = hub.git.line("for-each-ref", "--format=%(refname)")
    return tree, parents, message, branches, hub.pulls, len(hub.runs), replace(found, commit=None)


@pytest.mark.parametrize("renewed", [False, True], ids=["new", "renewed"])
def test_killed_after_any_request_another_run_ends_where_one_would_have(work, hub, origin, tmp_path, renewed):
    """Killed with SIGKILL once each request that changes something was answered; reads change nothing in between."""

    def prepared(name):
        hub.forget(Git(shutil.copytree(origin, tmp_path / f"{name}.git")))
        folder = shutil.copytree(work, tmp_path / name)
        if renewed:
            assert propose(folder) == 0
            notify(folder, "SUCCESS")
        hub.git.put({"README.md": b"main goes on"})
        hub.requests.clear()
        return folder

    whole = prepared("whole")
    assert propose(whole) == 0
    wanted, writes = state(hub, whole), hub.writes
    moved = [own_branch(work).partition("/")[2], "1"] if renewed else ["refs", "pulls"]
    last = [line.rpartition("/")[2] for line in writes if not line.endswith("/blobs")]
    assert last == ["trees", "commits", *moved, "dispatches"]
    with mortal() as die:
        for number in range(len(writes)):
            folder = prepared(f"killed-{number}")
            assert die(["--work", str(folder), "-q", "propose", "--uploader", "octocat"], number) == -9
            assert hub.writes == writes[: number + 1]
            assert propose(folder) == 0
            assert state(hub, folder) == wanted
        assert die(["--work", str(folder), "-q", "propose", "--uploader", "octocat"], 99) == 0


# --- hostile names ---------------------------------------------------------------------------------------------------

HOSTILE = "acme/$(id)`x`|<img src=x>\n::error::x\n[skip ci] @everyone closes #1 ../..\\.lock"
WORDS = (
    "$(id) `x` | <script>alert(1)</script>\n::set-output name=x::y\n@octocat fixes #1 GH-2 [x](javascript:x) ~@{^:?*"
)


def test_hostile_names_and_descriptions_stay_words(hub, tmp_path):
    work = publish(tmp_path, model_id=HOSTILE, description=WORDS)
    assert propose(work) == 0
    found, (pull,) = proposal(work), hub.pulls
    assert re.fullmatch(r"record/[A-Za-z0-9._-]+", found.branch)
    assert subprocess.run(["git", "check-ref-format", "--branch", found.branch], check=False).returncode == 0
    message = hub.git.line("log", "-1", "--format=%B", found.commit)
    for text in (pull["title"], message.splitlines()[0]):
        assert re.fullmatch(r"Record [A-Za-z0-9._/ -]+ 1\.0\.0", text)
    assert message.splitlines()[-1] == f"Release-digest: {approved(work)}"
    # Within code nobody is called, nothing is closed, no HTML is any.
    outside = re.sub(r"(`+).*?\1", "", pull["body"])
    for sign in ("<img", "<script", "::", "#1", "GH-2", "@everyone", "[skip", "javascript", "$("):
        assert sign not in outside
    # A squashed merge makes the text a commit's message, where code is no code: the card's words are not in it.
    assert "alert(1)" not in pull["body"]
    assert "alert(1)" in json.loads(hub.git.files(found.branch)["supported_models.json"])[-1][column.DESCRIPTION]
    assert "\n::" not in pull["body"]
    assert hub.git.line("cat-file", "-t", found.branch) == "commit"


@pytest.mark.parametrize("name", ["...", "-", "a..b", "x.lock", "ä", "A" * 500, "/", "a//b", " ", "@", "a@{b"])
def test_every_name_makes_a_branch_that_git_takes(name):
    branch = branch_name(name, "1.0.0", "f" * 64)
    assert subprocess.run(["git", "check-ref-format", "--branch", branch], check=False).returncode == 0
    assert len(branch) < 200
    assert branch.endswith("-ffffffffffff")


# --- GitHub says no, or nothing --------------------------------------------------------------------------------------


def test_a_server_error_passes_by_and_the_result_is_the_same(work, hub):
    for pattern in ("GET .*/git/trees", "GET .*/blobs", "POST .*/blobs", "POST .*/git/trees", "POST .*/git/commits",
                    "POST .*/git/refs", "POST .*/pulls", "GET .*/pulls"):  # fmt: skip
        hub.fault(pattern, status=500, data={"message": "Server Error"})
    assert propose(work) == 0
    assert len(hub.pulls) == len(hub.runs) == 1
    assert len(hub.clock.waits) == 8


@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_connections_pass_by_and_nothing_is_made_twice(work, hub, when):
    for pattern in ("GET .*/git/ref/", "GET .*/blobs", "POST .*/blobs", "POST .*/git/trees", "POST .*/git/commits",
                    "POST .*/git/refs", "POST .*/pulls"):  # fmt: skip
        hub.fault(pattern, cut=when)
    assert propose(work) == 0
    assert len(hub.pulls) == len(hub.runs) == 1
    branch = proposal(work).branch
    assert hub.git.line("rev-list", f"main..{branch}").split() == [proposal(work).commit]


def test_a_dispatch_whose_answer_was_lost_is_found_by_the_next_run(work, hub):
    hub.fault("POST .*/dispatches", cut="after")
    assert propose(work) == 11
    assert propose(work) == 0
    assert len(hub.runs) == 1


@pytest.mark.parametrize(
    ("status", "data", "said"),
    [
        (401, {"message": "Bad credentials"}, "GITHUB_TOKEN holds a token"),
        (403, {"message": "Resource not accessible by integration"}, "lacks a right: contents=write"),
        (404, {"message": "Not Found"}, "may also not be allowed"),
        (409, {"message": "Git Repository is empty."}, "Git Repository is empty."),
        (422, {"message": "Validation Failed", "errors": [{"field": "sha", "code": "invalid"}]}, "sha invalid"),
        (429, {"message": "Too many requests"}, "rate limit"),
        (503, b"<html>Unicorn!</html>", "can't answer"),
    ],
)
def test_a_refusal_is_named_and_the_next_run_goes_on(work, hub, capsys, status, data, said):
    headers = {"x-accepted-github-permissions": "contents=write"}
    hub.fault("POST .*/git/refs", status=status, data=data, headers=headers, times=10)
    assert propose(work) == (11 if status in {429, 503} else 10)
    text = capsys.readouterr().err
    assert said in text
    assert f"({status})" in text
    assert not (work / "proposal.json").exists()
    hub.faults.clear()
    assert propose(work) == 0
    assert len(hub.pulls) == 1


def test_a_repository_that_forbids_bots_to_open_pull_requests_is_told_where_to_allow_it(work, hub, capsys):
    message = "GitHub Actions is not permitted to create or approve pull requests."
    hub.fault(r"POST .*/pulls$", status=403, data={"message": message})
    assert propose(work) == 10
    assert "let GitHub Actions create pull requests" in capsys.readouterr().err


def test_checks_that_can_not_be_started_are_named(work, hub, capsys):
    hub.git.put({".github/workflows/ci.yml": b"on: push\n"})
    assert propose(work) == 10
    text = capsys.readouterr().err
    assert "workflow_dispatch" in text
    assert "--no-dispatch" in text
    assert proposal(work).pull_request == len(hub.pulls) == 1
    assert propose(work, "--no-dispatch") == 0


def test_other_bytes_than_the_tree_names_are_refused(work, hub, capsys):
    hub.fault("GET .*/blobs", status=200, data="other bytes")
    assert propose(work) == 7
    assert "other bytes" in capsys.readouterr().err
    assert not hub.writes


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GITHUB_TOKEN": ""}, "Set GITHUB_TOKEN"),
        ({"GITHUB_REPOSITORY": ""}, "--repository OWNER/NAME"),
        ({"GITHUB_REPOSITORY": "octo-org/../x"}, "is no repository"),
        ({"GITHUB_API_URL": "http://api.github.example"}, "in the clear"),
        ({"GITHUB_API_URL": "https://user:secret@x"}, "more than a place"),
    ],
)
def test_what_is_missing_or_wrong_in_the_environment_is_named(work, hub, monkeypatch, capsys, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert propose(work) == 2
    text = capsys.readouterr().err
    assert said in text
    assert "secret" not in text
    assert not hub.requests


def test_a_release_that_was_not_published_is_refused_before_anything_is_asked(work, hub):
    (work / "receipt.json").unlink()
    assert propose(work) == 2
    assert not hub.requests


def test_no_token_is_in_a_message_a_document_or_an_address(work, hub, capsys):
    hub.fault("POST .*/git/refs", status=422, data={"message": f"Bearer {TOKEN} is not good"}, times=1)
    assert run(["--work", str(work), "--debug", "propose"]) == 10
    assert run(["--work", str(work), "-v", "propose"]) == 0
    printed = capsys.readouterr()
    assert TOKEN not in printed.out + printed.err
    assert "***" in printed.err
    assert TOKEN not in (work / "proposal.json").read_text()
    assert not [one for one in hub.requests if TOKEN in one.path + str(one.query) + str(one.data)]
