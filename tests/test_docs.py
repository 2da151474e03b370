"""The pages in docs/ say what the tool does: their commands exist, their example is what the command prints."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from archive_makers import onnx_model, pack, tokenizer
from aws.template import load

from release_tool.cli import COMMANDS, cli, run
from release_tool.core.environments import REGION_VARIABLE, ROLE_VARIABLE, environments
from release_tool.core.github_branch import BranchRules, branch_findings
from release_tool.core.github_findings import Seen
from release_tool.core.handover import MAKES
from release_tool.core.location import LOCATION_FILE
from release_tool.core.notice import LISTING_NOTICE
from release_tool.core.settings import parse_settings
from release_tool.core.verdicts import Basis, Severity

DOCS = sorted((Path(__file__).resolve().parent.parent / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def compat():
    return next(path for path in DOCS if path.name == "compat.md").read_text(encoding="utf-8")


def commands(text):
    """Return the arguments of every release-tool command in code blocks, printed output left out."""
    text = re.sub(r"<!-- output: .*?<!-- end of output -->", "", text, flags=re.DOTALL)
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line.partition(" | ")[0])[1:] for line in lines if line.startswith("release-tool ")]


def with_all_below(command):
    """Yield a command and, of a group, those below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from with_all_below(below)


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.name)
def test_the_commands_of_a_page_exist_with_their_options(page):
    for arguments in commands(page.read_text(encoding="utf-8")):
        name = next(word for word in arguments if word in COMMANDS)
        whole = list(with_all_below(cli.get_command(None, name)))
        params = [parameter for one in whole for parameter in one.params]
        known = {option for parameter in params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in arguments if word.startswith("--") and word.split("=")[0] not in known]
        assert not unknown, f"release-tool {name} has no {unknown}"


@pytest.fixture(scope="module")
def set_up():
    return next(path for path in DOCS if path.name == "set-up.md").read_text(encoding="utf-8")


def test_the_guide_lists_every_environment_with_what_it_is_for_and_its_role(set_up):
    table = set_up.partition("| Environment | For |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    for (name, why, role, reviewers), one in zip(rows, environments(["TARGET"]), strict=True):
        assert name == f"`{one.name}`"
        assert why.startswith(one.traits.why.partition(":")[0])
        assert ("optional" in why) is one.traits.optional
        assert role.endswith("Role`") is one.traits.role
        assert reviewers.startswith("yes") is one.traits.reviewed
    outputs = {name for template in ("account.yml", "target.yml") for name in load(template)["Outputs"]}
    assert {role.strip("`") for _, _, role, _ in rows if role.endswith("Role`")} <= outputs


def test_the_guide_names_every_variable_that_is_looked_at(set_up):
    for name in (ROLE_VARIABLE, REGION_VARIABLE):
        assert f"| `{name}` |" in set_up


def test_the_settings_of_the_guide_are_json_and_are_those_that_are_looked_at(set_up):
    """What a person types from the guide is what doctor --github asks for."""
    given = [json.loads(text) for text in re.findall(r"<<'END'\n(.*?)^END$", set_up, re.DOTALL | re.MULTILINE)]
    reviewed, plain, ruleset = given
    assert reviewed["prevent_self_review"] is True
    assert reviewed["can_admins_bypass"] is False
    wanted = {"protected_branches": False, "custom_branch_policies": True}
    assert reviewed["deployment_branch_policy"] == plain["deployment_branch_policy"] == wanted
    rules = [{**rule, "ruleset_id": 1} for rule in ruleset["rules"]]
    seen = BranchRules(rules=rules, rulesets={1: ruleset}, classic=None)
    assert {one.level for one in branch_findings(seen)} == {Seen.OK}


def test_the_settings_that_the_pages_show_are_read_as_they_say(set_up):
    blocks = {path.name: re.findall(r"^```\n(\[.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE) for path in DOCS}
    shown = {name: len(found) for name, found in blocks.items() if found}
    assert shown == {"set-up.md": 2, "notify.md": 1, "quality.md": 1}
    jenkins = [
        parse_settings(text.encode()).jenkins for found in blocks.values() for text in found if "jenkins" in text
    ]
    assert len(set(jenkins)) == 1
    assert f"--name {jenkins[0].secret} " in set_up
    (target,) = parse_settings(blocks["set-up.md"][0].encode()).targets
    assert not target.serves


def test_where_credentials_are_sent_stands_in_no_variable(repository, set_up):
    flows = "".join(path.read_text() for path in repository.glob(".github/**/*.yml"))
    assert set(re.findall(r"\bvars\.(\w+)", flows)) == {ROLE_VARIABLE, REGION_VARIABLE}
    assert "JENKINS_" not in set_up


def test_the_table_of_documents_holds_every_file_that_a_command_writes_into_the_work_folder(repository):
    text = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]*`) \| [^|]+ \|", text, re.MULTILINE)
    shown = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    filled = {re.sub(r"<[^>]+>", "onnx", name) for name in shown}
    missing = [
        f"{maker}: {pattern.pattern}"
        for maker, patterns in MAKES.items()
        for pattern in patterns
        if not any(pattern.fullmatch(name) for name in filled)
    ]
    assert missing == []
    assert {LISTING_NOTICE, LOCATION_FILE} <= filled


def test_who_approves_is_told_which_part_of_the_summary_to_trust(repository, set_up):
    page = next(path for path in DOCS if path.name == "releasing.md").read_text(encoding="utf-8")
    told = page.partition("## Approving")[2].partition("\n## ")[0]
    flow = repository / ".github" / "workflows" / "release-model.yml"
    step = re.search(r"step \*(.+?)\*", told)[1]
    assert f"- id: review\n        name: {step}\n" in flow.read_text()
    assert "Compare that section only" in told
    assert "releasing.md#approving" in set_up


def test_the_commands_for_aws_name_parameters_of_the_templates(set_up):
    for template in ("account.yml", "target.yml"):
        text = set_up.partition(f"--template-file templates/aws/{template}")[2].partition("aws cloudformation")[0]
        given = set(re.findall(r"(\w+)=", text))
        parameters = load(template)["Parameters"]
        assert given <= set(parameters)
        assert {name for name, one in parameters.items() if "Default" not in one} <= given


def test_the_page_on_compat_explains_every_word_of_the_table(compat):
    rows = {cells[1].strip() for line in compat.splitlines() if line.startswith("|") and (cells := line.split("|"))}
    assert {basis.value for basis in Basis} <= rows
    assert {"deploys", "refused", "unknown"} <= rows
    assert all(f"`{severity.value}`" in compat for severity in Severity)


def test_the_example_of_a_refused_archive_is_what_compat_prints(compat, tmp_path, capsys):
    archive = pack(
        tmp_path / "model.zip", {"model.onnx": onnx_model(ir=10).SerializeToString(), "tokenizer.json": tokenizer()}
    )
    assert run(["--work", str(tmp_path / "work"), "compat", str(archive)]) == 6
    printed = capsys.readouterr().out
    _, _, after = compat.partition("<!-- made by: tests/test_docs.py -->\n```\n$ release-tool compat model.zip\n")
    shown = after.partition("```")[0]
    # Another onnx writes other bytes: size and digest are of the day.
    loose = [re.sub(r"[0-9a-f]{64}|[\d,]+ bytes", "...", text) for text in (shown, printed)]
    assert loose[0] == loose[1]
