"""The tokenizer as DJL 0.31.1 sets it up, whatever tokenizer.json itself says.

Source of the rules: ``HuggingFaceTokenizer`` and its Rust bridge in DJL 0.31.1. Truncation is always on: at
tokenizer.json's own length, else at the length of its fixed padding, else at 512, and never above modelMaxLength;
padding is to the longest of a batch of one, so only ``pad_to_multiple_of`` ever adds anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .faults import Refused

DEFAULT_MAX_LENGTH = 512
"""Tokens: DJL's modelMaxLength where no argument sets it."""


@dataclass(frozen=True)
class Encoded:
    """One model input, one number a token."""

    ids: list[int]
    mask: list[int]
    types: list[int]
    words: list[int]
    """Index of the token's pre-tokenized word in its own text, -1 for special tokens."""
    tokens: list[str]
    overflowing: tuple[Encoded, ...] = ()

    def __len__(self) -> int:
        """Count the tokens."""
        return len(self.ids)


class Tokenizer:
    """DJL's tokenizer over a tokenizer.json."""

    def __init__(self, text: str, *, model_max_length: int = DEFAULT_MAX_LENGTH, chunks: Chunks | None = None) -> None:
        from tokenizers import Tokenizer as RustTokenizer

        try:
            self.tokenizer = RustTokenizer.from_str(text)
        except Exception as error:
            raise Refused(f"tokenizer.json: {error}") from error
        self.overflowing = chunks is not None and chunks.overflowing
        truncation: dict[str, Any] = self.tokenizer.truncation or {}
        padding: dict[str, Any] = self.tokenizer.padding or {}
        own = truncation.get("max_length") or padding.get("length") or model_max_length
        self.max_length = min(chunks.max_length if chunks else own, model_max_length)
        self._truncate(truncation, chunks)
        if chunks is not None and not chunks.padding:
            self.tokenizer.no_padding()
        else:
            self._pad(padding)

    def _truncate(self, truncation: dict[str, Any], chunks: Chunks | None) -> None:
        try:
            self.tokenizer.enable_truncation(
                self.max_length,
                stride=chunks.stride if chunks else truncation.get("stride", 0),
                strategy="only_second" if chunks else "longest_first",
                direction=truncation.get("direction", "right").lower(),
            )
        except Exception as error:
            raise Refused(f"truncation: {error}") from error

    def _pad(self, padding: dict[str, Any]) -> None:
        given = {key: padding[key] for key in ("direction", "pad_id", "pad_type_id", "pad_token") if key in padding}
        self.tokenizer.enable_padding(length=None, pad_to_multiple_of=padding.get("pad_to_multiple_of"), **given)

    def encode(self, first: str, second: str | None = None) -> Encoded:
        """Encode a text or a pair, special tokens included.

        Raises:
            Refused: the tokenizer can't (a question that leaves no room, a model without [UNK]).
        """
        try:
            encoding = self.tokenizer.encode(first, second)
        except Exception as error:
            raise Refused(str(error)) from error
        return self._encoded(encoding)

    def _encoded(self, encoding: Any) -> Encoded:
        return Encoded(
            ids=encoding.ids,
            mask=encoding.attention_mask,
            types=encoding.type_ids,
            words=[-1 if word is None else word for word in encoding.word_ids],
            tokens=encoding.tokens,
            overflowing=tuple(map(self._encoded, encoding.overflowing)) if self.overflowing else (),
        )

    def words(self, ids: list[int]) -> list[str]:
        """Return each single token as the sparse translators decode it; special tokens are empty."""
        return list(self.tokenizer.decode_batch([[number] for number in ids], skip_special_tokens=True))

    def size(self) -> int:
        """Return one more than the largest token id."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


@dataclass(frozen=True)
class Chunks:
    """How the highlighter's translator cuts a long context."""

    max_length: int = 512
    stride: int = 128
    overflowing: bool = True
    padding: bool = False


def build_sentence(tokens: list[str]) -> str:
    """Join tokens as DJL's ``buildSentence`` does: WordPiece pieces only, and Java's trim."""
    return " ".join(tokens).replace(" ##", "").strip("".join(map(chr, range(33))))
