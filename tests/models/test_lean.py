"""Importing less, and no garbage collection meanwhile, change no byte of an archive; the compiler comes when asked."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_models import FAMILIES, make
from work_folders import make_work

from release_tool.core.kinds import ModelKind
from release_tool.models.starting import no_collection

PROGRAM = """
import gc, json, sys
from pathlib import Path

import torch

from release_tool.core.bundle import Bundle
from release_tool.documents import WorkFolder
from release_tool.models.export import export

HEAVY = ("torch._inductor", "torch._dynamo.eval_frame", "torch.distributed.tensor", "scipy.optimize")


def main(folders):
    seen = {"collecting": gc.isenabled(), "archives": {}}
    for name in folders:
        work = WorkFolder(Path(name))
        export(work, [])
        for bundle in sorted(work.folder.glob("bundle-*.json")):
            found = work.read(Bundle, bundle.name, made_by="trace")
            seen["archives"][f"{work.folder.name}/{found.artifact}"] = found.archive.sha256
    seen["loaded"] = [name for name in HEAVY if name in sys.modules]

    import torch._dynamo
    mark = torch._dynamo.disable
    seen["marks"] = [mark(print) is print, mark(recursive=False)(print) is print]
    seen["asked"] = torch._dynamo.is_compiling()
    seen["real"] = torch._dynamo.disable is not mark and "torch._dynamo.eval_frame" in sys.modules
    sys.stderr.write("SEEN " + json.dumps(seen) + chr(10))
    return 0
"""

KINDS = {
    "sparse": ModelKind.SPARSE,
    "cross-encoder": ModelKind.CROSS_ENCODER,
    "question-answering": ModelKind.QUESTION_ANSWERING,
    "highlighter": ModelKind.HIGHLIGHTER,
}


def exported(folder: Path, side: str, models: dict[str, tuple[Path, dict[str, Any]]], *, lean: bool) -> dict[str, Any]:
    """Export every model in one fresh process, as trace starts it, and return what it saw."""
    (folder / "lean_probe.py").write_text(PROGRAM, encoding="utf-8")
    works = []
    for name, (model, request) in models.items():
        works.append(str(folder / side / name))
        make_work(model, Path(works[-1]), **request)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    switch = ["--lean"] if lean else []
    command = [sys.executable, "-P", "-m", "release_tool.models.starting", *switch, "lean_probe", *works]
    env = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=600)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("SEEN ")]
    seen: dict[str, Any] = json.loads(line.removeprefix("SEEN "))
    return seen


def test_a_lean_export_leaves_the_compiler_out_and_writes_the_same_bytes(tmp_path: Path) -> None:
    models: dict[str, tuple[Path, dict[str, Any]]] = {}
    for family in FAMILIES:
        models[f"{family}-dense"] = (make(tmp_path / f"{family}-dense", family, "dense"), {})
    for name, kind in KINDS.items():
        models[f"bert-{name}"] = (make(tmp_path / f"bert-{name}", "bert", name), {"kinds": (kind,)})
    sdpa = {"target_versions": ("3.6",)}
    models["sdpa"] = (models["modernbert-dense"][0], sdpa)
    lean = exported(tmp_path, "lean", models, lean=True)
    usual = exported(tmp_path, "usual", models, lean=False)
    assert len(lean["archives"]) > len(models)
    assert lean["archives"] == usual["archives"]
    assert lean["loaded"] == []
    assert usual["loaded"], "transformers imports none of it by itself any more: take the module out"
    assert lean["marks"] == [True, True]
    assert lean["real"]
    assert lean["asked"] is usual["asked"] is False
    assert lean["collecting"]


def test_collection_rests_only_inside_and_stays_off_for_whoever_switched_it_off() -> None:
    with no_collection():
        assert not gc.isenabled()
        with no_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(OSError), no_collection():  # noqa: PT011 - any error must leave it on
        raise OSError
    assert gc.isenabled()
