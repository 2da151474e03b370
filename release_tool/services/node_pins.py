"""Which files make a real node: Maven coordinates, sizes and sha256 of each version, from data/node-pins.json."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import ClassVar

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.digest import sha256_bytes
from release_tool.errors import UsageError


class Role(StrEnum):
    """What a file is for."""

    SERVER = "server"
    PLUGIN = "plugin"
    NATIVES = "natives"
    """libtorch, as DJL ships it."""
    BRIDGE = "bridge"
    """DJL's JNI library between Java and libtorch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file in a Maven repository."""

    role: Role
    coordinates: str
    """``group:artifact:packaging[:classifier]:version``, Maven's own order."""
    size: int
    """Bytes."""
    sha256: str

    @property
    def parts(self) -> tuple[str, str, str, str | None, str]:
        """Return group, artifact, packaging, classifier and version."""
        found = self.coordinates.split(":")
        classifier = found[3] if len(found) == 5 else None
        return found[0], found[1], found[2], classifier, found[-1]

    @property
    def file_name(self) -> str:
        """Return the name that Maven gives the file."""
        _, name, packaging, classifier, version = self.parts
        return f"{name}-{version}{f'-{classifier}' if classifier else ''}.{packaging}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePins:
    """Everything of one version."""

    java: int
    """The oldest Java feature release that starts it."""
    djl: str
    """Version of DJL inside ML Commons: part of the name under which it looks for the bridge."""
    platform: str
    """``linux-x86_64``: what the natives were built for."""
    artifacts: tuple[Artifact, ...]
    """Plugins in the order of installation."""

    def with_role(self, role: Role) -> tuple[Artifact, ...]:
        """Return the files of one role, in order."""
        return tuple(item for item in self.artifacts if item.role is role)

    @property
    def total_bytes(self) -> int:
        """Return the size of all files together."""
        return sum(item.size for item in self.artifacts)

    @property
    def digest(self) -> str:
        """Return a digest over everything pinned: another one means another prepared node."""
        return sha256_bytes(encode_text(self).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class PinTable:
    """data/node-pins.json."""

    SCHEMA: ClassVar[str] = "release-tool/node-pins@1"

    schema: str
    default: str
    versions: dict[str, NodePins]


@cache
def pin_table() -> PinTable:
    """Read the table that is shipped with the tool."""
    return decode_text(PinTable, (files("release_tool") / "data" / "node-pins.json").read_text(encoding="utf-8"))


def pins_of(version: str | None = None) -> tuple[str, NodePins]:
    """Return the version (the default one for null) and its pins.

    Raises:
        UsageError: a version that is not pinned.
    """
    table = pin_table()
    name = version or table.default
    if name not in table.versions:
        raise UsageError(
            f"OpenSearch {name} is not among the pinned versions of the real node.",
            hint=f"Pinned: {', '.join(table.versions)}.",
        )
    return name, table.versions[name]
