"""Read what a TorchScript file says about itself: its code as text, its pickles as a list of operators.

Nothing is unpickled and no code runs. The file is a zip of its own: ``<root>/code/**.py`` is the graph printed as
Python, ``<root>/data.pkl`` the module tree, ``<root>/data/<n>`` the weights (never read).
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from typing import IO

from release_tool.archives.zips import Archive
from release_tool.core.archive_facts import Argument, TorchScriptFacts

MAX_CODE_BYTES = 64 << 20
"""Of all code files together; a traced model of 24 layers has 2 MB."""
MAX_PICKLE_BYTES = 32 << 20
MAX_NAMES = 20_000
MAX_NUMBER_BYTES = 8
MAX_STRINGS = 200

_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'')
_CALL = re.compile(r"(?<![\w.])(?:torch\.(\w+)|ops\.(\w+)\.(\w+))\(")
_DEVICE_CONSTANT = re.compile(r'torch\.device\("([a-z]+(?::\d+)?)"')
_DEVICE = re.compile(r"(?:cpu|cuda|mps|xpu|hpu|npu|xla|privateuseone|meta)(?::\d+)?")
_KEY = re.compile(r'[{,]\s*"([A-Za-z_][\w.]{0,80})"\s*:')
_ROOT_CLASS = re.compile(r"__torch__(?:\.\w+)* \w+")

_STORAGE_DTYPES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
}  # fmt: skip


class ScriptFault(ValueError):
    """The file is no TorchScript."""


@dataclass(slots=True)
class _Found:
    operators: set[str] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)
    storage_devices: set[str] = field(default_factory=set)
    dtypes: set[str] = field(default_factory=set)
    strings: dict[str, None] = field(default_factory=dict)
    root_class: str | None = None


def read_torch_script(stream: IO[bytes], name: str) -> TorchScriptFacts:
    """Return what a TorchScript file says.

    Raises:
        ScriptFault: a zip without TorchScript in it.
        UsageError: a zip that must not be opened, or whose code or pickles are larger than any model's.
        IntegrityError: a damaged file.
    """
    archive = Archive(stream, name)
    prefix = _prefix(archive)
    code = [
        entry for entry in archive.entries if entry.name.startswith(f"{prefix}/code/") and entry.name.endswith(".py")
    ]
    if not code:
        raise ScriptFault("it holds weights but no code: a state_dict, not a TorchScript module")
    if sum(entry.size for entry in code) > MAX_CODE_BYTES:
        raise ScriptFault(f"more than {MAX_CODE_BYTES >> 20} MiB of code")
    found = _Found()
    for pickle in ("data.pkl", "constants.pkl"):
        if archive.has(f"{prefix}/{pickle}"):
            _scan_pickle(found, archive.read(f"{prefix}/{pickle}", MAX_PICKLE_BYTES))
    root_file = _code_path(prefix, found.root_class)
    inputs: tuple[Argument, ...] = ()
    returns = ""
    for entry in code:
        text = archive.read(entry.name, MAX_CODE_BYTES).decode("utf-8", "replace")
        _scan_code(found, text)
        if entry.name == root_file and found.root_class is not None:
            inputs, returns = _signature(text, found.root_class.split(" ")[-1])
    return TorchScriptFacts(
        container_version=_version(archive, prefix),
        operators=tuple(sorted(found.operators)),
        inputs=inputs,
        returns=returns,
        devices=tuple(sorted(found.devices)),
        storage_devices=tuple(sorted(found.storage_devices)),
        weight_dtypes=tuple(sorted(found.dtypes)),
        strings=tuple(found.strings),
        constant_bytes=_constant_bytes(archive, prefix),
        debug_files=sum(entry.name.endswith(".debug_pkl") for entry in archive.entries),
        serialization_id=_small(archive, f"{prefix}/.data/serialization_id"),
    )


def _prefix(archive: Archive) -> str:
    for entry in archive.entries:
        folder, _, rest = entry.name.partition("/")
        if rest == "data.pkl":
            return folder
    raise ScriptFault("a zip without data.pkl: not written by torch.jit.save")


def _version(archive: Archive, prefix: str) -> int | None:
    for name in (f"{prefix}/version", f"{prefix}/.data/version"):
        text = (_small(archive, name) or "").strip()
        if re.fullmatch(r"\d{1,6}", text):
            return int(text)
    return None


def _constant_bytes(archive: Archive, prefix: str) -> int:
    """Return the bytes of tensors that the code names instead of the module; a single number is none."""
    sizes = (entry.size for entry in archive.entries if entry.name.startswith(f"{prefix}/constants/"))
    return sum(size for size in sizes if size > MAX_NUMBER_BYTES)


def _small(archive: Archive, name: str) -> str | None:
    return archive.read(name, 1 << 10).decode("utf-8", "replace") if archive.has(name) else None


def _scan_pickle(found: _Found, data: bytes) -> None:
    try:
        for operator, argument, _ in pickletools.genops(data):
            if operator.name == "GLOBAL" and isinstance(argument, str):
                if found.root_class is None and _ROOT_CLASS.fullmatch(argument):
                    found.root_class = argument
                dtype = _STORAGE_DTYPES.get(argument.split(" ")[-1])
                if dtype is not None:
                    found.dtypes.add(dtype)
            elif operator.name == "BINUNICODE" and _DEVICE.fullmatch(str(argument)):
                found.storage_devices.add(str(argument))
    except (ValueError, OverflowError) as error:
        raise ScriptFault(f"its pickle can't be read: {error}") from error
    if len(found.storage_devices) > MAX_NAMES:
        raise ScriptFault("more devices than any machine has")


def _scan_code(found: _Found, text: str) -> None:
    found.devices.update(_DEVICE_CONSTANT.findall(text))
    for match in _KEY.finditer(text):
        if len(found.strings) < MAX_STRINGS:
            found.strings[match.group(1)] = None
    for match in _CALL.finditer(_STRING.sub('""', text)):
        plain, namespace, inner = match.groups()
        found.operators.add(f"aten::{plain}" if plain else f"{namespace}::{inner}")
    if len(found.operators) > MAX_NAMES or len(found.devices) > MAX_NAMES:
        raise ScriptFault("more names than any model has")


def _code_path(prefix: str, root_class: str | None) -> str:
    """``__torch__.a.b Name`` is defined in code/__torch__/a/b.py."""
    module = (root_class or "").split(" ")[0]
    return f"{prefix}/code/{module.replace('.', '/')}.py"


def _signature(text: str, name: str) -> tuple[tuple[Argument, ...], str]:
    """Return the arguments (without self) and the type of ``forward`` of a class in printed code."""
    start = re.search(rf"^class {re.escape(name)}\(Module\):", text, re.MULTILINE)
    if start is None:
        return (), ""
    end = re.compile(r"^class ", re.MULTILINE).search(text, start.end())
    body = text[start.end() : end.start() if end else len(text)]
    match = re.search(r"def forward\(self[^,)]*,?(.*?)\)\s*->\s*(.*?):\s*$", body, re.DOTALL | re.MULTILINE)
    if match is None:
        return (), ""
    arguments = []
    for part in _split(match.group(1)):
        argument, _, kind = part.partition(":")
        arguments.append(Argument(name=argument.strip(), type=kind.partition("=")[0].strip()))
    return tuple(arguments), " ".join(match.group(2).split())


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char in "[(") - (char in "])")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [part.strip() for part in (*parts, current) if part.strip()]
