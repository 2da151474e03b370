"""The header of safetensors: the library writes it, we read it; what is hostile is refused in bounded memory."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.weight_headers import (
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    WeightHeader,
    add_up,
    header_length,
    read_header,
)
from release_tool.errors import UnsupportedModel

PATH = "model.safetensors"
TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I8": np.int8, "BOOL": np.bool_}


def read(data: bytes, size: int | None = None) -> WeightHeader:
    """Read a file that is in memory, as plan reads one that is not."""
    size = len(data) if size is None else size
    length = header_length(data[:LENGTH_BYTES], size, PATH)
    return read_header(data[LENGTH_BYTES : LENGTH_BYTES + length], size, PATH)


def pack(header, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 5), max_size=3)),
        max_size=5,
    )
)
def test_what_the_library_writes_is_read_as_it_was_meant(tensors):
    from safetensors.numpy import save

    data = save({name: np.zeros(shape, TYPES[kind]) for name, (kind, shape) in tensors.items()}, {"format": "pt"})
    values: dict[str, int] = {}
    for kind, shape in tensors.values():
        values[kind] = values.get(kind, 0) + int(np.prod(shape))
    assert read(data).values == values
    with pytest.raises(UnsupportedModel):
        read(data, len(data) + 1)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused_by_name(data):
    with contextlib.suppress(UnsupportedModel):
        read(data)


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": b"",
    "short": b"\x01\x00",
    "endless header": b"\xff" * 8,
    "header of 2 GB": (2 << 30).to_bytes(8, "little") + b"{}",
    "header beyond the file": (100).to_bytes(8, "little") + b"{}",
    "no JSON": pack(b"no JSON at all"),
    "a list": pack([]),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a key twice": pack(b'{"a": 1, "a": 1}'),
    "deep": pack(b"[" * 100_000),
    "no tensor": pack({"a": 1}),
    "negative shape": pack({"a": {**ONE, "shape": [-2]}}, b"\0" * 8),
    "true as a size": pack({"a": {**ONE, "shape": [2, True]}}, b"\0" * 8),
    "offsets turned": pack({"a": {**ONE, "data_offsets": [8, 0]}}, b"\0" * 8),
    "negative offsets": pack({"a": {**ONE, "data_offsets": [-8, 0]}}, b"\0" * 8),
    "offsets of another shape": pack({"a": {**ONE, "shape": [3]}}, b"\0" * 8),
    "a shape beyond all memory": pack({"a": {**ONE, "shape": [2**60, 2**60]}}, b"\0" * 8),
    "overlap": pack({"a": ONE, "b": ONE}, b"\0" * 8),
    "a gap": pack({"a": ONE, "b": {**ONE, "data_offsets": [16, 24]}}, b"\0" * 24),
    "cut": pack({"a": ONE}, b"\0" * 7),
    "more at the end": pack({"a": ONE}, b"\0" * 9),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_none_is_refused(data):
    with pytest.raises(UnsupportedModel, match=r"model\.safetensors can't be used"):
        read(data)


def test_a_long_header_is_refused_by_its_length_alone():
    with pytest.raises(UnsupportedModel, match="more than"):
        header_length((MAX_HEADER_BYTES + 1).to_bytes(8, "little"), 1 << 40, PATH)


@pytest.mark.parametrize(
    ("values", "parameters", "dtype"),
    [
        ({"F32": 10}, 10, "float32"),
        ({"F16": 10, "F32": 3, "I64": 5}, 13, "float16"),
        ({"BF16": 10}, 10, "bfloat16"),
        ({}, 0, None),
    ],
)
def test_the_type_of_most_values_is_the_type_of_the_weights(values, parameters, dtype):
    facts = add_up([(PATH, WeightHeader(values=values, data_bytes=0))])
    assert (facts.parameters, facts.dtype) == (parameters, dtype)


def test_shards_are_added_up():
    shards = [(f"{n}.safetensors", WeightHeader(values={"F16": 5}, data_bytes=10)) for n in range(3)]
    assert add_up(shards).parameters == 15


@pytest.mark.parametrize("kind", ["I8", "U8", "F8_E4M3", "F4"])
def test_quantised_weights_are_refused_with_their_type(kind):
    with pytest.raises(UnsupportedModel, match=kind):
        add_up([(PATH, WeightHeader(values={kind: 100, "F32": 3}, data_bytes=0))])
