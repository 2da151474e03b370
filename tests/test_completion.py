"""Completion as the README describes it, in the shells that are here: words, options on both sides, values, folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from release_tool.cli import COMMANDS, run

BASH = """
eval "$(_RELEASE_TOOL_COMPLETE=bash_source release-tool)"
read -r -a COMP_WORDS <<< "$LINE"
[[ "$LINE" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_release_tool_completion release-tool
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = "_RELEASE_TOOL_COMPLETE=fish_source release-tool | source; complete --do-complete $LINE"
# What zsh itself would show needs a terminal: its two ways to show words print them here.
ZSH = """
autoload -Uz compinit && compinit -u -d "$ZDOTDIR/dump"
eval "$(_RELEASE_TOOL_COMPLETE=zsh_source release-tool)"
words=("${(@s: :)LINE}")
CURRENT=${#words}
_describe() { print -l -- "${(@P)3}" }
compadd() { print -l -- "${(@P)argv[-1]}" }
_release_tool_completion
"""
SHELLS = {"bash": ["bash", "-c", BASH], "fish": ["fish", "--no-config", "-c", FISH], "zsh": ["zsh", "-f", "-c", ZSH]}
HERE = [name for name in SHELLS if shutil.which(name)]


@pytest.fixture
def complete(tmp_path):
    """Return a function that types a line in a shell and asks for what may follow."""
    tool = tmp_path / "bin" / "release-tool"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m release_tool "$@"\n')
    tool.chmod(0o755)
    (tmp_path / "my-model").mkdir()

    def ask(shell, line):
        env = {
            **os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "LINE": line, "ZDOTDIR": str(tmp_path),
            "HOME": str(tmp_path),
        }  # fmt: skip
        done = subprocess.run(
            SHELLS[shell], capture_output=True, text=True, check=False, timeout=60, env=env, cwd=tmp_path
        )
        assert done.stderr == ""
        return {word.split("\t")[0].split(":")[0] for word in done.stdout.split("\n") if word}

    return ask


@pytest.mark.parametrize("shell", HERE)
def test_commands_options_and_values_are_completed(complete, shell):
    assert complete(shell, "release-tool ") >= set(COMMANDS)
    assert complete(shell, "release-tool tr") == {"trace"}
    assert complete(shell, "release-tool node ") == {"up", "status", "down"}
    assert complete(shell, "release-tool trace --fram") == {"--framework"}
    assert complete(shell, "release-tool trace --kind cross") == {"cross-encoder"}
    assert complete(shell, "release-tool trace --format ") == {"torch_script", "onnx", "both"}
    assert complete(shell, "release-tool validate --on ") >= {"runtime", "node"}


@pytest.mark.parametrize("shell", HERE)
def test_global_options_are_completed_before_and_after_the_command(complete, shell):
    assert complete(shell, "release-tool --js") == {"--json"}
    assert complete(shell, "release-tool trace --js") == {"--json"}
    assert complete(shell, "release-tool node up --js") == {"--json"}


def test_a_model_is_completed_as_a_folder(monkeypatch, capsys):
    monkeypatch.setenv("_RELEASE_TOOL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_CWORD", "2")
    for command in ("plan", "trace", "run"):
        monkeypatch.setenv("COMP_WORDS", f"release-tool {command} my")
        assert run([]) == 0
        assert capsys.readouterr().out == "dir,my\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_for_each_shell_is_printed_with_exit_0(shell, monkeypatch, capsys):
    monkeypatch.setenv("_RELEASE_TOOL_COMPLETE", f"{shell}_source")
    assert run([]) == 0
    assert "_release_tool_completion" in capsys.readouterr().out


def test_the_lines_of_the_readme_are_those_that_were_tried(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    (bash,) = [line for line in BASH.splitlines() if "_source" in line]
    (zsh,) = [line for line in ZSH.splitlines() if "_source" in line]
    assert bash in readme
    assert zsh == bash.replace("bash_source", "zsh_source")
    assert "zsh: zsh_source" in readme
    assert FISH.partition(";")[0] in readme
