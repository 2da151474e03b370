"""Write the trained model as a folder that release-tool plan takes: nothing in it is of this machine or of today."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from release_tool.models.finetune.query_weights import named_weights
from release_tool.models.loading import transformer_folder

if TYPE_CHECKING:
    from pathlib import Path

PLACES = frozenset({"_name_or_path", "name_or_path", "tokenizer_name_or_path", "is_local", "local_files_only"})
"""Keys of config files that tell where a model was loaded from."""
TOKENIZER = "tokenizer.json"


def save_model_folder(
    model: Any, folder: Path, *, base: Path, scratch: Path, weights: list[float] | None = None
) -> None:
    """Write a model's folder whole or not at all.

    Args:
        model: of sentence-transformers.
        folder: where it goes; what is there is replaced.
        base: the model that it started from.
        scratch: where it is written first.
        weights: of query tokens, for ``idf.json``; null for a dense model.
    """
    aside = scratch / f"{folder.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(str(aside), create_model_card=False)
    if weights is not None:
        text = json.dumps(named_weights(weights, model.tokenizer), ensure_ascii=False, indent=1) + "\n"
        (aside / "idf.json").write_text(text, encoding="utf-8")
    _keep_tokenizer(aside, base)
    for path in sorted(aside.rglob("*.json")):
        if path.name not in (TOKENIZER, "idf.json", "vocab.json"):
            _strip(path)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def _keep_tokenizer(folder: Path, base: Path) -> None:
    """Keep the base's tokenizer.json byte for byte: training leaves its last padding and truncation in it."""
    own = transformer_folder(base)[0] / TOKENIZER
    if own.is_file():
        for path in folder.rglob(TOKENIZER):
            shutil.copyfile(own, path)


def _strip(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, dict) and PLACES & data.keys():
        kept = {name: value for name, value in data.items() if name not in PLACES}
        path.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
