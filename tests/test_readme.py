"""The README says what the code says: exit codes, kinds, commands and their options."""

from __future__ import annotations

import re
import shlex

import pytest

from release_tool import errors
from release_tool.cli import COMMANDS, cli
from release_tool.core.handover import MAKES
from release_tool.core.kinds import TRAITS, ModelKind


@pytest.fixture(scope="module")
def readme(repository):
    """Return the text of README.md."""
    return (repository / "README.md").read_text(encoding="utf-8")


def section(text, heading):
    """Return what stands under a heading of the second level."""
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert match, f"README.md has no section {heading}"
    return match[1]


def rows(text):
    """Return the cells of a Markdown table, without its two head lines."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def error_classes():
    """Return every class of errors.py that derives from ReleaseError, itself included."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [value for value in found if issubclass(value, errors.ReleaseError)]


def test_the_exit_codes_of_the_readme_are_those_of_the_classes(readme):
    said = {code: name.strip("`") for code, name, _ in rows(section(readme, "Exit codes")) if name}
    own = {str(cls.exit_code): cls.__name__ for cls in error_classes() if "exit_code" in vars(cls)}
    assert said == own


def test_the_readme_has_the_codes_that_belong_to_no_class(readme):
    assert {code for code, name, _ in rows(section(readme, "Exit codes")) if not name} == {"0", "130", "141"}


def test_no_two_classes_share_an_exit_code_but_by_inheritance():
    codes = [cls.exit_code for cls in error_classes() if "exit_code" in vars(cls)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_every_error_says_what_to_do(cls):
    assert cls.default_hint.strip().endswith((".", ")"))


def test_the_kinds_and_formats_of_the_readme_are_those_of_the_code(readme):
    said = {kind: formats for kind, formats, _ in rows(section(readme, "Kinds"))}
    own = {kind.value: ", ".join(fmt.value for fmt in TRAITS[kind].formats) for kind in ModelKind}
    assert said == own


def test_the_readme_lists_every_command_in_order(readme):
    first = [cells[0].strip("`").split("`")[0].split()[0] for cells in rows(section(readme, "A release"))]
    assert first == list(COMMANDS)


def invocations(text):
    """Return the arguments of every release-tool command in code blocks, generated output left out."""
    text = re.sub(r"<!-- output: .*?<!-- end of output -->", "", text, flags=re.DOTALL)
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("release-tool ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_the_readme_says_of_each_step_of_a_workflow_what_it_writes(readme):
    written = {row[0].strip("`"): row[2] for row in rows(section(readme, "A release")) if row[0].strip("`") in MAKES}
    assert set(written) >= set(MAKES) - {"node"}
    assert [command for command, cell in written.items() if not re.search(r"`[\w<>./-]+`", cell)] == []


def test_the_commands_of_the_readme_exist_with_their_options(readme):
    found = invocations(readme)
    assert found, "README.md shows no command"
    for arguments in found:
        command = cli.get_command(None, arguments[0])
        assert command is not None, arguments
        for word in arguments[1:]:
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in arguments[1:] if word.startswith("--") and word.split("=")[0] not in known]
        assert not unknown, f"release-tool {arguments[0]} has no {unknown}"


def test_the_readme_shows_real_output(readme):
    places = re.findall(r"<!-- output: ([a-z-]+) -->\n(.*?)<!-- end of output -->", readme, re.DOTALL)
    assert "demo" in dict(places)
    for name, text in places:
        assert "$ release-tool" in text or name != "demo", "run scripts/readme-output"
