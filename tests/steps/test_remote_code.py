"""Models with Python of their own: pinned at plan, run from those bytes and no others, proven as every model is."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from tiny_models import make

from release_tool.cli import run
from release_tool.core.bundle import Bundle
from release_tool.core.certificate import Certificate
from release_tool.core.plan import ReleasePlan
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder
from release_tool.errors import IntegrityError, UnsafeModel, UnsupportedModel

CODE = {
    "configuration_own.py": """
from transformers import BertConfig

class OwnConfig(BertConfig):
    model_type = "own_bert"
""",
    "modeling_own.py": """
from transformers import BertModel

from .configuration_own import OwnConfig
from .parts.twist import twist

class OwnModel(BertModel):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        found = super().forward(*args, **kwargs)
        if isinstance(found, tuple):
            return (twist(found[0]), *found[1:])
        found.last_hidden_state = twist(found.last_hidden_state)
        return found
""",
    "parts/twist.py": """
def twist(states):
    # Far from what a plain BERT answers: nobody can take one for the other.
    return states.flip(-1) * 1.5 + 0.25
""",
}
AUTO_MAP = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}


def written(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def make_own(folder: Path, auto_map: dict[str, str] = AUTO_MAP) -> Path:
    """Write a BERT whose class is of its own, without the code."""
    make(folder, "bert", "dense", max_length=64)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own_bert", "architectures": ["OwnModel"], "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def own(tmp_path):
    folder = make_own(tmp_path / "own")
    written(folder, CODE)
    return folder


@pytest.fixture
def borrowed(tmp_path, hub):
    """Return a model whose code lies in another repository, and that repository."""
    code = hub.add("acme/code-of.ours", CODE)
    return make_own(tmp_path / "own", {key: f"acme/code-of.ours--{ref}" for key, ref in AUTO_MAP.items()}), code


def release(work: Path, model: Path, *flags: str, framework: str = "both") -> int:
    return run(["-q", "--work", str(work), "trace", str(model), "--version", "1.0.0", "--format", framework, *flags])


def step(work: Path, *arguments: str) -> int:
    return run(["-q", "--work", str(work), *arguments])


def archives_of(work: Path) -> dict[str, str]:
    folder = WorkFolder(work)
    names = ("torch_script", "onnx")
    return {name: folder.read(Bundle, f"bundle-{name}.json", made_by="trace").archive.sha256 for name in names}


def assert_proven(work: Path) -> None:
    for name in ("torch_script", "onnx"):
        certificate = WorkFolder(work).read(Certificate, f"certificate-{name}.json", made_by="validate")
        assert certificate.green
        (proof,) = certificate.proofs
        assert all(item.max_abs is not None for item in proof.comparisons)


def test_a_models_own_code_is_refused_by_name_without_the_flag(own, tmp_path, capfd):
    assert release(tmp_path / "work", own) == UnsafeModel.exit_code
    said = capfd.readouterr().err
    assert "modeling_own.OwnModel" in said
    assert "--trust-remote-code" in said


def test_a_models_own_code_is_released_and_proven_and_gives_the_same_bytes_elsewhere(own, tmp_path):
    first, second = tmp_path / "first", tmp_path / "deep" / "second"
    assert release(first, own, "--trust-remote-code") == 0
    assert step(first, "validate") == 0
    assert_proven(first)
    assert release(second, own, "--trust-remote-code") == 0
    assert archives_of(first) == archives_of(second)
    assert not list((first / "snapshot").rglob("*.pyc"))


def test_code_of_another_repository_is_released_as_it_was_pinned(borrowed, tmp_path, monkeypatch):
    model, code = borrowed
    work = tmp_path / "work"
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    assert step(work, "plan", str(model), "--version", "1.0.0", "--trust-remote-code") == 0
    code.commit({"modeling_own.py": "raise SystemExit('moved')"})
    assert step(work, "fetch") == 0
    # Where transformers would find code by itself: a copy in the user's cache, and a folder of that name.
    for place in (tmp_path / "modules" / "transformers_modules", Path()):
        monkeypatch.chdir(tmp_path)
        written(place / "acme" / "code-of.ours", dict.fromkeys(CODE, "raise SystemExit('not pinned')"))
    assert step(work, "trace") == 0
    assert step(work, "validate") == 0
    assert_proven(work)


def test_code_that_changed_after_the_plan_is_not_taken(own, tmp_path, capfd):
    work = tmp_path / "work"
    assert step(work, "plan", str(own), "--version", "1.0.0", "--trust-remote-code") == 0
    (own / "parts" / "twist.py").write_text("def twist(states):\n    return states\n")
    assert step(work, "fetch") == IntegrityError.exit_code
    assert "has changed" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["trace", "validate"])
def test_code_that_changed_in_the_work_folder_does_not_run(own, tmp_path, capfd, command):
    work, ran = tmp_path / "work", tmp_path / "ran"
    assert release(work, own, "--trust-remote-code", framework="onnx") == 0
    (work / "snapshot" / "parts" / "twist.py").unlink()
    (work / "snapshot" / "parts" / "twist.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    for stale in work.glob("answers-*"):
        stale.unlink()
    flags = ["--again"] if command == "trace" else []
    capfd.readouterr()
    assert step(work, command, *flags) == IntegrityError.exit_code
    assert "parts/twist.py of the snapshot is not what was fetched" in capfd.readouterr().err
    assert not ran.exists()


def test_a_module_of_the_models_own_is_refused_by_name_at_plan(own, tmp_path, capfd):
    modules = json.loads((own / "modules.json").read_text())
    modules[1]["type"] = "custom_pooling.Own"
    (own / "modules.json").write_text(json.dumps(modules))
    (own / "custom_pooling.py").write_text("raise SystemExit('ran')")
    work = tmp_path / "work"
    assert step(work, "plan", str(own), "--version", "1.0.0", "--trust-remote-code") == UnsupportedModel.exit_code
    assert "custom_pooling.Own" in capfd.readouterr().err
    assert not (work / "plan.json").exists()


def test_code_that_the_model_wants_and_does_not_have_is_named_at_plan(own, tmp_path, capfd):
    (own / "modeling_own.py").unlink()
    plan = ("plan", str(own), "--version", "1.0.0", "--trust-remote-code")
    assert step(tmp_path / "work", *plan) == UnsupportedModel.exit_code
    assert "has no modeling_own.py" in capfd.readouterr().err


# --- the guard itself ---------------------------------------------------------------------------------------------


@pytest.fixture
def fetched(own, tmp_path):
    work = tmp_path / "work"
    assert step(work, "plan", str(own), "--version", "1.0.0", "--trust-remote-code") == 0
    assert step(work, "fetch") == 0
    folder = WorkFolder(work)
    plan = folder.read(ReleasePlan, "plan.json", made_by="plan")
    return plan, folder.read(SourceSnapshot, "source.json", made_by="fetch"), work / "snapshot"


def class_of(reference: str, place: object) -> type:
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    return get_class_from_dynamic_module(reference, str(place), local_files_only=True)


def test_a_class_comes_from_the_snapshot_and_is_forgotten_afterwards(fetched):
    from release_tool.models.pinned_code import pinned_code

    plan, source, snapshot = fetched
    with pinned_code(plan, source, snapshot):
        found = class_of("modeling_own.OwnModel", snapshot)
        assert found is class_of("modeling_own.OwnModel", snapshot)
        assert found.__module__ == "transformers_modules.local.own.modeling_own"
        assert Path(sys.modules[found.__module__].__file__) == snapshot / "modeling_own.py"
    assert not [name for name in sys.modules if name.startswith("transformers_modules.local")]


@pytest.mark.parametrize("reference", ["elsewhere.Own", "acme/other--modeling_own.OwnModel"])
def test_code_that_the_plan_does_not_name_is_refused(fetched, reference, tmp_path):
    from release_tool.models.pinned_code import pinned_code

    plan, source, snapshot = fetched
    shutil.copytree(snapshot, tmp_path / "acme" / "other")
    (snapshot / "elsewhere.py").write_text("raise SystemExit('ran')")
    with pinned_code(plan, source, snapshot), pytest.raises(UnsafeModel, match="not in the plan"):
        class_of(reference, snapshot)


def test_without_the_plans_flag_no_code_is_loaded_at_all(fetched):
    from dataclasses import replace

    from release_tool.models.pinned_code import pinned_code

    plan, source, snapshot = fetched
    plan = replace(plan, request=replace(plan.request, trust_remote_code=False))
    with pinned_code(plan, source, snapshot), pytest.raises(UnsafeModel, match=r"modeling_own\.py of the model"):
        class_of("modeling_own.OwnModel", snapshot)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import a_package_that_nobody_has", "needs the package a_package_that_nobody_has"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("OwnModel = None", "has no class OwnModel"),
    ],
)
def test_code_that_can_not_be_imported_is_named_with_its_reason(own, tmp_path, text, words):
    from release_tool.models.pinned_code import pinned_code

    (own / "modeling_own.py").write_text(text)
    work = tmp_path / "work"
    assert step(work, "plan", str(own), "--version", "1.0.0", "--trust-remote-code") == 0
    assert step(work, "fetch") == 0
    folder = WorkFolder(work)
    plan = folder.read(ReleasePlan, "plan.json", made_by="plan")
    source = folder.read(SourceSnapshot, "source.json", made_by="fetch")
    with pinned_code(plan, source, work / "snapshot"), pytest.raises(UnsupportedModel, match=words):
        class_of("modeling_own.OwnModel", work / "snapshot")
