"""Small real archives for the tests: ONNX by onnx.helper, TorchScript by torch.jit, zips by hand."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 8
VOCABULARY = 16
DENSE_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SPARSE_INPUTS = ("input1.input_ids", "input1.attention_mask")

WORD_PIECE = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0},
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}},
}


def tokenizer(**over: Any) -> bytes:
    """Return a tokenizer.json, changed by its top keys."""
    return json.dumps({**WORD_PIECE, **over}).encode()


def bpe(**over: Any) -> dict[str, Any]:
    """Return a BPE model of tokenizer.json."""
    return {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], **over}


def onnx_model(
    inputs: tuple[str, ...] = DENSE_INPUTS,
    *,
    shape: tuple[Any, ...] = ("batch", "sequence"),
    dtype: str = "INT64",
    outputs: tuple[tuple[Any, ...] | None, ...] = (("batch", "sequence", WIDTH),),
    output_dtype: str = "FLOAT",
    ir: int = 8,
    opsets: dict[str, int] | None = None,
    nodes: tuple[tuple[str, str], ...] = (),
    doc: str = "",
    weight_rows: int = 4,
) -> Any:
    """Return a ModelProto with one weight; its nodes resolve by name, it is not meant to compute."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(_numbers(weight_rows), "weight")
    names = [f"output_{place}" for place in range(len(outputs))]
    made = [helper.make_node("Cast", [inputs[0]], ["cast"], to=TensorProto.FLOAT)]
    made += [helper.make_node(name, ["cast"], [f"extra_{i}"], domain=domain) for i, (domain, name) in enumerate(nodes)]
    made += [helper.make_node("Add", ["cast", "weight"], [name]) for name in names]
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info(name, getattr(TensorProto, dtype), shape) for name in inputs],
        [
            helper.make_tensor_value_info(name, getattr(TensorProto, output_dtype), dims)
            for name, dims in zip(names, outputs, strict=True)
        ],
        initializer=[weight],
        doc_string=doc,
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": 17}).items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir)
    assert isinstance(model, onnx.ModelProto)
    return model


def _numbers(rows: int) -> Any:
    import numpy as np

    return np.ones((rows, WIDTH), np.float32)


def script(module: Any, *example: Any, frozen: bool = False) -> bytes:
    """Return a traced module as torch saves it; frozen, its weights are constants of the code."""
    import warnings

    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # torch 2.13 calls TorchScript deprecated; the servers load nothing else.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        traced = torch.jit.trace(module.eval(), example, strict=False)
        torch.jit.save(torch.jit.freeze(traced) if frozen else traced, buffer)
    return buffer.getvalue()


def pack(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip of exactly these entries."""
    # Level 0 is deflate without searching: as quick as storing.
    with zipfile.ZipFile(path, "w", method, compresslevel=0 if method == zipfile.ZIP_DEFLATED else None) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def request(path: Path, **over: Any) -> dict[str, Any]:
    """Return the register request of a dense ONNX archive, changed by key; a value of ``...`` takes the key out."""
    model_config = {
        "model_type": "bert",
        "embedding_dimension": WIDTH,
        "framework_type": "sentence_transformers",
        "pooling_mode": "MEAN",
        "normalize_result": True,
        "all_config": '{"model_type":"bert"}',
    }
    changes = over.pop("model_config", {})
    data: dict[str, Any] = {
        "name": "huggingface/acme/tiny",
        "version": "1.0.0",
        "description": "A tiny model.",
        "model_format": "ONNX",
        "function_name": "TEXT_EMBEDDING",
        "model_config": changes if changes is ... else {**model_config, **changes},
        "model_content_size_in_bytes": path.stat().st_size,
        "model_content_hash_value": sha256(path.read_bytes()).hexdigest(),
    }
    return _without({**data, **over})


def _without(data: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if value is not ...}
    if isinstance(kept.get("model_config"), dict):
        kept["model_config"] = {key: value for key, value in kept["model_config"].items() if value is not ...}
    return kept


def rewrite(script_file: bytes, changes: dict[str, Any]) -> bytes:
    """Return a TorchScript file with entries changed: end of the name → a function of the bytes; null takes it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(script_file)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            change = next((fn for end, fn in changes.items() if name.endswith(end)), lambda data: data)
            if change is not None:
                new.writestr(name, change(old.read(name)))
    return out.getvalue()


def tiny_scripts() -> dict[str, bytes]:  # noqa: C901 - one small module after the other
    """Return TorchScript files of the signatures that the server knows, and of some that it does not."""
    import torch
    from script_models import Bursts, script_bytes
    from torch import nn

    ids = torch.ones(1, 5, dtype=torch.long)
    both = {"input_ids": ids, "attention_mask": ids}

    class Core(nn.Module):
        def __init__(self, dtype: Any = torch.float32) -> None:
            super().__init__()
            self.table = nn.Embedding(VOCABULARY, WIDTH, dtype=dtype)

    class Dense(Core):
        key = "sentence_embedding"

        def forward(self, x: Any) -> Any:
            return {self.key: (self.table(x["input_ids"]) * x["attention_mask"].unsqueeze(-1)).sum(1)}

    class Sparse(Dense):
        key = "output"

    class OtherKey(Dense):
        key = "something"

    class Sdpa(Core):
        def forward(self, x: Any) -> Any:
            states = self.table(x["input_ids"]) * x["attention_mask"].unsqueeze(-1)
            return {"sentence_embedding": nn.functional.scaled_dot_product_attention(states, states, states).sum(1)}

    class Bound(Core):
        def forward(self, x: Any) -> Any:
            states = self.table(x["input_ids"]) * x["attention_mask"].unsqueeze(-1)
            return {"sentence_embedding": states.sum(1) + torch.zeros(WIDTH, device="cpu")}

    class One(Core):
        def forward(self, ids: Any) -> Any:
            return self.table(ids)

    class Two(Core):
        def forward(self, ids: Any, mask: Any) -> Any:
            return self.table(ids) * mask.unsqueeze(-1)

    class Three(Core):
        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return (self.table(ids + types * 0) * mask.unsqueeze(-1)).sum((1, 2)).unsqueeze(0)

    class Four(Core):
        def forward(self, ids: Any, mask: Any, types: Any, sentences: Any) -> Any:
            return (self.table(ids + types * 0) * mask.unsqueeze(-1)).sum(2)[0].argmax(0, keepdim=True) + sentences[
                0, :1
            ]

    class Answer(Core):
        def forward(self, ids: Any, mask: Any) -> Any:
            states = self.table(ids) * mask.unsqueeze(-1)
            return states[..., 0], states[..., 1]

    class Named(Core):
        def forward(self, ids: Any, mask: Any) -> Any:
            states = self.table(ids) * mask.unsqueeze(-1)
            return {"start": states[..., 0], "end": states[..., 1]}

    return {
        "dense": script(Dense(), both),
        "frozen": script(Dense(), both, frozen=True),
        "half": script(Dense(torch.float16), both),
        "sparse": script(Sparse(), both),
        "other-key": script(OtherKey(), both),
        "sdpa": script(Sdpa(), both),
        "bound": script(Bound(), both),
        "one": script(One(), ids),
        "two": script(Two(), ids, ids),
        "cross-encoder": script(Three(), ids, ids, ids),
        "highlighter": script(Four(), ids, ids, ids, ids.int()),
        "question-answering": script(Answer(), ids, ids),
        "named": script(Named(), ids, ids),
        "metrics": script_bytes(Bursts()),
    }
