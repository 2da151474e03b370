"""The archive as ML Commons looks at it: when it is registered, and again when it is deployed.

Source of the rules and of the messages: ``ModelHelper.verifyModelZipFile``, ``DLModel.loadModel`` and ``ZipUtils`` of
ML Commons 3.6.0.0; the executable files are refused since 3.8.
"""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from .faults import ContractFault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENSIONS = {"TORCH_SCRIPT": ".pt", "ONNX": ".onnx"}
MODEL_SUFFIXES = tuple(EXTENSIONS.values())
TOKENIZER = "tokenizer.json"
IDF = "idf.json"
DISALLOWED = (".jar", ".class", ".so", ".dylib", ".dll")
WITHOUT_MODEL = "SPARSE_TOKENIZE"
COPY_BYTES = 1 << 20


class Archive:
    """An open archive that passed the server's checks."""

    def __init__(self, path: Path, function: str, model_format: str) -> None:
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, struct.error) as error:
            raise Refused(f"Wrong input file: {error}") from error
        try:
            self.names = tuple(self.zip.namelist())
            check_registration(self.names, function, model_format)
            self.model_name = check_deployment(self.names, function, model_format)
        except BaseException:
            self.zip.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self.zip.close()

    def text(self, name: str) -> str:
        """Return a small text file of the archive."""
        try:
            return self.zip.read(name).decode("utf-8")
        except (zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise Refused(f"{name} of the archive can't be read: {error}") from error

    def idf(self) -> dict[str, float] | None:
        """Return the token weights of ``idf.json``; null where there is none.

        Raises:
            Refused: it is no flat object of numbers.
        """
        if IDF not in self.names:
            return None
        try:
            table: Any = json.loads(self.text(IDF))
        except json.JSONDecodeError as error:
            raise Refused(f"{IDF} is not JSON: {error}") from error
        if not isinstance(table, dict) or not all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in table.values()
        ):
            raise Refused(f"{IDF} is no flat object of token → number")
        return {token: float(value) for token, value in table.items()}

    @contextmanager
    def model_file(self, scratch: Path) -> Iterator[Path]:
        """Unpack the model file beside the work for as long as it takes to load it.

        A path and not bytes: both runtimes read a file piece by piece, while bytes would lie in memory a second
        time. The space counts once, and only until the model is loaded.
        """
        with (
            NamedTemporaryFile(suffix=PurePosixPath(self.model_name).suffix, dir=scratch) as target,
            self.zip.open(self.model_name) as source,
        ):
            try:
                shutil.copyfileobj(source, target, COPY_BYTES)
            except zipfile.BadZipFile as error:
                raise Refused(f"{self.model_name} of the archive is damaged: {error}") from error
            target.flush()
            yield Path(target.name)


def check_registration(names: tuple[str, ...], function: str, model_format: str) -> None:
    """Check what ``verifyModelZipFile`` checks, in its order and words.

    Raises:
        Refused: the register task would fail.
    """
    found = False
    for name in names:
        for kind, suffix in EXTENSIONS.items():
            if not name.endswith(suffix):
                continue
            if kind != model_format:
                raise Refused(f"Model format is {model_format}, but find {suffix} file")
            if found:
                raise Refused("Find multiple model files, but expected only one")
            found = True
    if not found and function != WITHOUT_MODEL:
        raise Refused("Can't find model file")
    # The server spares metrics correlation by comparing texts as objects, which is never true of a request's (3.6).
    if TOKENIZER not in names:
        raise Refused("No tokenizer file")


def check_deployment(names: tuple[str, ...], function: str, model_format: str) -> str:
    """Check what unpacking and loading check; return the model file's name, empty for a tokenizer.

    Raises:
        Refused: the deploy task would fail.
    """
    for name in names:
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise Refused("Bad zip entry")
        if name.endswith(DISALLOWED) or name == "serving.properties":
            raise Refused(f"Model archive contains a disallowed executable file: {name}")
    if len(set(names)) != len(names):
        raise ContractFault("the archive has two entries of one name; the later one replaces the other on the server")
    if function == WITHOUT_MODEL:
        return ""
    at_root = [name for name in names if "/" not in name and name.endswith(MODEL_SUFFIXES)]
    if not at_root:
        raise Refused(f"{EXTENSIONS[model_format]} file not found in: the root of the archive")
    return at_root[0]
