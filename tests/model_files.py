"""Models as maps of path to content: the small files that plan reads, with weights of no meaning."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from release_tool.core.plan import PlannedFile

if TYPE_CHECKING:
    from pathlib import Path

BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 32,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None, "model": {"type": "WordPiece", "vocab": {"a": 0}}}


def safetensors(values: int = 1000, dtype: str = "F32", **tensors: dict[str, Any]) -> bytes:
    """Return a file of one vector of zeros, or of the tensors given as in the header; written by the format's rule."""
    size = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}[dtype] * values
    header = tensors or {"weight": {"dtype": dtype, "shape": [values], "data_offsets": [0, size]}}
    end = max(tensor["data_offsets"][1] for tensor in header.values())
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * end


WEIGHTS = safetensors()
OLD = "sentence_transformers.models"
NEW = "sentence_transformers"


def content(value: Any) -> bytes:
    """Return the bytes of a file: bytes as they are, text as UTF-8, anything else as JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


class Files:
    """A model in memory."""

    def __init__(self, files: dict[str, Any]) -> None:
        self.files = {path: content(value) for path, value in files.items() if value is not None}

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes."""
        return self.files.get(path)

    def planned(self) -> tuple[PlannedFile, ...]:
        """Return the list of files as a source pins it."""
        return tuple(
            PlannedFile(path=path, size=len(data), digest="sha256:" + hashlib.sha256(data).hexdigest())
            for path, data in sorted(self.files.items())
        )

    def write(self, folder: Path) -> Path:
        """Write the model as a person would have it on a disk."""
        for path, data in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return folder


def bare(**over: Any) -> dict[str, Any]:
    """Return a BERT without head and modules; ``config`` changes keys of config.json, ``None`` drops a file."""
    config = {**BERT, **over.pop("config", {})}
    base = {
        "config.json": {key: value for key, value in config.items() if value is not None},
        "tokenizer.json": TOKENIZER,
        "tokenizer_config.json": {"model_max_length": 512},
        "model.safetensors": WEIGHTS,
    }
    return {**base, **over}


def module(index: int, name: str, path: str, namespace: str = OLD) -> dict[str, Any]:
    """Return an entry of modules.json."""
    return {"idx": index, "name": str(index), "path": path, "type": f"{namespace}.{name}"}


def dense(**over: Any) -> dict[str, Any]:
    """Return a BERT with mean pooling and normalisation, in the layout of sentence-transformers 2."""
    base = {
        "modules.json": [
            module(0, "Transformer", ""),
            module(1, "Pooling", "1_Pooling"),
            module(2, "Normalize", "2_Normalize"),
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "README.md": "---\nlicense: apache-2.0\n---\n# Tiny\n\nIt maps sentences & paragraphs to a vector. More.\n",
    }
    return {**bare(**over.pop("bare", {})), **base, **over}


def sparse(**over: Any) -> dict[str, Any]:
    """Return a masked language model that brings token weights."""
    return {
        **bare(config={"architectures": ["BertForMaskedLM"], **over.pop("config", {})}),
        "idf.json": {"a": 1.5},
        **over,
    }
