"""Options of every command: the same meaning before the command and after it, listed once."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from model_files import Files, dense

from release_tool import cli
from release_tool.global_options import DECLARED, AfterCommand, Context

EVERY = sorted(name for names, _ in DECLARED for name in names if name.startswith("-"))
"""As a person types them."""


def commands():
    """Return (words, command) of every command, those below a group included."""
    found = []
    for name in cli.COMMANDS:
        command = cli.cli.get_command(None, name)
        found.append(((name,), command))
        if isinstance(command, click.Group):
            found += [((name, below), child) for below, child in command.commands.items()]
    return found


@pytest.fixture
def seen(monkeypatch):
    """Return the contexts that doctor got, in place of what it does."""
    contexts = []
    monkeypatch.setattr(
        cli.cli.get_command(None, "doctor"), "callback", click.pass_obj(lambda context, **_: contexts.append(context))
    )
    return contexts


def got(seen, *arguments):
    assert cli.run(arguments) == 0
    context = seen.pop()
    assert isinstance(context, Context)
    return {
        "work": context.work, "repo": context.repo, "json": context.json, "debug": context.debug,
        "verbosity": context.console.verbosity,
    }  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        [], ["--json"], ["--work", "elsewhere"], ["--work=elsewhere"], ["--repo", "other"], ["-v"], ["-vv"],
        ["--verbose", "-v"], ["-q"], ["-q", "-v"], ["-v", "-q"], ["--debug"],
        ["--json", "--work", "a", "--repo", "b", "-v", "--debug"], ["--work", "a", "--work", "b"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_option_means_the_same_before_and_after_the_command(options, seen):
    before = got(seen, *options, "doctor")
    assert got(seen, "doctor", *options) == before
    plain = got(seen, "doctor")
    assert (before == plain) == (options == [])


def test_what_stands_on_both_sides_adds_up_and_the_later_folder_wins(seen):
    found = got(seen, "--work", "a", "-v", "--json", "doctor", "--work", "b", "-v")
    assert found == {"work": Path("b"), "repo": Path(), "json": True, "debug": False, "verbosity": 2}
    assert got(seen, "-q", "doctor", "-v")["verbosity"] == -1
    assert got(seen, "-v", "doctor", "-q")["verbosity"] == -1


def test_the_environment_holds_for_the_group_and_no_variable_of_a_command_overrides_it(seen, monkeypatch):
    monkeypatch.setenv("RELEASE_TOOL_WORK", "from-environment")
    monkeypatch.setenv("RELEASE_TOOL_DOCTOR_WORK", "never")
    assert got(seen, "doctor")["work"] == Path("from-environment")
    assert got(seen, "doctor", "--work", "typed")["work"] == Path("typed")


@pytest.mark.parametrize(("words", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in commands()])
def test_every_command_takes_them_and_lists_none_of_them_in_its_own_help(words, command, capsys):
    assert sum(isinstance(parameter, AfterCommand) for parameter in command.params) == len(DECLARED)
    assert cli.run([*words, "--help"]) == 0
    text = capsys.readouterr().out
    options = text.partition("Options:")[2]
    assert not [name for name in ("--work ", "--repo ", "--json ", "--debug ") if f"\n  {name}" in options]
    assert "\n  Global options fit here too: --work, --repo, --json, -v, -q, --debug.\n" in text


def test_the_help_of_the_tool_lists_each_of_them_once(capsys):
    assert cli.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert {flag: text.count(flag) for flag in EVERY if len(flag) > 2} == {flag: 1 for flag in EVERY if len(flag) > 2}


def test_no_command_has_an_option_of_its_own_with_such_a_name():
    for words, command in commands():
        own = [
            option
            for parameter in command.params
            if isinstance(parameter, click.Option) and not isinstance(parameter, AfterCommand)
            for option in (*parameter.opts, *parameter.secondary_opts)
        ]
        assert not set(own) & set(EVERY), words


def test_a_plan_asked_for_with_json_behind_it_is_json_in_the_folder_named_behind_it(tmp_path, capsys):
    model = Files(dense()).write(tmp_path / "tiny")
    assert cli.run(["plan", str(model), "--version", "1.0.0", "--json", "--work", str(tmp_path / "w")]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "release-tool/plan@1"
    assert (tmp_path / "w" / "plan.json").is_file()


@pytest.mark.parametrize(
    "arguments", [["doctor", "--work", ""], ["doctor", "--work", __file__], ["--work", "", "doctor"]]
)
def test_a_folder_that_is_none_is_refused_in_both_places(arguments, capsys):
    assert cli.run(arguments) == 2
    assert "--work" in capsys.readouterr().err


def test_debug_behind_the_command_shows_the_trace(tmp_path, capsys):
    assert cli.run(["fetch", "--work", str(tmp_path), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
