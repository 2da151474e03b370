"""Export one model in one format as opensearch-py-ml's uploader does; runs in the peer's own environment.

    PEER_PYTHON bench/peer.py --format torch_script --model FOLDER --out DIR --facts FILE

The calls are those of the uploader's own script (``SentenceTransformerModel(...).save_as_pt`` and ``.save_as_onnx``),
one process a format, with one thing left out in the peer's favour: the licence, which it downloads. Afterwards, and
not measured (``--facts`` alone looks at an archive that is there), it is told whether the archive holds the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

SENTENCES = ["first test sentence", "This is a very long sentence used for testing embedding model.", "test sentence"]
PACKAGES = ("opensearch-py-ml", "torch", "transformers", "sentence-transformers", "onnx", "onnxscript")


def export(form: str, model: Path, out: Path) -> None:
    """Write the archive of one format into an empty folder."""
    from opensearch_py_ml.ml_models import SentenceTransformerModel

    uploader = SentenceTransformerModel(model_id=str(model), folder_path=str(out), overwrite=True)
    if form == "torch_script":
        uploader.save_as_pt(model_id=str(model), sentences=SENTENCES)
    else:
        uploader.save_as_onnx(model_id=str(model))


def facts(model: Path, out: Path) -> dict[str, object]:
    """Return what lies in the archive of a folder, and whether the weights can be in it."""
    (archive,) = out.glob("*.zip")
    with ZipFile(archive) as file:
        entries = {item.filename: item.file_size for item in file.infolist()}
    weights = (model / "model.safetensors").stat().st_size
    largest = max(entries.values())
    outside = {item.name: item.stat().st_size for item in out.rglob("*.data")}
    return {
        "archive_bytes": archive.stat().st_size,
        "entries": entries,
        "has_weights": largest > weights // 2,
        "left_outside": outside,
        "versions": {name: version(name) for name in PACKAGES},
    }


def main() -> int:
    """Export, or look at what was exported."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--format", choices=("torch_script", "onnx"))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--facts", type=Path, help="write what the archive in --out holds")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.format:
        export(options.format, options.model, options.out)
    if options.facts:
        options.facts.write_text(json.dumps(facts(options.model, options.out), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
