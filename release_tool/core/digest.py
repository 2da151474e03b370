"""Digests as they stand in documents: lower-case hex sha256, computed over bytes or over a list of files."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CHUNK_BYTES = 1 << 20

SHA256_HEX = re.compile(r"[0-9a-f]{64}")
"""One of them, as documents and people write it."""


def sha256_bytes(data: bytes) -> str:
    """Return the sha256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def tree_digest(files: Iterable[tuple[str, str]]) -> str:
    r"""Return the sha256 over sorted (path, sha256) pairs: the revision of a folder.

    Each pair is one line ``<sha256>  <path>\n``, as sha256sum prints it, so anybody can recompute it. File order
    does not matter (a test holds that).
    """
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(files))
    return sha256_bytes(lines.encode())
