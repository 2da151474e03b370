"""Read protobuf messages from a stream without holding them: fields come one by one, large ones are skipped.

Enough of the wire format for ONNX: variable-length numbers, 32 and 64 bit numbers, length-delimited fields. Groups,
which ONNX does not use, are refused. Every length is checked against the message that holds it before anything is
read, so a lying file ends in ``WireFault`` and never in a large allocation.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NAME_BYTES = 512
"""Names of nodes and tensors; longer ones are cut."""
SEEK_BYTES = 64 << 10
"""Above this a seek is cheaper than reading on."""
MAX_FIELDS = 20_000_000
"""A graph of ten thousand nodes has half a million; a file of two gigabytes could hold a milliard empty ones."""

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class WireFault(ValueError):
    """The bytes are no protobuf message, or end too early."""


@dataclass(slots=True)
class Cursor:
    """A stream and the position in it, shared by a message and the messages inside of it."""

    stream: IO[bytes]
    at: int = 0
    fields: int = 0

    def take(self, count: int) -> bytes:
        """Return exactly ``count`` bytes."""
        data = self.stream.read(count)
        self.at += len(data)
        if len(data) < count:
            raise WireFault("it ends in the middle of a field")
        return data

    def skip(self, count: int) -> None:
        """Go on ``count`` bytes behind the position."""
        if count > SEEK_BYTES and self.stream.seekable():
            self.stream.seek(count, io.SEEK_CUR)
            self.at += count
        elif count > 0:
            while count > 0:
                count -= len(self.take(min(count, SEEK_BYTES)))

    def varint(self) -> int:
        """Return a number of variable length."""
        value = 0
        for place in range(_MAX_VARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise WireFault("a number of more than ten bytes")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, and its value or the length of what follows."""

    number: int
    wire: int
    value: int


class Message:
    """The fields of one message; what is not taken of a field is skipped when the next one is asked for."""

    def __init__(self, cursor: Cursor, length: int) -> None:
        self.cursor = cursor
        self.end = cursor.at + length

    def fields(self) -> Iterator[Field]:
        """Yield the fields in the order of the file.

        Raises:
            WireFault: no message, or one that ends too early.
        """
        cursor = self.cursor
        while cursor.at < self.end:
            cursor.fields += 1
            if cursor.fields > MAX_FIELDS:
                raise WireFault("more fields than any model has")
            tag = cursor.varint()
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise WireFault("a field without a number")
            if wire == VARINT:
                yield Field(number, wire, cursor.varint())
            elif wire in (FIXED64, FIXED32):
                yield Field(number, wire, int.from_bytes(cursor.take(8 if wire == FIXED64 else 4), "little"))
            elif wire == DELIMITED:
                length = cursor.varint()
                stop = cursor.at + length
                if stop > self.end:
                    raise WireFault("a field that is longer than its message")
                yield Field(number, wire, length)
                cursor.skip(stop - cursor.at)
            else:
                raise WireFault(f"wire type {wire}, which ONNX does not have")
        if cursor.at > self.end:
            raise WireFault("a number that is longer than its message")

    def text(self, field: Field, limit: int = MAX_NAME_BYTES) -> str:
        """Take a string, cut at ``limit`` bytes."""
        self._delimited(field)
        return self.cursor.take(min(field.value, limit)).decode("utf-8", "replace")

    def message(self, field: Field) -> Message:
        """Return the message in a field."""
        self._delimited(field)
        return Message(self.cursor, field.value)

    @staticmethod
    def _delimited(field: Field) -> None:
        if field.wire != DELIMITED:
            raise WireFault("a number where text or a message should be")
