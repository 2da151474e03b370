"""Read what an ONNX file declares, in memory that does not grow with the weights.

The numbers of fields and types are those of onnx.proto (ModelProto, GraphProto, NodeProto, TensorProto, ...). Weights
are skipped: of a tensor only its type and where its data lies are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from release_tool.archives.wire import Cursor, Field, Message, WireFault
from release_tool.core.archive_facts import OnnxFacts, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NODES = 2_000_000
MAX_NAMES = 20_000
"""Different operators, inputs, files: a graph of a language model has a few dozen."""
MAX_DEPTH = 32
"""Subgraphs in subgraphs; If and Loop of real models nest two or three deep."""
MAX_LEAKS = 8
MAX_INITIALIZERS = 200_000
MAX_DIMENSIONS = 64
DOC_BYTES = 64 << 10
"""How much of a doc string is searched for paths."""

# onnx.proto, TensorProto.DataType
DTYPES = (
    "", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64",
    "uint32", "uint64", "complex64", "complex128", "bfloat16",
)  # fmt: skip
EXTERNAL = 1

_PATH = re.compile(r"(?:/(?:home|root|Users|tmp|opt|usr|var|mnt|data|work\w*)/|\b[A-Za-z]:\\)[^\s\"',:;)]{2,120}")
"""Paths of the machine that made the file: torch's exporter writes stack traces into doc strings."""


@dataclass(slots=True)
class _Found:
    """What has been read so far."""

    ir_version: int = 0
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    dtypes: set[str] = field(default_factory=set)
    int8: set[str] = field(default_factory=set)
    leaks: dict[str, None] = field(default_factory=dict)
    nodes: int = 0
    graphs: int = 0

    def check(self) -> None:
        """Stop at a file that would fill the memory or the day."""
        names = self.operators, self.functions, self.opsets, self.inputs, self.outputs, self.external, self.leaks
        if self.nodes > MAX_NODES or any(len(one) > MAX_NAMES for one in names):
            raise WireFault("more nodes or names than any model has")


def read_onnx(stream: IO[bytes], size: int) -> OnnxFacts:
    """Return what an ONNX file of ``size`` bytes declares.

    Raises:
        WireFault: it is no ONNX file, or a broken one.
    """
    found = _Found()
    model = Message(Cursor(stream), size)
    take: dict[int, Callable[[Message, Field], None]] = {
        2: lambda message, one: setattr(found, "producer", message.text(one)),
        6: lambda message, one: _leak(found, message.text(one, DOC_BYTES)),
        7: lambda message, one: _graph(found, message.message(one), 0),
        8: lambda message, one: _opset(found, message.message(one)),
        14: lambda message, one: _leak(found, " ".join(_pair(message.message(one)))),
        25: lambda message, one: _function(found, message.message(one)),
    }
    for one in model.fields():
        if one.number == 1:
            found.ir_version = one.value
        elif one.number in take:
            take[one.number](model, one)
        elif one.number > 26:
            raise WireFault(f"field {one.number}, which an ONNX model does not have")
        found.check()
    if not found.graphs or not found.ir_version:
        raise WireFault("it holds no graph")
    return OnnxFacts(
        ir_version=found.ir_version,
        opsets=dict(sorted(found.opsets.items())),
        operators=tuple(sorted(found.operators)),
        inputs=tuple(tensor for tensor in found.inputs if tensor.name not in found.initializers),
        outputs=tuple(found.outputs),
        external=tuple(sorted(found.external)),
        functions=tuple(sorted(found.functions)),
        weight_dtypes=tuple(sorted(found.dtypes)),
        int8_weights=tuple(sorted(found.int8)),
        leaks=tuple(found.leaks),
        producer=found.producer,
    )


def _domain(name: str) -> str:
    """``ai.onnx`` and the empty name are the same domain."""
    return "" if name == "ai.onnx" else name


def _opset(found: _Found, message: Message) -> None:
    domain, version = "", 0
    for one in message.fields():
        if one.number == 1:
            domain = _domain(message.text(one))
        elif one.number == 2:
            version = one.value
    found.opsets[domain] = max(version, found.opsets.get(domain, 0))


def _pair(message: Message) -> tuple[str, str]:
    key = value = ""
    for one in message.fields():
        if one.number == 1:
            key = message.text(one)
        elif one.number == 2:
            value = message.text(one, DOC_BYTES)
    return key, value


def _leak(found: _Found, text: str) -> None:
    for match in _PATH.finditer(text):
        if len(found.leaks) >= MAX_LEAKS:
            return
        found.leaks[match.group(0)] = None


def _function(found: _Found, message: Message) -> None:
    name = domain = ""
    for one in message.fields():
        if one.number == 1:
            name = message.text(one)
        elif one.number == 7:
            _node(found, message.message(one), 1)
        elif one.number == 8:
            _leak(found, message.text(one, DOC_BYTES))
        elif one.number == 9:
            _opset(found, message.message(one))
        elif one.number == 10:
            domain = message.text(one)
    found.functions.add(f"{_domain(domain)}::{name}")


def _graph(found: _Found, message: Message, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise WireFault("graphs nested too deep")
    found.graphs += 1
    for one in message.fields():
        if one.number == 1:
            _node(found, message.message(one), depth)
        elif one.number == 5:
            _tensor(found, message.message(one), top=depth == 0)
        elif one.number == 10:
            _leak(found, message.text(one, DOC_BYTES))
        elif one.number == 15:
            _sparse_tensor(found, message.message(one), top=depth == 0)
        elif one.number in (11, 12) and depth == 0:
            (found.inputs if one.number == 11 else found.outputs).append(_value(message.message(one)))
        elif one.number == 16:
            _leak(found, " ".join(_pair(message.message(one))))
        found.check()


def _node(found: _Found, message: Message, depth: int) -> None:
    found.nodes += 1
    name = domain = ""
    for one in message.fields():
        if one.number == 4:
            name = message.text(one)
        elif one.number == 7:
            domain = message.text(one)
        elif one.number == 5:
            _attribute(found, message.message(one), depth)
        elif one.number == 6:
            _leak(found, message.text(one, DOC_BYTES))
        elif one.number == 9:
            _leak(found, " ".join(_pair(message.message(one))))
    found.operators.add(f"{_domain(domain)}::{name}")
    found.check()


def _attribute(found: _Found, message: Message, depth: int) -> None:
    for one in message.fields():
        if one.number in (5, 10):
            _tensor(found, message.message(one), top=False)
        elif one.number in (6, 11):
            _graph(found, message.message(one), depth + 1)


def _sparse_tensor(found: _Found, message: Message, *, top: bool) -> None:
    for one in message.fields():
        if one.number in (1, 2):
            _tensor(found, message.message(one), top=top and one.number == 1)


def _tensor(found: _Found, message: Message, *, top: bool) -> None:
    location = name = ""
    dtype = 0
    outside = False
    for one in message.fields():
        if one.number == 2:
            dtype = one.value
        elif one.number == 8 and top:
            name = message.text(one)
            found.initializers.add(name)
        elif one.number == 13:
            key, value = _pair(message.message(one))
            location = value if key == "location" else location
        elif one.number == 14:
            outside = one.value == EXTERNAL
    if outside:
        found.external.add(location or "?")
    if top:
        found.dtypes.add(_dtype(dtype))
        if _dtype(dtype) == "int8":
            found.int8.add(name)
    if len(found.initializers) > MAX_INITIALIZERS:
        raise WireFault("more weights than any model has")


def _dtype(number: int) -> str:
    return DTYPES[number] if number < len(DTYPES) else f"type {number}"


def _value(message: Message) -> Tensor:
    name, dtype, shape = "", "", None
    for one in message.fields():
        if one.number == 1:
            name = message.text(one)
        elif one.number == 2:
            kind = message.message(one)
            for inner in kind.fields():
                if inner.number == 1:
                    dtype, shape = _tensor_type(kind.message(inner))
    return Tensor(name=name, dtype=dtype, shape=shape)


def _tensor_type(message: Message) -> tuple[str, tuple[str, ...] | None]:
    dtype, shape = "", None
    for one in message.fields():
        if one.number == 1:
            dtype = _dtype(one.value)
        elif one.number == 2:
            inner = message.message(one)
            dims: list[str] = []
            for dim in inner.fields():
                if dim.number == 1:
                    dims.append(_dimension(inner.message(dim)))
                if len(dims) > MAX_DIMENSIONS:
                    raise WireFault("a tensor of more dimensions than any model has")
            shape = tuple(dims)
    return dtype, shape


def _dimension(message: Message) -> str:
    found = ""
    for one in message.fields():
        found = str(one.value) if one.number == 1 else message.text(one) if one.number == 2 else found
    return found
