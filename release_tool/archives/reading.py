"""Read one archive and its register request into ``ArchiveFacts``."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from release_tool.archives.onnx_file import read_onnx
from release_tool.archives.tokenizer_file import MAX_TOKENIZER_BYTES, TokenizerFault, read_tokenizer
from release_tool.archives.torch_script import ScriptFault, read_torch_script
from release_tool.archives.wire import WireFault
from release_tool.archives.zips import Archive, open_archive
from release_tool.bounded import NotReadable, read_bounded
from release_tool.core.archive_facts import DEFLATED, MODEL_SUFFIXES, STORED, TOKENIZER_FILE, ArchiveFacts, Entry
from release_tool.core.escape import one_line
from release_tool.core.kinds import Format
from release_tool.core.operators import OperatorTables, parse_tables
from release_tool.documents import file_sha256
from release_tool.errors import UsageError
from release_tool.packaged import read_packaged

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.archive_facts import OnnxFacts

MAX_CONFIG_BYTES = 4 << 20
REQUEST_KEYS = frozenset({"name", "model_format", "function_name", "model_config", "model_content_hash_value"})
"""What no other JSON that lies about has two of; what is wrong with one of them is a verdict, not a refusal."""
MIN_REQUEST_KEYS = 2
_ZIP_START = b"PK\x03\x04"


def read_archive(path: Path, config: Path | None = None) -> ArchiveFacts:
    """Return what an archive is, and what its register request asks for.

    Memory stays far below the size of the model: weights are never read but for the sha256 of the file.

    Args:
        path: the zip.
        config: config.json of the register request, if there is one.

    Raises:
        UsageError: no zip, one that must not be unpacked (a bomb, a path that leaves its folder, a name given twice,
            an encrypted file, a tokenizer.json larger than any), or a config that is no JSON object.
        IntegrityError: the zip is damaged.
    """
    with open_archive(path) as archive:
        chosen = _choose(archive)
        facts: dict[str, Any] = {}
        if chosen is not None:
            facts = {"model_file": chosen.name, "model_size": chosen.size, **_model(archive, chosen)}
        facts |= _tokenizer(archive)
        return ArchiveFacts(
            file_name=path.name,
            sha256=file_sha256(path),
            size=path.stat().st_size,
            entries=archive.entries,
            has_idf=archive.has("idf.json"),
            config=None if config is None else read_config(config),
            **facts,
        )


def read_onnx_facts(path: Path) -> OnnxFacts | None:
    """Return what the ONNX file of an archive declares; null where it is none that could be read.

    Raises:
        UsageError, IntegrityError: as of ``read_archive``.
    """
    with open_archive(path) as archive:
        chosen = _choose(archive)
        facts: OnnxFacts | None = None if chosen is None else _model(archive, chosen).get("onnx")
        return facts


def read_config(path: Path) -> dict[str, Any]:
    """Return a register request with its keys in the order of the file.

    Raises:
        UsageError: it can't be read, is no JSON object, gives a key twice, or is something else than such a request.
    """
    try:
        data = json.loads(read_bounded(path, MAX_CONFIG_BYTES), object_pairs_hook=_object)
    except (OSError, NotReadable) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"The config {path} can't be read: {reason}.", hint="Name the config.json with --config."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path.name} is no register request: {str(error)[:200]}.",
            hint="Give the JSON object that POST /_plugins/_ml/models/_register takes.",
        ) from error
    if not isinstance(data, dict):
        raise UsageError(
            f"{path.name} holds no JSON object.", hint="Give the config.json that lies beside the archive."
        )
    if len(REQUEST_KEYS & data.keys()) < MIN_REQUEST_KEYS:
        raise UsageError(
            f"{one_line(path.name)} is no register request: {_instead(data)}.",
            hint="Give the JSON object that POST /_plugins/_ml/models/_register takes, with model_format and so on.",
        )
    return data


def _instead(data: dict[str, Any]) -> str:
    """Return what an object is most likely, that is no register request."""
    schema = data.get("schema")
    if isinstance(schema, str) and schema.startswith("release-tool/"):
        return f"it is a {one_line(schema)[:60]}"
    if "architectures" in data or "model_type" in data:
        return "it is the config.json of the model itself"
    missing = sorted(REQUEST_KEYS - data.keys())
    return f"it has no {', '.join(missing[:-1])} or {missing[-1]}"


@cache
def operator_tables() -> OperatorTables:
    """Return the tables of operators that this package ships."""
    return parse_tables(read_packaged("torch-operators.json").decode(), read_packaged("onnx-operators.json").decode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the key {name!r} is given twice")
    return dict(pairs)


def _choose(archive: Archive) -> Entry | None:
    """Return the model file to look into: the server takes the one at the root."""
    models = [entry for entry in archive.entries if entry.name.endswith(tuple(MODEL_SUFFIXES))]
    real = [entry for entry in models if not entry.name.startswith("__MACOSX/")]
    at_root = [entry for entry in real if entry.at_root]
    return next(iter([*at_root, *real, *models]), None)


def _model(archive: Archive, entry: Entry) -> dict[str, Any]:
    if entry.method not in (STORED, DEFLATED):
        return {"model_problem": f"it is packed by method {entry.method}"}
    with archive.open(entry.name) as stream:
        is_zip = stream.read(len(_ZIP_START)) == _ZIP_START
    try:
        if is_zip:
            with archive.open_seekable(entry.name) as stream:
                return {"format": Format.TORCH_SCRIPT, "torch_script": read_torch_script(stream, entry.name)}
        with archive.open(entry.name) as stream:
            return {"format": Format.ONNX, "onnx": read_onnx(stream, entry.size)}
    except (WireFault, ScriptFault) as fault:
        what = "no TorchScript" if is_zip or entry.name.endswith(".pt") else "no ONNX"
        return {"model_problem": f"{what}: {fault}"}


def _tokenizer(archive: Archive) -> dict[str, Any]:
    if not archive.has(TOKENIZER_FILE):
        return {}
    try:
        return {"tokenizer": read_tokenizer(archive.read(TOKENIZER_FILE, MAX_TOKENIZER_BYTES))}
    except TokenizerFault as fault:
        return {"tokenizer_problem": str(fault)}
