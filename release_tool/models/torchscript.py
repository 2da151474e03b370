"""Trace a module and lay out its TorchScript file in one canonical form, weights streamed from the model.

``torch.jit.save`` writes the code, the pickle and the weights in one go, with debug files that hold the builder's
paths and an id that hashes them. Here it is given tensors whose storage was emptied, which yields a skeleton of a few
hundred kilobytes; the weights' real lengths are put back into the pickle and the weights themselves are described as
blobs of the live tensors. So a model of gigabytes is neither copied in memory nor written twice, and equal input
gives equal bytes: no debug files, a constant serialisation id, stored, 64-byte aligned.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch

from release_tool.errors import ExportError
from release_tool.models.blobs import Blob, crc_combine, from_bytes
from release_tool.models.deprecations import deprecated_writers
from release_tool.models.paging import MappedWeights
from release_tool.models.stored_zip import stored_zip

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "archive"
SERIALIZATION_ID = b"0" * 40
"""torch puts a hash of names and a random part here; nothing reads it (loads in libtorch 1.13.1 and 2.5.1)."""
DROPPED = (".data/serialization_id", "traced_inputs")
"""Records that say how the file came about: the id, and the tensors it was traced with."""
TENSOR_ALIGNMENT = 64
CHUNK_ELEMENTS = 2 << 20
"""Elements: about 8 MB, so that the test for NaN and the crc share the cache."""
READERS = 2


def trace(module: torch.nn.Module, example: tuple[Any, ...]) -> torch.jit.ScriptModule:
    """Trace a module on one example; device constants are taken out of the graph.

    Raises:
        ExportError: the model can't be traced, or a tensor would be baked in that a GPU node can't move.
    """
    module.eval()
    try:
        with torch.no_grad(), deprecated_writers():
            traced = torch.jit.trace(module, example, strict=False, check_trace=False)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"The model can't be traced to TorchScript: {error}") from error
    for graph in _graphs(traced):
        _free_device_constants(graph)
    _refuse_tensor_constants(traced)
    return traced


def _graphs(module: Any) -> Iterator[torch._C.Graph]:
    """Every graph of a traced module: a part that is called twice has a second method, forward1."""
    for child in module.modules():
        for name in child._c._method_names():
            yield child._c._get_method(name).graph


def _is_device_constant(node: torch._C.Node) -> bool:
    return node.kind() == "prim::Constant" and str(node.output().type()) == "Device"


def _free_device_constants(graph: torch._C.Graph) -> None:
    """Replace ``device="cpu"`` by the device of a tensor that came in, so that a GPU node can run the graph."""
    constants = [node for node in graph.nodes() if _is_device_constant(node)]
    if not constants:
        return
    anchor = next((value for value in graph.inputs() if str(value.type()).startswith("Tensor")), None)
    if anchor is None:
        raise ExportError("A part of the model is bound to the CPU and takes no tensor to ask for a device.")
    for node in constants:
        asked = graph.create("prim::device", [anchor])
        asked.insertBefore(node)
        asked.output().setType(torch._C.DeviceObjType.get())
        node.output().replaceAllUsesWith(asked.output())
        node.destroy()


def _refuse_tensor_constants(traced: Any) -> None:
    """Tensors in the graph (not parameters, not buffers) stay on the CPU when the model moves; numbers may."""
    for graph in _graphs(traced):
        for node in graph.nodes():
            if node.kind() == "prim::Constant" and node.hasAttribute("value") and node.kindOf("value") == "t":
                value = node.t("value")
                if value.ndim > 0:
                    raise ExportError(
                        f"Tracing baked a tensor of shape {tuple(value.shape)} into the graph.",
                        hint="A GPU node could not move it: the model needs a buffer there.",
                    )


def freeze(traced: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Return a traced module whose weights are constants of its code, which only a CPU can run.

    Constants are no parameters: ``layout`` holds them in memory, as torch writes them.

    Raises:
        ExportError: a weight is NaN or infinite.
    """
    for _, tensor in (*traced.named_parameters(), *traced.named_buffers()):
        _refuse_infinite(tensor, tensor)
    with torch.no_grad(), deprecated_writers():
        frozen: torch.jit.ScriptModule = torch.jit.freeze(traced)
    return frozen


def layout(traced: torch.jit.ScriptModule, weights: Weights) -> Blob:
    """Return the canonical bytes of a traced module's file."""
    skeleton, tensors = _skeleton(traced)
    entries: list[tuple[str, Blob]] = []
    with zipfile.ZipFile(io.BytesIO(skeleton)) as archive:
        pickled, order = _restore_lengths(archive.read(f"{ROOT}/data.pkl"), tensors)
        for name in archive.namelist():
            inner = name.removeprefix(f"{ROOT}/")
            if inner.endswith(".debug_pkl") or inner.startswith(DROPPED):
                continue
            if inner == "data.pkl":
                entries.append((name, from_bytes(pickled)))
            elif inner.startswith("data/"):
                entries.append((name, weights.blob(tensors[order[inner.removeprefix("data/")]])))
            else:
                entries.append((name, from_bytes(archive.read(name))))
    entries.append((f"{ROOT}/.data/serialization_id", from_bytes(SERIALIZATION_ID)))
    return stored_zip(entries, align=TENSOR_ALIGNMENT)


def _skeleton(traced: torch.jit.ScriptModule) -> tuple[bytes, list[torch.Tensor]]:
    """Return the file as torch saves it with stand-ins for the weights, and the weights.

    The stand-in of weight number ``i`` has a storage of ``i + 1`` elements: that number comes out in the pickle and
    says which weight belongs there, whatever order torch walks the module in. Tied weights share one stand-in.
    """
    named = [tensor for _, tensor in (*traced.named_parameters(), *traced.named_buffers())]
    originals = [tensor.data for tensor in named]
    unique: dict[tuple[Any, ...], tuple[int, torch.Tensor]] = {}
    tensors: list[torch.Tensor] = []
    for original in originals:
        key = (original.data_ptr(), original.shape, original.stride(), original.dtype)
        if key not in unique:
            unique[key] = (len(tensors), torch.empty(original.shape, dtype=original.dtype))
            tensors.append(original)
    try:
        for tensor, original in zip(named, originals, strict=True):
            key = (original.data_ptr(), original.shape, original.stride(), original.dtype)
            tensor.data = unique[key][1]
        for index, hollow in unique.values():
            hollow.untyped_storage().resize_((index + 1) * hollow.element_size())
        buffer = io.BytesIO()
        with deprecated_writers():
            torch.jit.save(traced, buffer)
    finally:
        for tensor, original in zip(named, originals, strict=True):
            tensor.data = original
    return buffer.getvalue(), tensors


def _restore_lengths(pickled: bytes, tensors: list[torch.Tensor]) -> tuple[bytes, dict[str, int]]:
    """Return the pickle with the weights' real lengths, and storage key → number of the weight.

    A storage stands as the tuple ("storage", type, key, device, length) in front of BINPERSID: the operator before
    the TUPLE is the length, the last unshared string before it is the key.
    """
    operators = list(pickletools.genops(pickled))
    ends = [position for _, _, position in operators[1:]] + [len(pickled)]
    pieces: list[bytes] = []
    order: dict[str, int] = {}
    copied = 0
    for index, (operator, _, _) in enumerate(operators):
        if operator.name != "BINPERSID":
            continue
        _, length, position = operators[index - 2]
        end = ends[index - 2]
        if operators[index - 1][0].name != "TUPLE" or not isinstance(length, int) or end is None or position is None:
            raise ExportError("torch wrote its pickle in a way that this version of release-tool does not know.")
        key = _storage_key(operators, index)
        order[key] = length - 1
        pieces += (pickled[copied:position], b"J" + struct.pack("<i", tensors[order[key]].numel()))
        copied = end
    return b"".join((*pieces, pickled[copied:])), order


def _storage_key(operators: list[tuple[Any, Any, Any]], index: int) -> str:
    for operator, argument, _ in reversed(operators[:index]):
        if operator.name == "BINUNICODE" and str(argument).isdecimal():
            return str(argument)
    raise ExportError("torch wrote a storage without a key.")


class Weights:
    """Blobs of a model's tensors; each is read once for its crc, and is known to be finite afterwards."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Blob] = {}
        self._mapped: MappedWeights | None = None
        self._pool = ThreadPoolExecutor(READERS)

    def blob(self, tensor: torch.Tensor, *, transposed: bool = False) -> Blob:
        """Return the bytes of a tensor (or of its transpose) in row-major order.

        Raises:
            ExportError: a weight is NaN or infinite.
        """
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, transposed)
        if key not in self._known:
            self._known[key] = Blob(
                tensor.numel() * tensor.element_size(),
                self._crc(tensor, transposed=transposed),
                lambda: self._pieces(tensor, transposed=transposed),
            )
        return self._known[key]

    def made(self, tensor: torch.Tensor) -> Blob:
        """Return the bytes of a tensor that is none of the model's: its address may be another one's later.

        Raises:
            ExportError: a number is NaN or infinite.
        """
        return Blob(
            tensor.numel() * tensor.element_size(),
            self._crc(tensor, transposed=False),
            lambda: self._pieces(tensor, transposed=False),
        )

    def _crc(self, tensor: torch.Tensor, *, transposed: bool) -> int:
        """Read a tensor once, chunk by chunk on two threads, and join what they found."""
        flat = _flat(tensor, transposed=transposed)
        crc = 0
        # A pool costs more than a small tensor.
        each = map if flat.numel() <= CHUNK_ELEMENTS else self._pool.map
        for size, part in each(lambda chunk: self._read(chunk, tensor), _chunks(flat)):
            crc = crc_combine(crc, part, size)
        self._done_with(tensor, transposed=transposed)
        return crc

    def _read(self, chunk: torch.Tensor, tensor: torch.Tensor) -> tuple[int, int]:
        _refuse_infinite(chunk, tensor)
        data = _bytes(chunk)
        crc = zlib.crc32(data)
        self._give_back(chunk)
        return len(data), crc

    def _pieces(self, tensor: torch.Tensor, *, transposed: bool) -> Iterator[memoryview]:
        for chunk in _chunks(_flat(tensor, transposed=transposed)):
            yield _bytes(chunk)
            self._give_back(chunk)
        self._done_with(tensor, transposed=transposed)

    def rest(self) -> None:
        """Give back the memory of weights that are mapped from their file; called when a trace is done."""
        self._mapped = MappedWeights()
        self._mapped.give_back_all()

    def _give_back(self, chunk: torch.Tensor) -> None:
        """Give back the memory of a chunk; whoever still reads it gets the same bytes from the file again."""
        if self._mapped is not None:
            self._mapped.give_back(chunk.data_ptr(), chunk.numel() * chunk.element_size())

    def _done_with(self, tensor: torch.Tensor, *, transposed: bool) -> None:
        if transposed:  # the chunks were those of a copy
            self._give_back(tensor.detach())


def _flat(tensor: torch.Tensor, *, transposed: bool) -> torch.Tensor:
    plain = tensor.detach()
    return (plain.t() if transposed else plain).contiguous().reshape(-1)


def _chunks(flat: torch.Tensor) -> Iterator[torch.Tensor]:
    for start in range(0, flat.numel(), CHUNK_ELEMENTS):
        yield flat[start : start + CHUNK_ELEMENTS]


def _bytes(chunk: torch.Tensor) -> memoryview:
    return memoryview(chunk.numpy()).cast("B")


def _refuse_infinite(chunk: torch.Tensor, tensor: torch.Tensor) -> None:
    if not chunk.is_floating_point():
        return
    low, high = torch.aminmax(chunk)  # NaN comes through both
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise ExportError(
            f"A weight of shape {tuple(tensor.shape)} holds NaN or infinite numbers.",
            hint="The model is broken at its source: it can't be released.",
        )
