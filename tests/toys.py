"""Small torch modules and tokenizers, and archives of them, made without transformers: for tests of the emulator.

``hidden`` depends on ids, types, places and on the whole masked text, so a wrong input, a wrong order, a lost type or
another length shows in the numbers.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn

from release_tool.models.deprecations import deprecated_writers

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?;:'\"-()"
WORDS = """the a of and in who where when ferry train sea house room open old long is was not red green blue""".split()  # noqa: SIM905
WIDTH = 16


def tokenizer(family: str = "wordpiece", **changes: Any) -> str:
    """Return a tokenizer.json of a family; ``changes`` replace its top-level keys (truncation, padding)."""
    built = {"wordpiece": _word_piece, "bpe": _byte_pair, "unigram": _unigram}[family]()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    built.add_special_tokens(SPECIAL)
    return json.dumps({**json.loads(built.to_str()), **changes})


def _word_piece() -> Tokenizer:
    tokens = dict.fromkeys([*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS])
    built = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    built.normalizer = normalizers.BertNormalizer()
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    return built


def _byte_pair() -> Tokenizer:
    tokens = dict.fromkeys([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the", "er"])
    built = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [("t", "h"), ("th", "e"), ("e", "r")]))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    return built


def _unigram() -> Tokenizer:
    pieces = [*((name, 0.0) for name in SPECIAL), ("▁", -5.0)]
    pieces += [(f"▁{word}", -3.0 - i / 50) for i, word in enumerate(WORDS)]
    pieces += [(letter, -7.0 - i / 50) for i, letter in enumerate(LETTERS)]
    built = Tokenizer(models.Unigram(pieces, unk_id=1))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    built.decoder = decoders.Metaspace()
    return built


def vocabulary_size(text: str) -> int:
    """Return how many tokens a tokenizer.json knows."""
    return Tokenizer.from_str(text).get_vocab_size()


class Hidden(nn.Module):
    """[1, seq] → [1, seq, WIDTH]."""

    def __init__(self, vocabulary: int, *, seed: int = 0, places: int = 512) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tokens = nn.Embedding(vocabulary, WIDTH)
            self.places = nn.Embedding(places, WIDTH)
            self.types = nn.Embedding(2, WIDTH)
            self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor | None = None) -> torch.Tensor:
        """Return hidden states; refuses texts longer than ``places`` as a real model does."""
        places = torch.arange(ids.shape[1], dtype=torch.int64)
        states = self.tokens(ids) + self.places(places)
        if types is not None:
            states = states + self.types(types)
        weights = mask.unsqueeze(-1).to(states.dtype)
        whole = (states * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        return torch.tanh(self.mix(states + whole))


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pool by the mean over the mask: [1, seq, d] → [1, d]."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


class Toy(nn.Module):
    """Anything with ``hidden`` inside; the forward is given."""

    def __init__(self, hidden: Hidden, call: Any) -> None:
        super().__init__()
        self.hidden = hidden
        self.head = nn.Linear(WIDTH, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.linspace(-2, 2, 2 * WIDTH).reshape(2, WIDTH))
            self.head.bias.zero_()
        self.call = call

    def forward(self, *arguments: Any) -> Any:
        """Call the function that makes it a model of a kind."""
        return self.call(self, *arguments)


def example(pair: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, mask and types to trace with."""
    ids = torch.tensor([[2, 40, 41, 3, 42, 3]])
    return ids, torch.ones_like(ids), torch.tensor([[0, 0, 0, 0, 1, 1]]) if pair else torch.zeros_like(ids)


def traced(model: nn.Module, arguments: tuple[Any, ...]) -> bytes:
    """Return a TorchScript file; the model may be called with any length afterwards."""
    stream = io.BytesIO()
    with deprecated_writers(), torch.no_grad():
        torch.jit.save(torch.jit.trace(model, arguments, strict=False, check_trace=False), stream)
    return stream.getvalue()


def exported(
    model: nn.Module,
    arguments: tuple[Any, ...],
    inputs: list[str],
    *,
    outputs: tuple[str, ...] = ("out",),
    **settings: Any,
) -> bytes:
    """Return an ONNX file with dynamic batch and sequence, opset 17, IR 8 unless ``ir`` says otherwise."""
    import onnx

    ir = settings.pop("ir", 8)
    stream = io.BytesIO()
    axes = {name: {0: "batch", 1: "sequence"} for name in inputs} | {name: {0: "batch"} for name in outputs}
    if settings.pop("sequence_output", True):
        axes[outputs[0]][1] = "sequence"
    with deprecated_writers(), torch.no_grad():
        torch.onnx.export(
            model,
            arguments,
            stream,
            input_names=inputs,
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
            **settings,
        )
    graph = onnx.load_from_string(stream.getvalue())
    graph.ir_version = ir
    return graph.SerializeToString()


def zipped(path: Path, members: dict[str, bytes | str]) -> Path:
    """Write a stored zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def config(path: Path, function: str, model_format: str, **model: Any) -> Path:
    """Write a register request; sparse ones, and those with ``model_config=None``, have no model_config."""
    data: dict[str, Any] = {"name": "acme/toy", "function_name": function, "model_format": model_format}
    wanted = not function.startswith("SPARSE") if not model else model.pop("model_config", True)
    if wanted:
        data["model_config"] = {
            "model_type": "bert",
            "embedding_dimension": WIDTH,
            "framework_type": "sentence_transformers",
            **model,
        }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
