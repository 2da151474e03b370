"""A model whose author writes to runners, shells, browsers and terminals goes through the whole pipeline.

Its words appear where people read them, and do nothing anywhere.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from github_double.clock import Impatient
from github_double.git import Git
from github_double.server import GitHubDouble
from jenkins_double.server import TOKEN, USER, Jenkins
from markdown_it import MarkdownIt
from tiny_models import make

from release_tool.cli import run
from release_tool.core import ledger_columns as column
from release_tool.core.escape import DESCRIPTION_FORBIDDEN, html_text, markdown, one_line
from release_tool.services import clock, github

LINE = (
    "A model $(touch CANARY) `touch CANARY` ${IFS} ::set-output name=digest::x ::add-mask::a ##[add-path]/x | cell |"
    " <script>alert(1)</script> <img src=x onerror=alert(1)> [link](javascript:alert(1)) ![i](https://example.org/i)"
    " @octocat \x1b[2J\x1b[31mred\u202egnp.exe\u2066 {{ 7*7 }} {% include 'x' %} www.example.org & \"double\" 'single'."
)
LICENCE = "Evil $(touch CANARY) <img src=x onerror=alert(1) ::error::x"
CARD = f"""---
license: other
license_name: {LICENCE}
---
# ::error::Evil <script>alert(1)</script>

{LINE}
::set-output name=digest::y
\r::add-mask::b\r\n ::warning::c
"""
FENCE = "```\n</pre></details><script>alert(1)</script>\n::stop-commands::x"
CONFIG = {
    "_name_or_path": LINE,
    "id2label": {"0": LINE},
    "label2id": {LINE: 0},
    "finetuning_task": FENCE,
    "$(touch CANARY)": "`touch CANARY`",
    "::set-output name=digest::z": "\u2028::error::",
}
FILE = "$(touch CANARY) `touch CANARY` & a|b<img src=x>.json"
COMMANDS = frozenset({"group", "endgroup", "warning", "error"})
"""Workflow commands that the tool gives itself."""
NAME = "acme/evil"
KEPT = "A model (touch CANARY) touch CANARY IFS ::set-output name digest::x ::add-mask::a add-path /x cell alert(1)"
"""What is left of the line in the characters of the server."""


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self):
        super().__init__()
        self.live = []
        self.words = []

    def handle_starttag(self, tag, attrs):
        names = {name for name, _ in attrs}
        targets = [
            value or "" for name, value in attrs if name in {"href", "src", "action", "formaction", "xlink:href"}
        ]
        wild = [value for value in targets if not re.match(r"https?://(127\.0\.0\.1|github\.example)[:/]|#", value)]
        if tag in {"script", "img", "iframe", "object", "embed", "form", "base", "link", "meta"} - self.own:
            self.live.append(tag)
        self.live += [name for name in names if name.startswith("on")] + wild

    own = frozenset()

    def handle_data(self, data):
        self.words.append(data)


class Page(Reader):
    """A whole page may say which characters it is in."""

    own = frozenset({"meta"})


def words_of_html(text, reader=Page):
    """Return what a page says, once nothing in it is live."""
    found = reader()
    found.feed(text)
    assert found.live == []
    return one_line(" ".join(found.words))


def words_of_markdown(text):
    """Return what GitHub would show of a page, once nothing in it is live."""
    return words_of_html(MarkdownIt("commonmark").enable("table").render(text), Reader)


def outputs_of(text):
    """Read the file of step outputs as the runner does: name → values, in order."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        match = re.fullmatch(r"([^=<]+)<<(.+)", line)
        assert match, line
        value = []
        while (part := next(lines)) != match[2]:
            value.append(part)
        found.setdefault(match[1], []).append("\n".join(value))
    return found


class Quick(clock.Clock):
    """Waits for nothing."""

    def sleep(self, seconds):
        pass


@pytest.fixture
def place(hub, tmp_path, monkeypatch):
    """Return a folder to work in, as a job of GitHub Actions has it; the model lies on the hub."""
    model = make(tmp_path / "tiny", "bert", "dense")
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), **CONFIG})
    hub.add(NAME, {**files, "README.md": CARD, FILE: "x"})
    folder = tmp_path / "job"
    (folder / "repo").mkdir(parents=True)
    monkeypatch.chdir(folder)
    bucket = (folder / "bucket").as_uri()
    (folder / "repo" / "release-tool.toml").write_text(f'[targets.desk]\nto = "{bucket}"\n')
    inputs = {
        "model": NAME, "version": "1.0.0", "format": "onnx", "accept_licence": "yes", "upload_target": "desk",
    }  # fmt: skip
    (folder / "event.json").write_text(json.dumps({"inputs": inputs, "sender": {"login": "octocat"}}))
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": folder / "outputs",
        "GITHUB_STEP_SUMMARY": folder / "summary.md",
        "RELEASE_TOOL_JENKINS_USER": USER,
        "RELEASE_TOOL_JENKINS_TOKEN": TOKEN,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(clock, "Clock", Quick)
    monkeypatch.setattr(github, "Clock", Impatient)
    return folder


@pytest.fixture
def tool(place, capfd):
    """Return a function that runs one command and checks what a runner would read of it."""

    def call(*arguments, code=0):
        assert run(["--work", "work", "--repo", "repo", *map(str, arguments)]) == code, capfd.readouterr().err
        said = capfd.readouterr()
        for text in (said.out, said.err):
            assert set(re.findall(r"^\s*::([\w-]+)", text, re.MULTILINE)) <= COMMANDS
            assert not re.search(r"^(?!::).*##\[", text, re.MULTILINE)
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028-\u202e\u2066-\u2069]", text)
        assert not list(place.parent.rglob("*CANARY"))
        return said.out

    return call


@pytest.mark.slow
def test_hostile_words_are_words_from_the_plan_to_the_record(place, tool, tmp_path):
    with Jenkins() as jenkins, GitHubDouble(git_of(tmp_path), "octo-org/models") as hub:
        out = tool("plan", "--event", "event.json")
        assert KEPT in out
        assert LICENCE in out
        for command in ("check", "fetch", "trace", "validate", "review"):
            tool(command)
        digest = json.loads((place / "work/review.json").read_text())["digest"]
        tool("publish", "--approved", digest)
        tool("notify", "--server", jenkins.address)
        tool("record", "--uploader", "octocat")
        with pytest.MonkeyPatch.context() as env:
            for name, value in hub.environment().items():
                env.setenv(name, value)
            assert KEPT in tool("propose", "--uploader", "octocat", "--dry-run")
            assert hub.pulls == []
            tool("propose", "--uploader", "octocat")
        check_pages(place)
        check_documents(place)
        check_records(place / "repo", tool)
        # It may become a commit's message: of a card's words only letters are left.
        body = words_of_markdown(hub.pulls[0]["body"])
        assert re.search(r"Evil\W+touch CANARY", body)
        assert not re.search(r"::|<img|\$\(|`touch", hub.pulls[0]["body"])
    assert (place / "work/snapshot" / FILE).is_file()
    found = outputs_of((place / "outputs").read_text())
    assert found["digest"] == [digest]
    assert not [value for values in found.values() for value in values if "\n" in value or "CANARY" in value]
    assert not re.search(r"^\s*::", (place / "summary.md").read_text(), re.MULTILINE)


def git_of(tmp_path):
    return Git.made(tmp_path / "models.git", {".github/workflows/ci.yml": b"on:\n  workflow_dispatch:\n"})


def check_pages(place):
    """Check what approvers read: the page in both forms, and the summaries of the steps."""
    page, html = (place / "work/review.md").read_text(), (place / "work/review.html").read_text()
    for text in (page, (place / "summary.md").read_text()):
        words = words_of_markdown(text)
        assert KEPT in words
        assert LICENCE in words
        assert markdown(KEPT) in text
    words = words_of_html(html)
    assert KEPT in words
    assert LICENCE in words
    assert html_text(LICENCE) in html
    # The served config.json stands there whole, with the fields that the model's author chose.
    for text in (words_of_markdown(page), words):
        assert "touch CANARY" in text.partition("all_config")[2]
        assert "stop-commands" in text


def check_documents(place):
    """Check what servers read: the description in their characters, the model's own fields as one JSON text."""
    config = json.loads((place / "work/archives/onnx.config.json").read_text())
    assert config["description"].startswith(KEPT)
    assert not DESCRIPTION_FORBIDDEN.search(config["description"])
    model = json.loads(config["model_config"]["all_config"])
    assert {name: model[name] for name in CONFIG} == CONFIG


def check_records(repo, tool):
    """Check the ledger and the files that follow from it, before a yank with hostile reasons and after."""
    (row,) = json.loads((repo / "supported_models.json").read_text())
    assert row[column.DESCRIPTION].startswith(KEPT)
    listing = json.loads((repo / "model_listing/pretrained_models_all_versions.json").read_text())
    assert listing[0]["versions"]["1.0.0"]["description"] == row[column.DESCRIPTION]
    assert "huggingface/acme/evil  1.0.0  onnx" in tool("listing", "show")
    assert KEPT in tool("models", "show", NAME)
    tool("models", "list")
    tool("models", "explain", row[column.APPROVED])
    tool("models", "diff", f"{NAME}@1.0.0", f"{NAME}@1.0.0")
    to = (repo.parent / "work/published").as_uri()
    tool("models", "explain", row[column.APPROVED], "--to", to)
    tool("models", "diff", f"{NAME}@1.0.0", f"{NAME}@1.0.0", "--to", to)
    tool("listing", "publish", "--to", to)
    tool("models", "yank", f"{NAME}@1.0.0", "--reason", LINE)
    assert "touch CANARY" in tool("models", "explain", row[column.APPROVED])
    assert "touch CANARY" in tool("models", "list") + tool("models", "show", NAME)
    history = words_of_markdown((repo / "MODEL_UPLOAD_HISTORY.md").read_text())
    assert "$(touch CANARY) `touch CANARY`" in history
    assert "<img src=x onerror=alert(1)>" in history
    assert NAME in words_of_markdown((repo / "CHANGELOG.md").read_text())
    tool("record", "--check")
    tool("models", "restore", f"{NAME}@1.0.0")


@pytest.mark.parametrize("name", ["::set-output name=x::y.md", "a\nb.md", "\x1b[2J.md", "../x.md"])
def test_a_file_whose_name_can_not_be_written_safely_is_refused_in_escaped_words(place, hub, tool, name):
    first = hub.repositories[NAME]
    files = first.commits[first.resolve("main")]
    hub.add("acme/worse", {**files, name: "x"})
    tool("plan", "acme/worse", "--version", "1.0.0", "--accept-licence", "other", code=4)
    assert not (place / "work/plan.json").exists()
