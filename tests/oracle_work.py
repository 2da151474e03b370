"""A work folder as fetch leaves it, around a tiny model: plan.json, source.json, snapshot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from factories import make_facts, make_model_facts, make_plan
from tiny_models import make

from release_tool.core.config import all_config_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import ModelKind
from release_tool.core.source import SourceFile, SourceSnapshot
from release_tool.documents import WorkFolder, file_sha256

if TYPE_CHECKING:
    from pathlib import Path

KIND_OF = {"bare": ModelKind.DENSE, "sparse-st": ModelKind.SPARSE}


def make_work(folder: Path, family: str, kind: str, plan: dict[str, Any] | None = None, **options: Any) -> WorkFolder:
    """Make a tiny model of ``tiny_models`` and the documents around it.

    ``plan`` changes the plan's fields; its ``model`` those of the model's facts. Other keywords go to ``make``.
    """
    snapshot = make(folder / "snapshot", family, kind, **options)
    return write_documents(WorkFolder(folder), snapshot, KIND_OF.get(kind) or ModelKind(kind), plan or {})


def write_documents(work: WorkFolder, snapshot: Path, kind: ModelKind, plan: dict[str, Any]) -> WorkFolder:
    """Write plan.json and source.json for the files of a snapshot."""
    config = json.loads((snapshot / "config.json").read_text())
    modules = snapshot / "modules.json"
    facts = {
        "model_type": config["model_type"],
        "architecture": (config.get("architectures") or [None])[0],
        "modules": tuple(item["type"].rsplit(".", 1)[-1] for item in json.loads(modules.read_text()))
        if modules.is_file()
        else (),
        "idf_path": "idf.json" if (snapshot / "idf.json").is_file() else None,
        "config_sha256": sha256_bytes(all_config_text(config).encode()),
        **plan.pop("model", {}),
    }
    source = make_facts(kinds=(kind,), model=make_model_facts(**facts))
    work.write("plan.json", make_plan(kind, source=source, **plan))
    files = tuple(
        SourceFile(
            path=path.relative_to(snapshot).as_posix(),
            size=path.stat().st_size,
            sha256=file_sha256(path),
            hub_digest=None,
        )
        for path in sorted(snapshot.rglob("*"))
        if path.is_file()
    )
    work.write(
        "source.json",
        SourceSnapshot(uses=work.uses("plan.json"), model_id="acme/tiny", revision="c" * 40, files=files),
    )
    return work
