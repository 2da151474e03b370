"""What the shell gives: a reader that goes away, closed streams, small encodings, a variable for traces, names."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_files import Files, dense

from release_tool.cli import run
from release_tool.core.escape import MAX_LINE, MAX_WORD, shortened

TOOL = [sys.executable, "-m", "release_tool"]


@pytest.fixture
def model(tmp_path):
    return Files(dense()).write(tmp_path / "tiny")


def shell(script, tmp_path, **env):
    """Run a line of bash in which $TOOL is the tool; return the finished process."""
    settings = {**os.environ, "TOOL": " ".join(TOOL), **env}
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, check=False, timeout=120, cwd=tmp_path, env=settings,
        encoding=env.get("PYTHONIOENCODING", "utf-8").replace("ascii", "utf-8"),
    )  # fmt: skip


# --- a reader that goes away ------------------------------------------------------------------------------------------


def gone(arguments, *, stderr=subprocess.PIPE):
    """Run the tool with a stdout that nobody reads; return exit code and stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*TOOL, *arguments], stdout=writing, stderr=writing if stderr is None else stderr, check=False, timeout=120
        )
    finally:
        os.close(writing)
    return done.returncode, (done.stderr or b"").decode()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["trace", "--help"], ["--version"], [], ["plan", "MODEL", "--version", "1", "--dry-run"]]
)
def test_when_nobody_reads_the_tool_ends_as_a_broken_pipe_ends_others(arguments, model, tmp_path):
    work = str(tmp_path / "work")
    code, said = gone(
        [] if not arguments else ["--work", work, *(str(model) if a == "MODEL" else a for a in arguments)]
    )
    assert code == 141
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert "error" not in said.lower()


def test_when_nobody_reads_the_errors_either_it_ends_all_the_same(tmp_path):
    assert gone(["--work", str(tmp_path), "fetch"], stderr=None) == (141, "")


def test_a_reader_of_one_line_sees_no_trace(model, tmp_path):
    done = shell(f"$TOOL --work w plan {model} --version 1 -q --json | head -n 1", tmp_path)
    assert (done.stdout, done.stderr) == ("{\n", "")
    assert (tmp_path / "w" / "plan.json").is_file()


def test_a_pipe_that_broke_elsewhere_is_an_error_and_no_silent_end(monkeypatch, capsys):
    from release_tool import cli

    def broken(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(cli.cli.get_command(None, "doctor"), "callback", broken)
    assert run(["doctor"]) == 11
    assert "broke off" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_no_file_of_ours_gets_their_number(closed, model, tmp_path):
    done = shell(f"$TOOL --work w plan {model} --version 1 {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    json.loads((tmp_path / "w" / "plan.json").read_text())


# --- encodings --------------------------------------------------------------------------------------------------------

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}


def test_where_file_names_are_no_utf8_the_tool_says_what_to_set(model, tmp_path):
    done = shell(f"$TOOL --work w plan {model} --version 1", tmp_path, **ASCII)
    assert done.returncode == 12
    assert "File names are written as ascii" in done.stderr
    assert "PYTHONUTF8=1" in done.stderr
    done = shell(f"$TOOL --work w plan {model} --version 1", tmp_path, **{**ASCII, "PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_text_that_a_stream_can_not_show_is_no_defect_and_json_stays_json(encoding, tmp_path):
    model = Files(dense()).write(tmp_path / "m\u00f6dell-\u6a21")
    command = f"$TOOL --work w plan '{model}' --version 1 --name tiny --description 'h\u00fcbsch \u6a21'"
    done = shell(command, tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    # click itself takes ASCII for a mistake and writes UTF-8.
    assert {"ascii": "h\u00fcbsch \u6a21", "latin-1": "h\u00fcbsch \\u6a21"}[encoding] in done.stdout
    done = shell(f"{command} --json -q", tmp_path, PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout)["description"] == "h\u00fcbsch \u6a21"


# --- the variable for traces ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("true", True), ("", False), ("0", False), (None, False)])
def test_the_variable_shows_the_trace_as_the_option_does(value, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RELEASE_TOOL_DEBUG", raising=False)
    if value is not None:
        monkeypatch.setenv("RELEASE_TOOL_DEBUG", value)
    assert run(["--work", str(tmp_path), "fetch"]) == 2
    assert ("Traceback" in capsys.readouterr().err) == shown


# --- words of errors --------------------------------------------------------------------------------------------------


def test_an_argument_is_called_by_its_name(capsys):
    assert run(["validate", "no-such-file"]) == 2
    err = capsys.readouterr().err
    assert "[ARCHIVE]" not in err
    assert "Invalid value for ARCHIVE: File 'no-such-file'" in err


@pytest.mark.parametrize("command", ["plan", "trace", "run"])
def test_an_empty_event_is_refused_by_name(command, capsys):
    assert run([command, "--event", ""]) == 2
    assert "'--event': it is empty; name a file, or leave the option out" in capsys.readouterr().err


def test_a_variable_for_the_event_that_is_empty_counts_as_not_set(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RELEASE_TOOL_PLAN_EVENT", "")
    assert run(["--work", str(tmp_path), "plan"]) == 2
    assert "MODEL: is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["plan", "NAME", "--version", "1"], ["compat", "NAME"], ["NAME"], ["plan", "--NAME"]]
)
def test_a_very_long_name_is_cut_in_the_middle(arguments, tmp_path, capsys):
    name = "a" * 2_500 + "zebra"
    assert run(["--work", str(tmp_path), *(word.replace("NAME", name) for word in arguments)]) == 2
    err = capsys.readouterr().err
    assert max(map(len, err.splitlines())) < 800
    assert "…" in err
    assert "hint: " in err


@given(st.text(max_size=30), st.integers(0, 5_000), st.text(alphabet="ab \n", max_size=300))
def test_what_is_short_stays_and_what_is_long_gets_short(start, length, end):
    text = start + "x" * length + end
    found = shortened(text)
    assert all(len(line) <= MAX_LINE for line in found.split("\n"))
    assert all(len(word) <= MAX_WORD for word in found.split())
    if len(text) <= MAX_WORD:
        assert found == text
    assert shortened(found) == found
