"""Rules over our own tree: what may not stand in any file, and what must hang together."""

from __future__ import annotations

import configparser
import json
import os
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {".git", ".venv", "work", "build", "dist", "out", "node_modules"}
"""Folders that git ignores, and its own; caches and egg-info are told by their names."""

LOCKS = ("base", "build", "demo", "test", "trace", "uv")


def files():
    """Return every file of the checkout that could be committed."""
    found = []
    for folder, names, inside in os.walk(ROOT):
        names[:] = [
            name
            for name in names
            if name not in NOT_OURS and not name.endswith((".egg-info", "_cache", "__pycache__", ".hypothesis"))
        ]
        # .git is a file where the checkout is a worktree.
        found += [Path(folder, name) for name in inside if name != ".git" and not name.endswith((".pyc", ".part"))]
    return found


def texts():
    """Return (path, text) of every text file."""
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield path.relative_to(ROOT).as_posix(), data.decode("utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# What may not stand in any file


def test_no_file_names_the_host_of_a_package_registry():
    # In pieces, so that this file does not name them either.
    hosts = [
        ("pypi", "org"), ("files.python", "hosted"), ("registry.npm", "js"), ("repo1", "maven"),
        ("repo.maven", "apache"), ("proxy", "golang"), ("static", "crates"), ("deb", "debian"),
    ]  # fmt: skip
    pattern = re.compile("|".join(re.escape(first) + r"\.?" + re.escape(second) for first, second in hosts))
    assert not [f"{name}: {match[0]}" for name, text in texts() if (match := pattern.search(text))]


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    pattern = re.compile(r"(?<![A-Za-z0-9._/\-])/(?:work|root|tmp/lab)/")
    assert not [f"{name}: {match[0]}" for name, text in texts() if (match := pattern.search(text))]


def test_tests_import_their_helpers_by_bare_name_so_that_the_checkout_stays_off_the_path():
    pattern = re.compile(r"^\s*(?:from|import) tests\b", re.MULTILINE)
    assert not [name for name, text in texts() if name.endswith(".py") and pattern.search(text)]


def test_modules_stay_short_enough_to_be_read_at_once():
    limit = 450
    long = {
        name: lines
        for name, text in texts()
        if name.startswith("release_tool/") and name.endswith(".py") and (lines := text.count("\n")) > limit
    }
    assert not long


# ---------------------------------------------------------------------------------------------------------------------
# Scripts


def scripts():
    """Return the programs in scripts/ and .ci/: all files without an ending."""
    return [
        path for path in (*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run") if path.is_file() and not path.suffix
    ]


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_scripts_can_be_run(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert os.access(path, os.X_OK)
    assert first in ("#!/usr/bin/env bash", "#!/usr/bin/env python3")


def test_continuous_integration_calls_exactly_scripts_test():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "exec ./scripts/test"


def test_the_hooks_are_the_linters_of_scripts_check():
    text = (ROOT / "scripts" / "check").read_text(encoding="utf-8")
    linters = list(dict.fromkeys(re.findall(r"^run ([a-z]+) ", text, re.MULTILINE)))
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"] for hook in repo["hooks"]] == [f"scripts/check {name}" for name in linters]


# ---------------------------------------------------------------------------------------------------------------------
# Locks


def pins(name):
    """Return package → version of a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))


def wanted(*extras):
    """Return the requirements of setup.cfg, those of the extras included."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser["options"]["install_requires"].splitlines()
    for extra in extras:
        lines += parser["options.extras_require"][extra].splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize(
    ("lock", "extras"), [("base", ()), ("trace", ("trace",)), ("demo", ("trace",)), ("test", ("trace", "test"))]
)
def test_a_lock_gives_what_setup_cfg_asks_for(lock, extras):
    pinned = pins(lock)
    for requirement in wanted(*extras):
        assert requirement.name in pinned, f"run scripts/lock: {requirement} is not in requirements/{lock}.txt"
        assert requirement.specifier.contains(pinned[requirement.name]), f"run scripts/lock: {requirement}"


def test_a_package_has_one_version_in_all_locks():
    widest = pins("test")
    for lock in LOCKS:
        differing = {
            name: version for name, version in pins(lock).items() if name in widest and widest[name] != version
        }
        assert not differing, f"requirements/{lock}.txt: run scripts/lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_hashes_and_no_address(lock):
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    assert "--index" not in text


# ---------------------------------------------------------------------------------------------------------------------
# Documents


def markdown():
    """Return every Markdown file of the project."""
    return [path for path in files() if path.suffix == ".md" and "tests" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("path", markdown(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    lost = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not lost


def test_every_decision_is_linked_numbered_and_says_context_decision_and_consequences():
    overview = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert f"(adr/{path.name})" in overview
        assert text.startswith(f"# {int(path.name[:4])}. ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_licence_of_archives_is_the_licence_of_the_project():
    packaged = ROOT / "release_tool" / "data" / "LICENSE-Apache-2.0.txt"
    assert packaged.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_ledger_of_models_and_its_page_have_the_same_rows():
    rows = json.loads((ROOT / "supported_models.json").read_text(encoding="utf-8"))
    page = (ROOT / "MODEL_UPLOAD_HISTORY.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert isinstance(rows, list)
    assert len(table) - 2 == len(rows)


# ---------------------------------------------------------------------------------------------------------------------
# Workflows


def workflows():
    """Return the workflows."""
    return sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def actions():
    """Return the actions of this repository."""
    return sorted((ROOT / ".github" / "actions").glob("*/action.yml"))


def load(path):
    """Return a workflow as data; YAML 1.1 reads the key ``on`` as true."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps_of(path):
    """Yield every step of a workflow or an action."""
    data = load(path)
    for job in data.get("jobs", {}).values():
        yield from job.get("steps", ())
    yield from data.get("runs", {}).get("steps", ())


each_file = pytest.mark.parametrize(
    "path", [*workflows(), *actions()], ids=lambda path: f"{path.parent.name}/{path.name}"
)
each_workflow = pytest.mark.parametrize("path", workflows(), ids=lambda path: path.name)


@each_file
def test_every_foreign_action_is_pinned_to_a_commit_and_names_its_version(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\s*(?:- )?uses: (\S+)(.*)", line)
        if match and not match[1].startswith("./"):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", match[1]), line
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", match[2]), line


@each_file
def test_no_expression_is_pasted_into_a_shell(path):
    assert not [step["run"] for step in steps_of(path) if "${{" in step.get("run", "")]


@each_file
def test_a_step_runs_a_script_of_this_repository_or_one_line(path):
    for step in steps_of(path):
        command = step.get("run", "")
        assert "\n" not in command.strip(), command
        if command.startswith("./"):
            assert os.access(ROOT / command.split()[0], os.X_OK), command


@each_file
def test_no_checkout_leaves_credentials_behind(path):
    for step in steps_of(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@each_workflow
def test_a_workflow_has_no_rights_of_its_own(path):
    """What its jobs may is held by a table, in tests/workflows/test_rules.py."""
    assert load(path)["permissions"] == {}


@pytest.mark.parametrize(
    "path",
    ["/.github/", "/release_tool/", "/requirements/", "/scripts/", "/templates/", "/release-tool.toml", "/setup.cfg"],
)
def test_what_decides_on_rights_has_owners_of_its_own(path):
    lines = (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert (ROOT / path.strip("/")).exists()
    assert rules[0][0] == "*"
    assert next(owners for pattern, *owners in rules if pattern == path)


def test_the_required_job_waits_for_every_other_job_of_ci():
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    required = jobs["required"]
    assert required["needs"] == [name for name in jobs if name != "required"]
    assert required["if"] == "always()"
    (step,) = required["steps"]
    assert step["run"] == f'test "$RESULTS" = "{" ".join(["success"] * len(required["needs"]))}"'
