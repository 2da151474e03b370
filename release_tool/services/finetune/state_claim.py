"""The claim on a run whose state lies elsewhere: one command at a time works on it, wherever that command runs.

A claim is an object that only one can create. Its owner writes it anew from time to time; the store's own clock says
how long ago that was. A claim that nobody has renewed for long belongs to a lost machine.
"""

from __future__ import annotations

import os
import platform
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from release_tool.core.codec import DocumentFault, decode_text, encode_text
from release_tool.core.escape import one_line
from release_tool.core.finetune.state_log import Claim
from release_tool.core.quantity import clip
from release_tool.errors import WorkFolderBusy
from release_tool.services.bucket import Taken

if TYPE_CHECKING:
    from release_tool.services.bucket import Bucket, Stored

KEY = "claim.json"
JSON = "application/json"
MAX_BYTES = 10_000
BEAT_SECONDS = 60
STALE_SECONDS = 15 * 60
"""Fifteen beats: longer than a store is ever away, shorter than anybody waits."""
MAX_SHOWN = 80


@dataclass
class HeldClaim:
    """A claim of this command."""

    bucket: Bucket
    claim: Claim
    etag: str

    @classmethod
    def take(cls, bucket: Bucket, command: str, *, take_over: bool) -> tuple[HeldClaim, str]:
        """Return the claim, and whom it was taken from; "" where nobody had it.

        Args:
            bucket: where the state lies.
            command: what is being done, for the words of those who come second.
            take_over: whether also a living claim is taken.

        Raises:
            WorkFolderBusy: another command works on this run.
            PublishError: the store refused.
            Unreachable: it did not answer.
        """
        own = Claim(id=secrets.token_hex(16), machine=platform.node(), command=f"{command} ({os.getpid()})", beats=0)
        while True:
            found = bucket.read(KEY, MAX_BYTES)
            before = None if found is None else found[1]
            who = "" if found is None else _words(found[0])
            if before is not None and not take_over and (before.age or 0.0) < STALE_SECONDS:
                raise _busy(bucket, who, before)
            try:
                etag = _write(bucket, own, before)
            except Taken:
                continue  # somebody was faster, or let go: look who
            return cls(bucket, own, etag), who

    def beat(self) -> None:
        """Say that this command lives.

        Raises:
            WorkFolderBusy: another one has taken the claim.
            PublishError: the store refused.
            Unreachable: it did not answer.
        """
        self.claim = replace(self.claim, beats=self.claim.beats + 1)
        try:
            stored = self.bucket.write(KEY, _bytes(self.claim), match=self.etag, content_type=JSON)
        except Taken:
            found = self.bucket.read(KEY, MAX_BYTES)
            if found is None or found[0] != _bytes(self.claim):
                raise lost(self.bucket) from None
            self.etag = found[1].etag  # an answer was lost, not the claim
            return
        self.etag = stored.etag

    def release(self) -> None:
        """Let others come; a claim that somebody took meanwhile stays theirs."""
        try:
            self.bucket.remove(KEY, match=self.etag)
        except Taken:
            return


def lost(bucket: Bucket) -> WorkFolderBusy:
    """Return the error of a command whose claim another one took."""
    return WorkFolderBusy(
        f"Another command has taken over the run at {bucket.address}.",
        hint="Let it go on there; what this one had finished is kept in --work.",
    )


def _write(bucket: Bucket, claim: Claim, before: Stored | None) -> str:
    match = None if before is None else before.etag
    return bucket.write(KEY, _bytes(claim), match=match, content_type=JSON).etag


def _bytes(claim: Claim) -> bytes:
    return encode_text(claim).encode()


def _words(data: bytes) -> str:
    try:
        claim = decode_text(Claim, data.decode())
    except (DocumentFault, UnicodeDecodeError):
        return "somebody"
    return f"{_shown(claim.command)} on {_shown(claim.machine)}"


def _shown(text: str) -> str:
    return clip(one_line(text), MAX_SHOWN) or "an unknown machine"


def _busy(bucket: Bucket, who: str, before: Stored) -> WorkFolderBusy:
    return WorkFolderBusy(
        f"{who} works on the run at {bucket.address}; it was last heard of {before.age or 0:,.0f} seconds ago.",
        hint=f"Wait until it has ended. It is given up {STALE_SECONDS // 60} minutes after it was last heard of; where "
        "you know that it is lost, go on at once with --take-over.",
    )
