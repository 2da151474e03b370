"""Importing less changes nothing that computes: answers stay equal, and the compiler comes when it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tiny_models import make

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
import torch
from transformers import AutoModel

HEAVY = ("torch._inductor", "torch.distributed.tensor", "torch.distributed.fsdp", "scipy.optimize", "sympy")
torch.set_num_threads(1)
model = AutoModel.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
with torch.no_grad():
    hidden = model(input_ids=torch.arange(5, 17)[None], attention_mask=torch.ones(1, 12, dtype=torch.int64))[0]
seen = {"loaded": [name for name in HEAVY if name in sys.modules], "hidden": hidden.numpy().tobytes().hex()}

import torch._dynamo
mark = torch._dynamo.disable
seen["marks"] = [mark(print) is print, mark(recursive=False)(print) is print]
seen["asked"] = torch._dynamo.is_compiling()
seen["real"] = torch._dynamo.disable is not mark and "torch._dynamo.eval_frame" in sys.modules
print(json.dumps(seen))
"""


def run(folder: Path, model: Path, *, lean: bool) -> dict[str, Any]:
    (folder / "lean_probe.py").write_text(PROGRAM, encoding="utf-8")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", *(["release_tool.models.lean"] if lean else []), "lean_probe", str(model)]
    env = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_lean_process_leaves_heavy_modules_out_computes_the_same_bytes_and_still_has_the_compiler(
    tmp_path: Path,
) -> None:
    model = make(tmp_path / "model", "bert", "dense")
    lean, usual = run(tmp_path, model, lean=True), run(tmp_path, model, lean=False)
    assert lean["loaded"] == []
    assert usual["loaded"], "transformers imports none of it by itself any more: take the module out"
    assert lean["hidden"] == usual["hidden"]
    assert lean["marks"] == [True, True]
    assert lean["real"]
    assert lean["asked"] is usual["asked"] is False
