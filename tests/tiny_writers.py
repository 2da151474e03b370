"""Tiny random models that write: a T5 and a GPT-2, with chat template if wished. What they write is noise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [
    "<pad>",
    "</s>",
    "<unk>",
    "the",
    "of",
    "river",
    "bank",
    "water",
    "city",
    "mountain",
    "what",
    "is",
    "queries",
    "and",
    "in",
    "Write",
    "3",
    "2",
    "{",
    "}",
    "[",
    "]",
]


def make_t5(folder: Path) -> Path:
    """Write a sequence-to-sequence model."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(3)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=len(WORDS), **sizes, **ids)).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def make_gpt2(folder: Path, *, template: str | None = None, length: int = 96) -> Path:
    """Write a causal model."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": length}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), **sizes, bos_token_id=1, eos_token_id=1)).save_pretrained(folder)
    tokenizer = _tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def answers_of(folder: Path) -> list[dict]:
    """Return the rows of the answers in a folder."""
    return [
        json.loads(line) for path in sorted(folder.glob("answers-*.jsonl")) for line in path.read_text().splitlines()
    ]
