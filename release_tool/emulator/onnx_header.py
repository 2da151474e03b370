"""What an ONNX file says about itself, read without a runtime: IR version and opsets.

Only the outer message of onnx.proto is walked (ModelProto: ir_version 1, graph 7, opset_import 8, functions 25; of an
OperatorSetIdProto: domain 1, version 2); the graph is stepped over, so a file of any size costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .faults import Refused

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

IR_VERSION = 1
OPSET_IMPORT = 8
DOMAIN = 1
VERSION = 2
MAX_OPSET_BYTES = 1 << 16
MAX_VARINT_BYTES = 10


@dataclass(frozen=True)
class OnnxLimits:
    """What a version of onnxruntime takes: the largest IR and opset versions."""

    onnxruntime: str
    ir: int
    opsets: dict[str, int]
    """Domain, empty for ai.onnx → largest version."""


def check_limits(path: Path, limits: OnnxLimits) -> None:
    """Refuse a file that the runtime of these limits would, in words like its own.

    Raises:
        Refused: it would, or the file is no ONNX file.
    """
    ir, opsets = read_header(path)
    if ir > limits.ir:
        raise Refused(
            f"ONNX Model cannot be loaded: Unsupported model IR version: {ir}, max supported IR version: {limits.ir} "
            f"(the limit of onnxruntime {limits.onnxruntime}, checked here for it)"
        )
    for domain, most in limits.opsets.items():
        if opsets.get(domain, 0) > most:
            raise Refused(
                f"ONNX Model cannot be loaded: opset {opsets[domain]} of domain {domain or 'ai.onnx'}, official "
                f"support is till opset {most} (the limit of onnxruntime {limits.onnxruntime}, checked here for it)"
            )


def read_header(path: Path) -> tuple[int, dict[str, int]]:
    """Return (IR version, domain → opset); ``ai.onnx`` is the empty domain.

    Raises:
        Refused: it is no ONNX file.
    """
    ir, opsets = 0, {}
    with path.open("rb") as file:
        size = path.stat().st_size
        while file.tell() < size:
            field, value = _field(file, size, keep=OPSET_IMPORT)
            if field == IR_VERSION and isinstance(value, int):
                ir = value
            elif field == OPSET_IMPORT and isinstance(value, bytes):
                domain, version = _opset(value)
                opsets["" if domain == "ai.onnx" else domain] = version
    return ir, opsets


def _opset(data: bytes) -> tuple[str, int]:
    from io import BytesIO

    domain, version, stream = "", 0, BytesIO(data)
    while stream.tell() < len(data):
        field, value = _field(stream, len(data), keep=DOMAIN)
        if field == DOMAIN and isinstance(value, bytes):
            domain = value.decode("utf-8", errors="replace")
        elif field == VERSION and isinstance(value, int):
            version = value
    return domain, version


def _field(file: BinaryIO, size: int, *, keep: int) -> tuple[int, int | bytes | None]:
    """Return (number, value) of the next field; the bytes of a field other than ``keep`` are stepped over."""
    key = _varint(file)
    field, wire = key >> 3, key & 7
    if wire == 0:
        return field, _varint(file)
    length = {1: 8, 5: 4}.get(wire)
    if wire == 2:
        length = _varint(file)
    if length is None or file.tell() + length > size or (field == keep and length > MAX_OPSET_BYTES):
        raise Refused("ONNX Model cannot be loaded: Protobuf parsing failed.")
    if field == keep:
        return field, file.read(length)
    file.seek(length, 1)
    return field, None


def _varint(file: BinaryIO) -> int:
    number = 0
    for place in range(MAX_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 0x7F) << (7 * place)
        if not byte[0] & 0x80:
            return number
    raise Refused("ONNX Model cannot be loaded: Protobuf parsing failed.")
