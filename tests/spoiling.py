"""Spoil an archive of a work folder as if the exporter itself had written it so: every digest is right again."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.config import config_text
from release_tool.documents import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np


@dataclass
class Archive:
    """Members and register request of an archive that is being spoilt."""

    members: dict[str, bytes]
    config: dict[str, Any]

    @property
    def model(self) -> str:
        return next(name for name in self.members if name.endswith((".onnx", ".pt")))


def spoil(work: Path, artifact: str, change: Callable[[Archive], None]) -> None:
    """Change an archive and its config, and put the right digests into config and bundle."""
    bundle_path = work / f"bundle-{artifact}.json"
    bundle = json.loads(bundle_path.read_text())
    archive_path, config_path = work / bundle["archive"]["path"], work / bundle["config"]["path"]
    with zipfile.ZipFile(archive_path) as source:
        archive = Archive({name: source.read(name) for name in source.namelist()}, json.loads(config_path.read_text()))
    change(archive)
    archive_path.unlink()
    with zipfile.ZipFile(archive_path, "w") as target:
        for name, data in archive.members.items():
            target.writestr(name, data)
    archive.config["model_content_hash_value"] = file_sha256(archive_path)
    archive.config["model_content_size_in_bytes"] = archive_path.stat().st_size
    config_path.unlink()
    config_path.write_text(config_text(archive.config))
    for key, path in (("archive", archive_path), ("config", config_path)):
        bundle[key] |= {"sha256": file_sha256(path), "size": path.stat().st_size}
    bundle_path.write_text(json.dumps(bundle))


def edit_onnx(archive: Archive, change: Callable[[Any], None]) -> None:
    import onnx

    model = onnx.load_from_string(archive.members[archive.model])
    change(model)
    archive.members[archive.model] = model.SerializeToString()


def edit_weight(name: str, change: Callable[[np.ndarray], None]) -> Callable[[Archive], None]:
    from onnx import numpy_helper

    def inner(model: Any) -> None:
        for tensor in model.graph.initializer:
            if tensor.name.endswith(name):
                weight = numpy_helper.to_array(tensor).copy()
                change(weight)
                tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
                return
        raise AssertionError(name)

    return lambda archive: edit_onnx(archive, inner)
