"""The header of a safetensors file: types, shapes and places of its tensors, without their bytes.

Format: eight bytes with the length of a JSON object, little-endian; the object maps each tensor to ``dtype``, ``shape``
and ``data_offsets`` into what follows. A file comes from strangers: lengths and offsets are believed only as far as the
file's size bears them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from release_tool.core.modeljson import bad, parse, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 16 * 1024 * 1024
"""Bytes: a hundred times the header of a model with 1,000 tensors; the library's own limit is 100 MB."""

METADATA = "__metadata__"

VALUE_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8,
}  # fmt: skip
"""Types whose size is known here; a file may hold others (F4, C64), whose sizes are not checked."""

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""safetensors' word → torch's, for weights that can be released as float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightHeader:
    """What one file holds."""

    values: dict[str, int]
    """Type as safetensors writes it → number of values in all tensors of that type."""
    data_bytes: int
    """Bytes of all tensors."""


def header_length(first: bytes, size: int, path: str) -> int:
    """Return the bytes of the JSON object, from the first eight bytes of a file.

    Args:
        first: of the file, at least ``LENGTH_BYTES`` unless the file is shorter.
        size: of the whole file, in bytes.
        path: for messages.

    Raises:
        UnsupportedModel: no file of that format could begin so.
    """
    if len(first) < LENGTH_BYTES:
        raise bad(path, f"it has {size} bytes, fewer than any safetensors file")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise bad(path, f"its header would have {length:,} bytes, more than {MAX_HEADER_BYTES:,}: no safetensors file")
    if length < 2 or LENGTH_BYTES + length > size:
        raise bad(path, f"its header would have {length:,} bytes, the file has {size:,}")
    return length


def read_header(header: bytes, size: int, path: str) -> WeightHeader:
    """Return what the JSON object says, held against the size of the file.

    Args:
        header: the object's bytes, without the eight before it.
        size: of the whole file, in bytes.
        path: for messages.

    Raises:
        UnsupportedModel: not JSON of that format, tensors outside the file, or bytes that belong to none.
    """
    data = parse(header.rstrip(b" "), path)
    if not isinstance(data, dict):
        raise bad(path, "its header is no object")
    room = size - LENGTH_BYTES - len(header)
    values: dict[str, int] = {}
    places: list[tuple[int, int]] = []
    for name, tensor in data.items():
        if name != METADATA:
            kind, count, place = _tensor(tensor, f"{shown(name)!r} in its header", path)
            values[kind] = values.get(kind, 0) + count
            places.append(place)
    reached = 0
    for begin, end in sorted(places):
        if begin != reached:
            raise bad(path, f"its tensors leave a gap or overlap at byte {min(begin, reached):,}")
        reached = end
    if reached != room:
        raise bad(path, f"its tensors take {reached:,} bytes, {room:,} are there: incomplete, or something is added")
    return WeightHeader(values=values, data_bytes=reached)


def _tensor(tensor: Any, name: str, path: str) -> tuple[str, int, tuple[int, int]]:
    match tensor:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if all(
            isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape
        ):
            count = prod(shape)
            bits = VALUE_BITS.get(kind)
            if not 0 <= begin <= end or (bits is not None and (end - begin) * 8 != count * bits):
                raise bad(path, f"{name} has offsets that don't fit its shape")
            return kind, count, (begin, end)
    raise bad(path, f"{name} is no tensor")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """What all files of a model hold."""

    parameters: int
    """Values of floating point; indices and other integers are none."""
    dtype: str | None
    """torch's word for the type that most of them have; null without any."""


def add_up(headers: Iterable[tuple[str, WeightHeader]]) -> WeightFacts:
    """Return the facts of a model.

    Args:
        headers: path → header of each weight file.

    Raises:
        UnsupportedModel: most values of a file are of a type that nothing here releases: a quantised model.
    """
    total: dict[str, int] = {}
    for path, header in headers:
        for kind, count in header.values.items():
            total[kind] = total.get(kind, 0) + count
        most = max(header.values, key=lambda kind: header.values[kind], default="F32")
        if most not in FLOATS:
            raise bad(path, f"most of its values are {shown(most)}; {', '.join(FLOATS)} can be released")
    floats = {kind: count for kind, count in total.items() if kind in FLOATS}
    most = max(floats, key=lambda kind: floats[kind], default="")
    return WeightFacts(parameters=sum(floats.values()), dtype=FLOATS.get(most))
