"""A large file is hashed once a process, and again as soon as anything about it has changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from release_tool import documents
from release_tool.documents import LARGE_BYTES, SETTLED_SECONDS, file_sha256


def settled(path: Path, size: int) -> bytes:
    data = os.urandom(size)
    path.write_bytes(data)
    time.sleep(SETTLED_SECONDS * 1.5)
    return data


def remembered(path: Path) -> str | None:
    return documents.HASHED.get(documents._state(path.stat()))


def test_a_large_file_is_remembered_and_a_small_one_is_not(tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    data = settled(large, LARGE_BYTES)
    settled(small, LARGE_BYTES - 1)
    assert file_sha256(large) == hashlib.sha256(data).hexdigest() == remembered(large)
    assert file_sha256(large) == hashlib.sha256(data).hexdigest()
    file_sha256(small)
    assert remembered(small) is None


def test_a_flipped_byte_is_seen_though_size_and_time_of_writing_are_set_back(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    data = bytearray(settled(path, LARGE_BYTES + 7))
    first = file_sha256(path)
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(LARGE_BYTES // 2)
        stream.write(bytes([data[LARGE_BYTES // 2] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    data[LARGE_BYTES // 2] ^= 1
    assert file_sha256(path) == hashlib.sha256(data).hexdigest() != first


def test_another_file_under_the_same_name_is_another_file(tmp_path: Path) -> None:
    path, other = tmp_path / "weights", tmp_path / "other"
    first = settled(path, LARGE_BYTES)
    second = settled(other, LARGE_BYTES)
    assert file_sha256(path) == hashlib.sha256(first).hexdigest()
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert file_sha256(path) == hashlib.sha256(second).hexdigest()


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(LARGE_BYTES))
    changed = path.stat().st_ctime
    file_sha256(path)
    assert remembered(path) is None or time.time() - changed > SETTLED_SECONDS
