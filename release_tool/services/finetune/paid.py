"""Answers that were paid for, kept for good: a file each, under the digest of what was asked.

They are written before anything is done with them, so that a run killed at any moment pays for none of them twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from release_tool.core.codec import DocumentFault, decode_text, encode_text
from release_tool.documents import write_atomic
from release_tool.errors import IntegrityError

if TYPE_CHECKING:
    from pathlib import Path

SHARD = 2
"""First signs of the key that name a folder: 100,000 files lie 400 each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidAnswer:
    """One answer."""

    SCHEMA: ClassVar[str] = "release-tool/paid-answer@1"

    schema: str = "release-tool/paid-answer@1"
    raw: str
    """As it came."""
    tokens_in: int
    tokens_out: int
    model: str = ""
    """Who answered, as the service says."""


@dataclass(frozen=True, slots=True)
class PaidAnswers:
    """All answers of one provider."""

    folder: Path

    def path(self, key: str) -> Path:
        """Return where an answer lies; see ``core.finetune.writing.answer_key``."""
        return self.folder / key[:SHARD] / f"{key}.json"

    def get(self, key: str) -> PaidAnswer | None:
        """Return an answer; null where nobody has paid for it yet.

        Raises:
            IntegrityError: it was changed by hand; it is not asked for again behind anybody's back.
        """
        path = self.path(key)
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        try:
            return decode_text(PaidAnswer, text)
        except DocumentFault as error:
            raise IntegrityError(
                f"The paid answer {path.name} can't be read: {error}",
                hint="Remove that file to ask, and pay, for it again.",
            ) from error

    def put(self, key: str, answer: PaidAnswer) -> None:
        """Keep an answer; half a surrogate pair, which JSON can spell and UTF-8 can't hold, becomes a question mark.

        Raises:
            MachineError: the disk is full.
        """
        write_atomic(self.path(key), encode_text(answer).encode("utf-8", "replace"))
