"""The command line as a whole: help without weight, one table, one boundary, one code an error."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys

import click
import pytest

from release_tool import __version__, cli, errors
from release_tool.errors import MissingExtra, ReleaseError, RequestError

HEAVY = (
    "torch", "transformers", "sentence_transformers", "onnx", "onnxruntime", "tokenizers", "safetensors", "numpy",
    "boto3", "jinja2", "huggingface_hub", "requests", "httpx", "jenkins",
)  # fmt: skip

LOOK = """
import json, sys
from release_tool.cli import COMMANDS, run
heavy, found = set(json.loads(sys.argv[1])), {}
for line in ([], ["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)):
    code = run(line)
    found[" ".join(line)] = [code, sorted(heavy & {name.split(".")[0] for name in sys.modules})]
print("\\n" + json.dumps(found))
"""


def test_no_help_imports_anything_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(HEAVY)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"", "--help", "--version", *(f"{name} --help" for name in cli.COMMANDS)}
    assert {line: modules for line, (_, modules) in found.items() if modules} == {}
    assert {line: code for line, (code, _) in found.items() if code not in (0, 2)} == {}


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_the_table_says_what_the_command_says(name):
    module, line = cli.COMMANDS[name]
    command = importlib.import_module(module).command
    assert command.get_short_help_str(limit=200) == line
    assert command.name in (name, "command")


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_option_has_a_help_text(name):
    command = importlib.import_module(cli.COMMANDS[name][0]).command
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def words_of_examples(command, name):
    """Return the words after the command's name of each example in a help text, comments and other programs cut off."""
    lines = [line.strip() for line in (command.help or "").splitlines()]
    found = [re.search(rf"release-tool (?:--\S+ (?:\S+ )?)?{name}\b([^|)\"]*)", line) for line in lines]
    return [shlex.split(match[1], comments=True) for match in found if match]


def every_command():
    for name in cli.COMMANDS:
        command = cli.cli.get_command(None, name)
        yield pytest.param(name, command, id=name)
        for below, child in command.commands.items() if isinstance(command, click.Group) else ():
            yield pytest.param(f"{name} {below}", child, id=f"{name} {below}")


@pytest.mark.parametrize(("name", "command"), list(every_command()))
def test_every_help_has_an_example_with_options_that_exist(name, command, capsys):
    examples = words_of_examples(command, name)
    assert examples
    whole = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    params = [parameter for one in whole for parameter in one.params]
    known = {option for parameter in params for option in (*parameter.opts, *parameter.secondary_opts)}
    for words in examples:
        assert not [word for word in words if word.startswith("-") and word not in known]
    assert cli.run([*name.split(), "--help"]) == 0
    assert f"release-tool {name}" in capsys.readouterr().out.partition("Usage:")[2].partition("\n")[2]


def test_help_lists_every_command_in_the_order_of_the_flow(capsys):
    assert cli.run(["--help"]) == 0
    text = capsys.readouterr().out
    places = [re.search(rf"^  {name} ", text, re.MULTILINE).start() for name in cli.COMMANDS]
    assert places == sorted(places)


def test_plan_trace_and_run_take_the_same_inputs():
    def inputs(name):
        command = importlib.import_module(cli.COMMANDS[name][0]).command
        return {parameter.name: parameter.opts for parameter in command.params}

    wanted = {
        "model_source", "version", "revision", "model_id", "kind", "format", "name", "prefix", "description",
        "embedding_dimension", "pooling_mode", "normalize_result", "prune_ratio", "activation", "model_init_kwargs",
        "idf", "framework", "target_versions", "accept_licence", "allow_pickle", "trust_remote_code", "event", "model",
    }  # fmt: skip
    first = inputs("plan")
    for name in ("plan", "trace", "run"):
        found = inputs(name)
        assert wanted <= set(found)
        assert {key: found[key] for key in wanted} == {key: first[key] for key in wanted}


# --- the boundary -----------------------------------------------------------------------------------------------------


def classes(base=ReleaseError):
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from classes(child)


def test_every_family_of_errors_has_a_code_of_its_own():
    families = [child for child in ReleaseError.__subclasses__() if child.__module__ == errors.__name__]
    codes = [family.exit_code for family in families]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 130} & set(codes)


@pytest.mark.parametrize("error", list(classes()), ids=lambda error: error.__name__)
def test_every_error_has_a_hint_that_is_not_the_one_for_defects(error):
    assert error.default_hint
    assert error.default_hint != ReleaseError.default_hint
    assert error.__doc__


def fail_with(monkeypatch, error):
    def command():
        raise error

    made = click.Command("plan", callback=command)
    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_args: made)
    return cli.run(["plan"])


@pytest.mark.parametrize("error", list(classes()), ids=lambda error: error.__name__)
def test_an_error_prints_what_and_hint_and_exits_with_its_code(error, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if error is MissingExtra:
        made = MissingExtra("trace", "torch")
    elif error is RequestError:
        made = RequestError((errors.Fault("--version", "odd"),))
    else:
        made = error("It went wrong.")
    assert fail_with(monkeypatch, made) == error.exit_code
    text = capsys.readouterr()
    assert f"error: {made}" in text.err
    assert f"hint: {made.hint}" in text.err
    assert "Traceback" not in text.err
    assert text.out == ""


def test_a_missing_extra_names_the_line_that_installs_it():
    assert "pip install 'release-tool[trace]'" in MissingExtra("trace", "torch").hint


def test_under_actions_an_error_is_one_annotation_of_one_line(monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert fail_with(monkeypatch, errors.SourceError("bad\n::set-output name=x::y 100%", hint="do\nthis")) == 4
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::")]
    assert lines == ["::error title=SourceError::bad%0A::set-output name=x::y 100%25 do%0Athis"]


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("x"), 1), (KeyboardInterrupt(), 130), (OSError(28, "x"), 12)]
)
def test_what_is_no_error_of_ours_has_its_own_code(error, code, monkeypatch, capsys):
    assert fail_with(monkeypatch, error) == code
    text = capsys.readouterr().err
    assert ("Traceback" in text) == (code == 1)
    assert "hint: " in text


def test_an_unknown_command_names_the_closest(capsys):
    assert cli.run(["plann"]) == 2
    assert "Did you mean plan?" in capsys.readouterr().err


def test_an_unknown_option_points_to_help(capsys):
    assert cli.run(["plan", "--colour"]) == 2
    assert "release-tool plan --help" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    assert cli.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
