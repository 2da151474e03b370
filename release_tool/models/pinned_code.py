"""A model's own code, from the snapshot and from nowhere else: every byte that runs was planned, fetched and hashed.

transformers finds code by a folder or by a repository's name, copies it into a cache in the user's home and imports it
from there. Inside ``pinned_code`` both places are out of the game: a reference is looked up among the Python files of
the snapshot (``remote_code/<org>/<name>/`` for another repository), each file is hashed when it is read, and those very
bytes are compiled. Relative imports between the files work; nothing is written, nothing is asked of a hub.
"""

from __future__ import annotations

import importlib
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from release_tool.core.digest import sha256_bytes
from release_tool.core.snapshot_files import CODE_FOLDER, code_path
from release_tool.errors import IntegrityError, UnsafeModel, UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from release_tool.core.plan import ReleasePlan
    from release_tool.core.source import SourceSnapshot

PACKAGE = "transformers_modules"
"""The name that transformers gives to all of a model's code; libraries look for it."""


def trusts(plan: ReleasePlan) -> bool:
    """Tell whether code of the model may run: the person said so, and the plan names its files."""
    return plan.request.trust_remote_code and bool(plan.source.remote_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One Python file of the snapshot."""

    path: str
    """Inside the snapshot."""
    sha256: str


@contextmanager
def pinned_code(plan: ReleasePlan, source: SourceSnapshot, snapshot: Path) -> Iterator[None]:
    """Let transformers load the plan's code, and no other, until the end of the block.

    Raises:
        IntegrityError: the plan names code that the snapshot's document does not.
    """
    from transformers import dynamic_module_utils

    code = _Code(plan, source, snapshot)
    before = {name: getattr(dynamic_module_utils, name) for name in ("get_cached_module_file", "get_class_in_module")}
    loaded = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_ours(name)}
    dynamic_module_utils.get_cached_module_file = code.find
    dynamic_module_utils.get_class_in_module = code.load
    sys.meta_path.insert(0, code)
    try:
        yield
    finally:
        sys.meta_path.remove(code)
        for name, function in before.items():
            setattr(dynamic_module_utils, name, function)
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(loaded)


def _is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _word(text: str) -> str:
    """Return a part of a module's name; different texts stay different."""
    return re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):x}_" if match[0] != "_" else "_", text)


class _Code(MetaPathFinder):
    """The plan's Python files by the names of their modules."""

    def __init__(self, plan: ReleasePlan, source: SourceSnapshot, snapshot: Path) -> None:
        self.snapshot = snapshot
        self.model_id = plan.source.model_id
        digests = {file.path: file.sha256 for file in source.files}
        self.files: dict[str, _File] = {}
        self.folders: set[str] = {PACKAGE}
        self.roots: dict[str, str] = {}
        for item in plan.source.remote_code if trusts(plan) else ():
            if not item.path.endswith(".py"):
                continue
            path = code_path(item, self.model_id)
            if path not in digests:
                raise IntegrityError(f"source.json lacks the code {path} of the plan.", hint="Run release-tool fetch.")
            root = "" if item.repo == self.model_id else f"{CODE_FOLDER}/{item.repo}"
            self.roots[item.repo] = root
            self._add(item.repo, item.path, _File(path=path, sha256=digests[path]))

    def _add(self, repo: str, path: str, file: _File) -> None:
        name = _name(repo, path)
        folders = name.split(".")[:-1]
        if PurePosixPath(path).name == "__init__.py":
            name = ".".join(folders)
        if name in self.files:
            raise UnsafeModel(
                f"{file.path} and {self.files[name].path} of the model would be one module in Python.",
                hint="Do not use this model: nobody can tell which of them runs.",
            )
        self.files[name] = file
        self.folders.update(".".join(folders[:end]) for end in range(1, len(folders) + 1))

    def find(self, repo_or_folder: Any, module_file: str, **_: Any) -> str:
        """Stand for ``get_cached_module_file``: return the name of the module that a reference means.

        Raises:
            UnsafeModel: it means no file of the plan.
        """
        place = str(repo_or_folder)
        known = place in self.roots
        repo = place if known else self.model_id
        folders = [""] if known else self._folders_of(place)
        for folder in folders:
            name = _name(repo, f"{folder}/{module_file}" if folder else module_file)
            if name in self.files:
                return name
        where = "the model" if folders else place
        raise UnsafeModel(
            f"The model wants the code {module_file} of {where}, which is not in the plan.",
            hint="Run release-tool plan again with --trust-remote-code, if you trust that code.",
        )

    def _folders_of(self, place: str) -> list[str]:
        """Return where in the model its own code may lie: the folder that is loaded, then the root."""
        try:
            inside = Path(place).resolve().relative_to(self.snapshot.resolve()).as_posix()
        except ValueError:
            return []
        return [""] if inside == "." else [inside, ""]

    def load(self, class_name: str, name: str, **_: Any) -> type:
        """Stand for ``get_class_in_module``.

        Raises:
            UnsupportedModel: the code can't be imported, or lacks the class.
            IntegrityError: a file is not the one that was fetched.
        """
        file = self.files[name]
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UnsupportedModel(
                f"The model's code {file.path} needs the package {error.name}, which is not installed.",
                hint="Install it beside release-tool, or choose another model.",
            ) from error
        except (IntegrityError, MemoryError):
            raise
        except Exception as error:  # whatever the model's authors let happen
            raise UnsupportedModel(
                f"The model's code {file.path} can't be imported: {type(error).__name__}: {error}",
                hint="It may be written for another version of transformers.",
            ) from error
        found = getattr(module, class_name, None)
        if not isinstance(found, type):
            raise UnsupportedModel(f"The model's code {file.path} has no class {class_name}.")
        return found

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        """Find modules of the model's code; no other finder is asked for them."""
        if not _is_ours(fullname):
            return None
        file = self.files.get(fullname)
        folder = fullname in self.folders
        if file is None and not folder:
            raise ModuleNotFoundError(f"{fullname} is no code of the plan", name=fullname)
        place = None if file is None else self.snapshot / file.path
        spec = ModuleSpec(fullname, _Pinned(file, place), origin=None if place is None else str(place))
        spec.has_location = place is not None
        if folder:
            spec.submodule_search_locations = []
        return spec


class _Pinned(Loader):
    """Runs exactly the bytes that were fetched; a folder without code is empty."""

    def __init__(self, file: _File | None, place: Path | None) -> None:
        self.file = file
        self.place = place

    def exec_module(self, module: ModuleType) -> None:
        """Read, hash, compile and run."""
        if self.file is None or self.place is None:
            return
        data = self.place.read_bytes()
        if sha256_bytes(data) != self.file.sha256:
            raise IntegrityError(
                f"{self.file.path} of the snapshot is not what was fetched.", hint="Run release-tool fetch again."
            )
        exec(compile(data, str(self.place), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what it is for


def _name(repo: str, path: str) -> str:
    """Return the module's name of a Python file: the same on every machine, since traces hold it."""
    parts = [*repo.split("/"), *PurePosixPath(path).with_suffix("").parts]
    # The folders' and files' own names stay as they are where they can: relative imports are written with them.
    return ".".join((PACKAGE, *(part if part.isidentifier() else _word(part) for part in parts)))
