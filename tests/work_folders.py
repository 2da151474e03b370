"""A planned and fetched work folder from a model folder, by the same code that the steps run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from release_tool.core.detect import detect
from release_tool.core.kinds import Framework
from release_tool.core.plan import LicenceFacts, ReleasePlan, SourceFacts
from release_tool.core.planning import make_plan
from release_tool.core.request import ReleaseRequest
from release_tool.core.source import SourceFile, SourceSnapshot
from release_tool.documents import WorkFolder
from release_tool.services.open_source import open_source


def make_work(model: Path, work: Path, **request: Any) -> ReleasePlan:
    """Write plan.json, the snapshot and source.json."""
    source = open_source(model, revision=None, trust_remote_code=request.get("trust_remote_code", False))
    pinned = source.pin()
    seen = detect(source.read, pinned.files)
    if "framework" in request:
        request["framework"] = Framework(request["framework"])
    plan = make_plan(
        ReleaseRequest(**{"model": model.name, "version": "1.0.0", **request}),
        SourceFacts(
            origin=source.origin,
            model_id=pinned.model_id,
            revision=pinned.revision,
            requested_revision=None,
            files=pinned.files,
            licence=LicenceFacts(declared="apache-2.0", listed=True),
            model=seen.model,
            kinds=seen.kinds,
            kind_reason=seen.reason,
            remote_code=pinned.remote_code,
        ),
        tool_version="0",
    )
    folder = WorkFolder(work)
    folder.write("plan.json", plan)
    source.download(pinned.files, folder.path(SourceSnapshot.FOLDER), lambda _: None)
    files = tuple(
        SourceFile(path=file.path, size=file.size, sha256=folder.sha256(f"snapshot/{file.path}"), hub_digest=None)
        for file in pinned.files
    )
    folder.write(
        "source.json",
        SourceSnapshot(uses=folder.uses("plan.json"), model_id=pinned.model_id, revision=pinned.revision, files=files),
    )
    return plan
