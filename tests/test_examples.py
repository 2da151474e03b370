"""The events in examples/ are what GitHub would write for the form, and each of them is planned as it says."""

from __future__ import annotations

import json
import os

import pytest
from model_files import Files, bare, dense, sparse
from workflows_reading import ROOT, read

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.finetune.recipe import parse_recipe
from release_tool.core.finetune.stages import FinetunePlan
from release_tool.core.kinds import ModelKind
from release_tool.core.plan import ReleasePlan

EVENTS = sorted((ROOT / "examples" / "events").glob("*.json"))
OWN = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
CODE = {"configuration_own.py": "CONFIG = 1\n", "modeling_own.py": "from .configuration_own import CONFIG\n"}
MODELS = {
    "cross-encoder": bare(config={"architectures": ["BertForSequenceClassification"], "num_labels": 1}),
    "dense": dense(),
    "int8": dense(),
    "overwrite": dense(),
    "question-answering": bare(
        config={"architectures": ["BertForQuestionAnswering"]}, **{"README.md": "---\nlicense: cc-by-4.0\n---\n"}
    ),
    "remote-code": {**dense(bare={"config": {"auto_map": OWN}}), **CODE},
    "sparse": sparse(),
    "tuned": dense(),
}
"""Example → the model that the hub, or the run, holds under the name."""
PLANNED = {
    "cross-encoder": ((ModelKind.CROSS_ENCODER,), ["torch_script", "onnx"], "staging"),
    "dense": ((ModelKind.DENSE,), ["torch_script", "onnx"], "staging"),
    "int8": ((ModelKind.DENSE,), ["torch_script", "onnx", "onnx-int8"], "staging"),
    "overwrite": ((ModelKind.DENSE,), ["torch_script", "onnx"], "production"),
    "question-answering": ((ModelKind.QUESTION_ANSWERING,), ["torch_script"], "staging"),
    "remote-code": ((ModelKind.DENSE,), ["torch_script", "onnx"], "staging"),
    "sparse": ((ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER), ["torch_script", "onnx", "tokenizer"], "production"),
    "tuned": ((ModelKind.DENSE,), ["torch_script", "onnx"], "staging"),
}


RECIPES = sorted((ROOT / "examples" / "finetune").glob("*.toml"))
HERE = [path for path in RECIPES if not path.with_suffix(".parameters.json").exists()]
"""Those of AWS are executed in its emulator, in tests of their own."""
READ_FROM = {
    "laptop": ("sentences", "dense"),
    "openai": ("openai", "dense"),
    "own-queries": ("file", "dense"),
    "sparse": ("sentences", "sparse"),
}
"""Recipe → who writes its queries, what it trains."""


def test_every_recipe_is_read_and_tells_what_it_is_for():
    found = {path.stem: parse_recipe(path.read_bytes()) for path in RECIPES}
    here = {path.stem: (found[path.stem].queries.provider, found[path.stem].model.kind) for path in HERE}
    assert here == READ_FROM
    assert all(path.read_text(encoding="utf-8").startswith("# ") for path in RECIPES)


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_a_recipe_is_planned_with_the_files_that_it_names(path, hub, tmp_path):
    recipe = parse_recipe(path.read_bytes())
    hub.add(recipe.model.base, Files(dense()).files)
    for teacher in recipe.teach.models:
        hub.add(teacher, Files(MODELS["cross-encoder"]).files)
    (tmp_path / "recipe.toml").write_bytes(path.read_bytes())
    (tmp_path / "articles.jsonl").write_text('{"id": "a", "text": "one two three"}\n')
    (tmp_path / "queries.jsonl").write_text('{"id": "q1", "text": "one"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\n")
    arguments = ["-q", "--work", str(tmp_path / "work"), "finetune", "plan", "--recipe", str(tmp_path / "recipe.toml")]
    assert run(arguments) == 0
    plan = decode_text(FinetunePlan, (tmp_path / "work" / "finetune" / "plan.json").read_text())
    assert plan.recipe == recipe
    assert plan.pins["base"].startswith(f"{recipe.model.base}@")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("RELEASE_TOOL_", "GITHUB_")):
            monkeypatch.delenv(name)


def names(paths):
    return [path.stem for path in paths]


def inputs_of(name):
    return json.loads((ROOT / "examples" / "events" / f"{name}.json").read_text(encoding="utf-8"))["inputs"]


@pytest.fixture
def planned(hub, tmp_path, monkeypatch):
    """Return a function that plans an example's event as the workflow does, and returns exit code and plan."""
    monkeypatch.chdir(tmp_path)

    def call(name, **changed):
        inputs = inputs_of(name)
        model = Files(MODELS[name])
        if inputs["tune_run_id"]:
            model.write(tmp_path / "tuned-model")
        else:
            held = hub.add(inputs["model"], model.files)
            if inputs["revision"]:  # the hub of the test makes its own ids
                held.commits[inputs["revision"]] = held.commits.pop(held.branches["main"])
                held.branches["main"] = inputs["revision"]
        event = json.loads((ROOT / "examples" / "events" / f"{name}.json").read_text(encoding="utf-8"))
        (tmp_path / "event.json").write_text(json.dumps({**event, "inputs": {**inputs, **changed}}))
        work = tmp_path / "work"
        monkeypatch.setenv("RELEASE_TOOL_PLAN_TUNED_MODEL", "tuned-model")
        code = run(["--work", str(work), "--repo", str(ROOT), "-q", "plan", "--event", "event.json"])
        path = work / "plan.json"
        return code, decode_text(ReleasePlan, path.read_text()) if path.is_file() else None

    return call


def test_every_example_is_planned():
    assert names(EVENTS) == sorted(MODELS) == sorted(PLANNED)


@pytest.mark.parametrize("path", EVENTS, ids=names(EVENTS))
def test_an_example_is_what_github_writes_for_the_form(path):
    event = json.loads(path.read_text(encoding="utf-8"))
    form = read("release-model.yml")["on"]["workflow_dispatch"]["inputs"]
    assert list(event["inputs"]) == list(form)
    for name, value in event["inputs"].items():
        assert isinstance(value, str), name
        about = form[name]
        assert value or not about.get("required"), name
        assert value in {"choice": about.get("options"), "boolean": ["true", "false"]}.get(about["type"], [value]), name
    assert (ROOT / event["workflow"]).is_file()
    assert event["ref"] == "refs/heads/main"
    assert event["sender"]["login"]


@pytest.mark.parametrize("path", EVENTS, ids=names(EVENTS))
def test_an_example_is_planned_as_it_says(path, planned):
    code, plan = planned(path.stem)
    assert code == 0
    kinds, artifacts, target = PLANNED[path.stem]
    assert plan.kinds == kinds
    assert [item.id for item in plan.artifacts] == artifacts
    asked = inputs_of(path.stem)
    assert (plan.source.model_id, plan.request.version) == (asked["model"], asked["version"])
    assert plan.request.upload_target == target
    assert plan.to == f"s3://opensearch-model-releases{'-staging' if target == 'staging' else ''}"
    assert plan.request.overwrite == (path.stem == "overwrite")
    assert plan.source.origin == ("folder" if path.stem == "tuned" else "hub")
    assert plan.request.tune_run_id == (asked["tune_run_id"] or None)
    assert {item.revision for item in plan.source.remote_code} == ({asked["remote_code"]} - {""})
    who = plan.request.accepted_by
    assert (plan.source.licence.accepted, who) == (
        ("cc-by-4.0", "octocat") if asked["accept_licence"] == "yes" else (None, None)
    )


def test_without_the_commit_the_code_of_the_example_does_not_run(planned, capsys):
    assert planned("remote-code", remote_code="") == (4, None)
    assert "modeling_own.OwnModel" in capsys.readouterr().err


def test_another_commit_than_the_example_names_is_refused(planned, capsys):
    assert planned("remote-code", remote_code="e" * 40) == (2, None)
    assert inputs_of("remote-code")["remote_code"] in capsys.readouterr().err


def test_the_page_on_releasing_names_every_example():
    text = (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8")
    assert [path.name for path in EVENTS if f"(../examples/events/{path.name})" not in text] == []
