"""Which files of a repository or folder a release takes, and which it refuses by name.

An allow-list: configuration, tokenizer, card and licence at the root and in the folders that modules.json
names, and one set of weights for each of these folders. Weights in pickle are taken only when the plan allows
them, Python files only when the plan allows remote code; copies of the same weights for other runtimes (onnx,
openvino, TensorFlow, Flax) never. The rule follows the file names that ``transformers`` and
``sentence_transformers`` load.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from posixpath import basename, dirname
from typing import TYPE_CHECKING, Any

from release_tool.core.code_references import check_own, code_repositories
from release_tool.core.plan import PlannedFile
from release_tool.core.scripts import scripted_module
from release_tool.errors import UnsafeModel, UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from release_tool.core.plan import RemoteCode

CODE_FOLDER = "remote_code"
"""Code of another repository lies in ``remote_code/<org>/<name>/`` of the snapshot, at its pinned commit."""

SMALL_SUFFIXES = (".json", ".txt", ".model", ".spm", ".codes", ".tiktoken", ".jinja")
"""Configuration and vocabularies: sentencepiece (.model, .spm) and BPE merges (.codes) too."""

PAPERS = re.compile(r"(readme|licen[sc]e|notice|copying)([.-][\w.-]*)?", re.IGNORECASE)
LEFTOVERS = re.compile(
    r"(pytorch_model\.bin|tf_model\.h5|flax_model\.msgpack)\.index\.json"
    r"|(trainer_state|all_results|train_results|eval_results|training_args)\.json"
)
"""Indexes of weights that are not taken, and what a training run leaves behind."""

PICKLE_WEIGHTS = re.compile(r"pytorch_model[\w.-]*\.bin")
TENSORFLOW = re.compile(r".*(\.h5|\.pb|\.ckpt\.index|\.tflite)")
FLAX = re.compile(r".*\.msgpack")
OTHER_WEIGHTS = re.compile(r".*\.(onnx|gguf|ggml|ot|mlmodel|mlpackage|safetensors|bin|pt|pth|ckpt|pkl)")
TOKENIZER_FILES = frozenset({"tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model"})

OWN_NAMESPACE = "sentence_transformers."
MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a release takes of a source."""

    files: tuple[PlannedFile, ...]
    """Sorted by path."""
    own_code: tuple[PlannedFile, ...] = ()
    """The Python files among them, when the model asks for code and the plan allows it."""
    code_repositories: tuple[str, ...] = ()
    """``org/name`` of other repositories whose code the model asks for."""


def select(
    files: Iterable[PlannedFile],
    read: Callable[[str], bytes | None],
    *,
    model_id: str,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Selection:
    """Choose the files of a release.

    Args:
        files: every file of the source.
        read: returns a small file of the source, ``None`` when there is none.
        model_id: ``org/name``; tells the model's own code from another repository's.
        allow_pickle: take ``pytorch_model*.bin`` where there is no safetensors.
        trust_remote_code: take Python files when the configuration asks for code.

    Raises:
        UnsafeModel: pickle weights, remote code or TorchScript without the flag, or a path that leaves the folder.
        UnsupportedModel: nothing that can be loaded, or weights or code that the model names are missing.
    """
    listed = {file.path: file for file in files if not is_ignored(file.path)}
    for path in listed:
        check_path(path)
    script = scripted_module(listed)
    if script is not None:
        return _scripted(listed, script, model_id, trust_remote_code=trust_remote_code)
    folders = _module_folders(listed, read)
    taken = {path for path in listed if dirname(path) in (*folders, "") and _is_small(basename(path))}
    taken |= _weights(listed, folders, read, allow_pickle=allow_pickle)
    references = _code_references(listed, folders, read)
    own_code: tuple[PlannedFile, ...] = ()
    if references:
        if not trust_remote_code:
            raise UnsafeModel(
                f"{model_id} runs code of its own: {_named(references)}.",
                hint="Read that code; if you trust it, say so with --trust-remote-code.",
            )
        own_code = tuple(listed[path] for path in sorted(listed) if path.endswith(".py"))
        check_own(references, model_id, folders, set(listed))
        taken |= {file.path for file in own_code}
    return Selection(
        files=tuple(listed[path] for path in sorted(taken)),
        own_code=own_code,
        code_repositories=code_repositories(references, model_id),
    )


def _scripted(listed: dict[str, PlannedFile], script: str, model_id: str, *, trust_remote_code: bool) -> Selection:
    """Return the selection of a TorchScript module: a program, whatever its format's unpickler refuses."""
    if not trust_remote_code:
        raise UnsafeModel(
            f"{model_id} is a TorchScript module, {script}: a program that runs here and on the server.",
            hint="If you trust who made it, say so with --trust-remote-code.",
        )
    taken = {script, *(path for path in listed if "/" not in path and _is_small(path))}
    return Selection(files=tuple(listed[path] for path in sorted(taken)), own_code=(listed[script],))


def is_ignored(path: str) -> bool:
    """Tell whether a path is hidden, git's own or a cache of Python: no part of a model."""
    return any(part == "__pycache__" or (part.startswith(".") and part.strip(".")) for part in path.split("/"))


def check_path(path: str) -> None:
    """Refuse a path that would be written outside the snapshot, whatever the server says.

    Raises:
        UnsafeModel: absolute, with ``..``, a backslash, a drive or a control character.
    """
    parts = path.split("/")
    bad = any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\x00-\x1f\x7f]", path)
    if bad or len(path) > 1024 or parts[0] == CODE_FOLDER:
        raise UnsafeModel(
            f"The source lists a file named {path!r}, which can't be written safely.",
            hint="Rename the file in the model; if you did not make this model, do not use it.",
        )


def code_path(code: RemoteCode, model_id: str) -> str:
    """Return where a file of remote code lies in the snapshot."""
    return code.path if code.repo == model_id else f"{CODE_FOLDER}/{code.repo}/{code.path}"


def _is_small(name: str) -> bool:
    return not LEFTOVERS.fullmatch(name) and (name.endswith(SMALL_SUFFIXES) or bool(PAPERS.fullmatch(name)))


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MAX_NAMED} more" if len(listed) > MAX_NAMED else ""
    return ", ".join(listed[:MAX_NAMED]) + more


def _json(path: str, listed: dict[str, PlannedFile], read: Callable[[str], bytes | None]) -> Any:
    data = read(path) if path in listed else None
    if data is None:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnsupportedModel(f"{path} of the model is not JSON.", hint="Repair the file in the model.") from error


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _modules(listed: dict[str, PlannedFile], read: Callable[[str], bytes | None]) -> list[tuple[str, str]]:
    """Return (folder, class name) of each module, also those inside a router; empty without modules.json."""
    modules = _json("modules.json", listed, read)
    found = [
        (str(item.get("path") or "").strip("/"), str(item.get("type") or ""))
        for item in (modules if isinstance(modules, list) else [])
        if isinstance(item, dict)
    ]
    for folder, _ in tuple(found):
        types = _object(_object(_json(_join(folder, "router_config.json"), listed, read)).get("types"))
        found.extend((_join(folder, str(name)), str(cls)) for name, cls in types.items())
    return found


def _module_folders(listed: dict[str, PlannedFile], read: Callable[[str], bytes | None]) -> tuple[str, ...]:
    """Return the folders that hold a part of the model: the root without a modules.json."""
    return tuple(dict.fromkeys(folder for folder, _ in _modules(listed, read))) or ("",)


def _weights(
    listed: dict[str, PlannedFile],
    folders: tuple[str, ...],
    read: Callable[[str], bytes | None],
    *,
    allow_pickle: bool,
) -> set[str]:
    taken: set[str] = set()
    refused: list[str] = []
    for folder in folders:
        safe = _weight_set(folder, "model.safetensors", listed, read)
        pickles = sorted(p for p in listed if dirname(p) == folder and PICKLE_WEIGHTS.fullmatch(basename(p)))
        if safe:
            taken |= safe
        elif allow_pickle and pickles:
            chosen = _weight_set(folder, "pytorch_model.bin", listed, read) or set(pickles)
            index = _join(folder, "pytorch_model.bin.index.json")
            taken |= chosen | ({index} if index in listed and len(chosen) > 1 else set())
        else:
            refused += pickles
    if refused:
        raise UnsafeModel(
            f"The model has weights in pickle only, which run code when they are read: {_named(refused)}.",
            hint="Choose a --revision with safetensors, or accept the risk with --allow-pickle.",
        )
    if not taken:
        _check_loadable(listed)
    return taken


def _weight_set(
    folder: str, name: str, listed: dict[str, PlannedFile], read: Callable[[str], bytes | None]
) -> set[str]:
    """Return one file or the shards that its index names, as transformers chooses; empty without either."""
    whole = _join(folder, name)
    if whole in listed:
        return {whole}
    index = f"{whole}.index.json"
    if index not in listed:
        return set()
    shards = {
        _join(folder, str(shard)) for shard in _object(_object(_json(index, listed, read)).get("weight_map")).values()
    }
    missing = sorted(shards - set(listed))
    if missing or not shards:
        what = f"names {_named(missing)}, which the model does not have" if missing else "names no weights"
        raise UnsupportedModel(f"{index} {what}.", hint="The model is incomplete; choose another --revision.")
    return shards


def _check_loadable(listed: dict[str, PlannedFile]) -> None:
    """Refuse a model whose weights are all for other libraries; a tokenizer alone needs none."""
    other = {
        "TensorFlow": sorted(p for p in listed if TENSORFLOW.fullmatch(p)),
        "Flax": sorted(p for p in listed if FLAX.fullmatch(p)),
    }
    for framework, paths in other.items():
        if paths:
            raise UnsupportedModel(
                f"The model has weights for {framework} only: {_named(paths)}.",
                hint="Convert it with transformers 4 (from_tf, from_flax) and save it as safetensors.",
            )
    strange = sorted(p for p in listed if OTHER_WEIGHTS.fullmatch(p))
    if strange:
        raise UnsupportedModel(
            f"The model has no weights that transformers loads by name, only {_named(strange)}.",
            hint="Expected model.safetensors or its parts; for metrics correlation one .pt and no other model.",
        )
    if not TOKENIZER_FILES & {basename(path) for path in listed}:
        raise UnsupportedModel(
            "The source holds neither weights nor a tokenizer.",
            hint="Expected model.safetensors or tokenizer.json at the root of the model.",
        )


def _code_references(
    listed: dict[str, PlannedFile], folders: tuple[str, ...], read: Callable[[str], bytes | None]
) -> tuple[str, ...]:
    """Return every class that the configuration wants from outside the libraries, as written there."""
    found = [cls for _, cls in _modules(listed, read) if cls and not cls.startswith(OWN_NAMESPACE)]
    for folder in dict.fromkeys(("", *folders)):
        for name in ("config.json", "tokenizer_config.json"):
            for value in _object(_object(_json(_join(folder, name), listed, read)).get("auto_map")).values():
                found += [ref for ref in (value if isinstance(value, list) else [value]) if isinstance(ref, str)]
    return tuple(dict.fromkeys(found))
