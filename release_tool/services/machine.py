"""Look what this machine can do: one check a part, each with what was found and what would help.

Nothing is started, made or downloaded; a check never raises. ``required`` marks what ``trace`` and ``validate`` can't
do without; the rest is said, because it limits what can be proven.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.errors import BadToken, ReleaseError, SourceError, Unreachable, UsageError, install_line
from release_tool.services.cache import cache_folder
from release_tool.services.extras import EXTRA, FINETUNE_PACKAGES, QUALITY_PACKAGES, packages
from release_tool.services.jdk import find_jdk, find_maven
from release_tool.services.node import status
from release_tool.services.node_home import MIN_DISK_BYTES, check_platform, is_prepared
from release_tool.services.node_pins import pins_of
from release_tool.services.node_process import run_parent, server_user
from release_tool.services.node_start import MIN_MEMORY_BYTES
from release_tool.services.processes import available_memory
from release_tool.services.runtime_env import RUNTIME_PACKAGES, find_python, pinned_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FIRST_PYTHON, AFTER_PYTHON = (3, 11), (3, 14)
FIRST_MACOS = 14
"""What the wheels of torch 2.13 and onnxruntime 1.31 are tagged with (macosx_14_0_arm64); none is for Intel."""

TRACE_MEMORY_BYTES = 2 * 1000**3
"""A small model was seen to need 1.2 GB while it is exported, importing torch included."""
TRACE_DISK_BYTES = 1000**3


OTHER_EXTRAS: dict[str, tuple[dict[str, str], str]] = {
    "quality": (QUALITY_PACKAGES, "quality"),
    "finetune": (FINETUNE_PACKAGES, "finetune"),
}
"""Extra → its packages, and the commands that need it."""


class Level(StrEnum):
    """What a check means."""

    OK = "ok"
    NOTE = "note"
    """Something can't be done here; trace and validate can."""
    MISSING = "missing"
    """trace or validate can't be done here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part of the machine."""

    name: str
    level: Level
    found: str
    hint: str | None = None


def look(work: Path, env: Mapping[str, str]) -> tuple[Check, ...]:
    """Return all checks, in the order in which a release meets them."""
    return (
        _python(),
        _platform(),
        *_packages(),
        *_extras(),
        _runtime(env),
        _memory(),
        _disk(work),
        _hub(env),
        *_node(env),
    )


def _python() -> Check:
    here = sys.version_info[:3]
    fits = FIRST_PYTHON <= here[:2] < AFTER_PYTHON
    return Check(
        name="python",
        level=Level.OK if fits else Level.MISSING,
        found=".".join(map(str, here)),
        hint=None if fits else "Use Python 3.11, 3.12 or 3.13.",
    )


def _platform() -> Check:
    """Name the systems that torch and onnxruntime have no wheels for: nothing that pip could be told would help."""
    system, processor = platform.system(), platform.machine()
    version = platform.mac_ver()[0] if system == "Darwin" else ""
    found = " ".join(("macOS" if system == "Darwin" else system, version, processor)).replace("  ", " ")
    intel = system == "Darwin" and processor == "x86_64"
    old = system == "Darwin" and version != "" and int(version.split(".")[0]) < FIRST_MACOS
    if not intel and not old:
        return Check(name="system", level=Level.OK, found=found)
    return Check(
        name="system",
        level=Level.MISSING,
        found=f"{found}: torch and onnxruntime have no wheels for it",
        hint=f"Trace and validate on Linux, or on Apple silicon with macOS {FIRST_MACOS} or newer; what needs "
        "no extra works here: review, compat, and plan of a folder.",
    )


def _packages() -> Iterator[Check]:
    for package in packages():
        found = package.found or "not installed"
        old = package.found is not None and not package.fits
        yield Check(
            name=package.name,
            level=Level.OK if package.fits else Level.MISSING,
            found=f"{found}, older than {package.oldest}" if old else found,
            hint=None if package.fits else install_line(EXTRA),
        )


def _extras() -> Iterator[Check]:
    """Say of each other extra whether all of it is there; which commands need it is what a person wants to know."""
    for extra, (wanted, commands) in OTHER_EXTRAS.items():
        lacking = [package.name for package in packages(wanted) if not package.fits]
        yield Check(
            name=f"extra {extra}",
            level=Level.NOTE if lacking else Level.OK,
            found=f"for {commands}" + (f"; missing or too old: {', '.join(lacking)}" if lacking else ""),
            hint=install_line(extra) if lacking else None,
        )


def _runtime(env: Mapping[str, str]) -> Check:
    wanted = pinned_versions("runtime", RUNTIME_PACKAGES)
    listed = ", ".join(f"{name} {version}" for name, version in wanted.items())
    for note in (cache_folder(env) / "environments").glob("runtime-*/complete.json"):
        try:
            if json.loads(note.read_text(encoding="utf-8")) == wanted:
                return Check(name="runtime ring", level=Level.OK, found=f"environment made: {listed}")
        except (OSError, ValueError):
            continue
    python = find_python(env)
    if python is not None:
        return Check(name="runtime ring", level=Level.OK, found=f"will be made with {python}: {listed}")
    return Check(
        name="runtime ring",
        level=Level.NOTE,
        found=f"no Python 3.11 for the servers' own {listed}; the installed packages will stand in",
        hint="Install Python 3.11 beside this one.",
    )


def _memory() -> Check:
    free = available_memory()
    if free is None:
        return Check(name="memory", level=Level.NOTE, found="this system does not tell")
    if free < TRACE_MEMORY_BYTES:
        return Check(
            name="memory",
            level=Level.MISSING,
            found=f"{free / 1e9:.1f} GB free",
            hint="A small model needs 2 GB; a large one about twice its weights and 1 GB more.",
        )
    return Check(name="memory", level=Level.OK, found=f"{free / 1e9:.1f} GB free")


def _disk(work: Path) -> Check:
    place = work.absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    low = free < TRACE_DISK_BYTES
    return Check(
        name="disk",
        level=Level.MISSING if low else Level.OK,
        found=f"{free / 1e9:.1f} GB free at {there}",
        hint="Free space, or name a work folder on another disk with --work." if low else None,
    )


def _hub(env: Mapping[str, str]) -> Check:
    from release_tool.services.hub_client import HubClient

    client = HubClient(env=env, attempts=1)
    name = "model hub"
    try:
        if client.offline:
            return Check(name=name, level=Level.NOTE, found="HF_HUB_OFFLINE is set", hint="Folders and the cache work.")
        client.get_json("api/models?limit=1", about="the hub")
    except (Unreachable, OSError) as error:
        hint = "Check network, proxy and HF_ENDPOINT; folders and the hub's cache work without."
        return Check(name=name, level=Level.NOTE, found=one_line(str(error)), hint=hint)
    except (BadToken, UsageError) as error:
        return Check(name=name, level=Level.NOTE, found=one_line(str(error)), hint=error.hint)
    except SourceError:
        # A mirror may have no list of models; that it said so is an answer.
        pass
    return Check(name=name, level=Level.OK, found=f"{client.endpoint} answers")


def _node(env: Mapping[str, str]) -> Iterator[Check]:
    version, pins = pins_of()
    cache = cache_folder(env)
    try:
        jdk = find_jdk(env, minimum=pins.java, for_others=server_user() is not None)
        yield Check(name="node: JDK", level=Level.OK, found=f"Java {jdk.feature} in {jdk.home} ({jdk.found_in})")
    except ReleaseError as error:
        yield Check(name="node: JDK", level=Level.NOTE, found=one_line(str(error)), hint=error.hint)
    try:
        yield Check(name="node: Maven", level=Level.OK, found=str(find_maven(env)))
    except ReleaseError as error:
        yield Check(name="node: Maven", level=Level.NOTE, found=one_line(str(error)), hint=error.hint)
    yield _node_room(env, cache)
    try:
        check_platform(pins)
        found = "prepared" if is_prepared(cache, version, pins) else f"{pins.total_bytes / 1e9:.1f} GB to download once"
        state = status(env=env).state
        yield Check(name="node", level=Level.OK, found=f"OpenSearch {version}: {found}; now {state}")
    except ReleaseError as error:
        yield Check(name="node", level=Level.NOTE, found=one_line(str(error)), hint=error.hint)


def _node_room(env: Mapping[str, str], cache: Path) -> Check:
    name = "node: room"
    free = available_memory()
    try:
        parent = run_parent(env, cache)
    except ReleaseError as error:
        return Check(name=name, level=Level.NOTE, found=one_line(str(error)), hint=error.hint)
    disk = shutil.disk_usage(next(path for path in (parent, *parent.parents) if path.exists())).free
    enough = (free is None or free >= MIN_MEMORY_BYTES) and disk >= MIN_DISK_BYTES
    told = f"{disk / 1e9:.1f} GB of disk at {parent}" + ("" if free is None else f", {free / 1e9:.1f} GB of memory")
    return Check(
        name=name,
        level=Level.OK if enough else Level.NOTE,
        found=told,
        hint=None if enough else "The node needs 3 GB of memory and 3 GB of disk.",
    )
