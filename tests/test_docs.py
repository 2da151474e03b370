"""The pages in docs/ say what the tool does: their commands exist, their example is what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from archive_makers import onnx_model, pack, tokenizer

from release_tool.cli import COMMANDS, cli, run
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


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.name)
def test_the_commands_of_a_page_exist_with_their_options(page):
    for arguments in commands(page.read_text(encoding="utf-8")):
        name = next(word for word in arguments if word in COMMANDS)
        command = cli.get_command(None, name)
        whole = [command, *getattr(command, "commands", {}).values()]
        params = [parameter for one in whole for parameter in one.params]
        known = {option for parameter in params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in arguments if word.startswith("--") and word.split("=")[0] not in known]
        assert not unknown, f"release-tool {name} has no {unknown}"


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
