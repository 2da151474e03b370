"""Files that come with the package: the probes, the pinned requirements, the emulator's program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.bounded import NotReadable, read_bounded
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from release_tool.core.probes import ProbeSet


def read_packaged(name: str) -> bytes:
    """Return the bytes of a file of ``release_tool/data``."""
    return files("release_tool").joinpath("data", *name.split("/")).read_bytes()


def packaged_probes() -> ProbeSet:
    """Return the probes that this project ships."""
    from release_tool.core.probes import parse

    return parse(read_packaged("probes.json"))


def load_probes(path: Path | None = None) -> ProbeSet:
    """Return the probes of a file, or those of this project when no file is named.

    Raises:
        UsageError: the file can't be read or is no probe set.
    """
    from release_tool.core.probes import parse

    if path is None:
        return packaged_probes()
    try:
        data = read_bounded(path)
    except (OSError, NotReadable) as error:
        raise UsageError(
            f"The probe set {path} can't be read: {error.strerror if isinstance(error, OSError) else error}.",
            hint="Name a readable file with --probes.",
        ) from error
    return parse(data, path.name)


def packaged_set() -> Path:
    """Return the folder of the judged set that comes with the package."""
    return Path(str(files("release_tool").joinpath("data", "judged")))


def emulator_program() -> Path:
    """Return the path of the program that emulates the server; a fresh process runs it by this path."""
    return Path(str(files("release_tool").joinpath("emulator", "serve.py")))
