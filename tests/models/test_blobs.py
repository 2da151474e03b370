"""Blobs and the canonical zip: laws, and what other readers make of the bytes."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from release_tool.errors import ExportError
from release_tool.models import blobs
from release_tool.models.blobs import Blob, crc_combine, from_bytes, join, write
from release_tool.models.paging import MappedWeights, clean_mappings
from release_tool.models.stored_zip import stored_zip
from release_tool.models.torchscript import Weights

BYTES = st.binary(max_size=300)
NAMES = st.lists(st.text("abcdé/._-", min_size=1, max_size=12), unique=True, max_size=6)


def whole(blob: Blob) -> bytes:
    return b"".join(blob.chunks())


@given(BYTES, BYTES)
def test_the_crc_of_a_join_follows_from_its_parts(first: bytes, second: bytes) -> None:
    assert crc_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(st.lists(BYTES))
def test_a_join_is_its_parts_one_after_the_other(parts: list[bytes]) -> None:
    blob = join(from_bytes(part) for part in parts)
    data = b"".join(parts)
    assert (whole(blob), blob.size, blob.crc) == (data, len(data), zlib.crc32(data))
    assert join((join(map(from_bytes, parts[:2])), join(map(from_bytes, parts[2:])))).crc == blob.crc


@settings(max_examples=60)
@given(NAMES, st.data(), st.sampled_from([1, 4, 64]))
def test_any_reader_of_zips_finds_the_same_members(names: list[str], data: st.DataObject, align: int) -> None:
    members = {name: data.draw(BYTES) for name in names}
    blob = stored_zip([(name, from_bytes(content)) for name, content in members.items()], align=align)
    raw = whole(blob)
    assert (len(raw), zlib.crc32(raw)) == (blob.size, blob.crc)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == members
        for info in archive.infolist():
            lengths = raw[info.header_offset + 26 : info.header_offset + 30]  # of the local header's name and padding
            name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
            assert (info.header_offset + 30 + name + extra) % align == 0


def test_a_zip_of_four_gigabytes_is_refused_before_a_byte_is_made() -> None:
    huge = Blob(2 << 30, 0, lambda: iter(()))
    with pytest.raises(ExportError, match="4 GiB"):
        stored_zip([("a", huge), ("b", huge)])


def test_writing_returns_the_files_digest_and_leaves_no_part(tmp_path: Path) -> None:
    pieces = [os.urandom(5), os.urandom(3_000_000), b"", os.urandom(20_000_000), os.urandom(17)]
    told: list[int] = []
    path = tmp_path / "deep" / "file"
    digest = write(join(map(from_bytes, pieces)), path, told.append)
    assert path.read_bytes() == b"".join(pieces)
    assert digest == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert sum(told) == sum(map(len, pieces))
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_a_source_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def chunks():
        yield b"x" * 2_000_000
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write(Blob(4_000_000, 0, chunks), path)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_transposed_weight_is_its_transpose(rows: int, columns: int) -> None:
    tensor = torch.arange(rows * columns, dtype=torch.float32).reshape(rows, columns)
    weights = Weights()
    assert whole(weights.blob(tensor)) == tensor.numpy().tobytes()
    blob = weights.blob(tensor, transposed=True)
    assert whole(blob) == tensor.t().contiguous().numpy().tobytes()
    assert blob.crc == zlib.crc32(whole(blob))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 1000, 2**21, 2**21 + 5])
def test_a_weight_that_is_not_finite_is_found_wherever_it_is(value: float, place: int) -> None:
    tensor = torch.zeros(2**21 + 6)
    tensor[place] = value
    with pytest.raises(ExportError, match="NaN or infinite"):
        Weights().blob(tensor)


# --- memory of mapped files -----------------------------------------------------------------------

SMAPS = """\
7f0000000000-7f0000002000 rw-p 00000000 08:01 4242                       /models/a b/model.safetensors
Size:                  8 kB
Anonymous:             0 kB
7f0000002000-7f0000004000 rw-p 00002000 08:01 4242                       /models/a b/model.safetensors
Anonymous:             4 kB
7f0000004000-7f0000006000 rw-s 00000000 08:01 4242                       /models/a b/model.safetensors
Anonymous:             0 kB
7f0000006000-7f0000008000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7f0000008000-7f000000a000 r--p 00000000 08:01 4243                       /lib/other.so
Anonymous:             0 kB
"""


def test_only_private_clean_mappings_of_weight_files_are_given_back() -> None:
    assert clean_mappings(SMAPS, ".safetensors") == [(0x7F0000000000, 0x7F0000002000)]


def test_what_was_given_back_reads_the_same(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "model.safetensors"
    expected = torch.arange(2_000_000, dtype=torch.float32)
    save_file({"w": expected}, path)
    tensor = load_file(path)["w"]
    assert torch.equal(tensor, expected)
    MappedWeights().give_back_all()
    assert torch.equal(tensor, expected)


def test_memory_that_was_written_to_is_kept(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(2_000_000)}, path)
    tensor = load_file(path)["w"]
    tensor[5] = 7.0
    mapped = MappedWeights()
    mapped.give_back_all()
    mapped.give_back(tensor.data_ptr(), tensor.numel() * 4)
    assert tensor[5] == 7.0


def test_chunks_are_not_too_small_to_be_worth_a_call() -> None:
    pieces = [b"x"] * 3000 + [b"y" * (3 * blobs.CHUNK_BYTES)]
    sizes = [len(chunk) for chunk in blobs._even(pieces)]
    assert sizes[0] == 3000
    assert max(sizes) == blobs.CHUNK_BYTES
    assert sum(sizes) == 3000 + 3 * blobs.CHUNK_BYTES
