"""Environments that hold what the servers load models with, made once and kept in the cache.

The servers' onnxruntime 1.16.3 has wheels for Python 3.11 at most, so the environment may need another Python than
the one that runs this tool. Where it can't be made, the installed packages stand in and the reason is told; only
``legacy`` (torch 1.13.1, about 3 GB) has no stand-in. An environment is built aside and renamed: a killed run leaves
nothing that looks complete.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.digest import sha256_bytes
from release_tool.documents import write_atomic
from release_tool.errors import MachineError, MissingExtra
from release_tool.packaged import read_packaged
from release_tool.services.cache import locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.console import Console

WANTED_PYTHON = (3, 11)
"""Newest Python for which onnxruntime 1.16.3 and torch 1.13.1 have wheels."""

COMPLETE = "complete.json"
RUNTIME_PACKAGES = ("numpy", "onnxruntime", "tokenizers")
LEGACY_PACKAGES = ("numpy", "tokenizers", "torch")
LEGACY_BYTES = 3_400_000_000
PROBE_SECONDS = 30
INSTALL_SECONDS = 900
LAST_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEnvironment:
    """A Python that can run the emulator."""

    python: Path
    pinned: bool
    """True when its packages are the servers' own versions."""
    versions: dict[str, str]
    reason: str | None = None
    """Why it is not pinned."""


class _NoEnvironment(Exception):
    """Why an environment can't be made."""


def runtime_environment(cache: Path, *, console: Console, env: Mapping[str, str] | None = None) -> RuntimeEnvironment:
    """Return the servers' onnxruntime and tokenizers, else the installed ones with the reason.

    Raises:
        MissingExtra: there is neither the one nor the other.
    """
    try:
        return _environment(cache, "runtime", RUNTIME_PACKAGES, console, os.environ if env is None else env)
    except _NoEnvironment as reason:
        return installed_environment(str(reason))


def legacy_environment(cache: Path, *, console: Console, env: Mapping[str, str] | None = None) -> RuntimeEnvironment:
    """Return torch 1.13.1 and tokenizers, as OpenSearch 2.9 to 2.19 have them.

    Raises:
        MachineError: it can't be made; nothing can stand in for it.
    """
    try:
        return _environment(cache, "legacy", LEGACY_PACKAGES, console, os.environ if env is None else env)
    except _NoEnvironment as reason:
        raise MachineError(
            f"The environment with torch 1.13.1 can't be made: {reason}",
            hint="It needs Python 3.11 on PATH (python3.11), a package index and 3.4 GB of disk; "
            "or leave out --on legacy.",
        ) from reason


def installed_environment(reason: str) -> RuntimeEnvironment:
    """Return this Python with the packages that are installed beside this tool.

    Raises:
        MissingExtra: one of them is not installed.
    """
    for package in RUNTIME_PACKAGES:
        if find_spec(package) is None:
            raise MissingExtra("trace", package)
    return RuntimeEnvironment(
        python=Path(sys.executable),
        pinned=False,
        versions={package: importlib.metadata.version(package) for package in RUNTIME_PACKAGES},
        reason=reason,
    )


def pinned_versions(name: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Return package → version as the packaged requirements pin them."""
    pins = {}
    for line in read_packaged(f"{name}-requirements.txt").decode().splitlines():
        package, equals, rest = line.partition("==")
        if equals and package in packages:
            pins[package] = rest.split()[0]
    return pins


def _environment(
    cache: Path, name: str, packages: tuple[str, ...], console: Console, env: Mapping[str, str]
) -> RuntimeEnvironment:
    digest = sha256_bytes(read_packaged(f"{name}-requirements.txt"))
    tag = f"cp{WANTED_PYTHON[0]}{WANTED_PYTHON[1]}-{sys.platform}-{platform.machine()}"
    folder = cache / "environments" / f"{name}-{digest[:16]}-{tag}"
    wanted = pinned_versions(name, packages)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if _complete(folder, wanted):
            return RuntimeEnvironment(python=folder / "bin" / "python", pinned=True, versions=wanted)
        base = find_python(env)
        if base is None:
            raise _NoEnvironment(
                f"no Python {WANTED_PYTHON[0]}.{WANTED_PYTHON[1]} was found, and newer ones have no wheels of the "
                f"servers' versions ({', '.join(f'{key} {value}' for key, value in wanted.items())})"
            )
        with console.step(f"Make the environment of the servers' {', '.join(wanted)}"):
            _build(folder, name, base, wanted, env)
    return RuntimeEnvironment(python=folder / "bin" / "python", pinned=True, versions=wanted)


def _complete(folder: Path, wanted: dict[str, str]) -> bool:
    try:
        noted = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # The Python it was made from may have been removed since.
    return bool(noted == wanted) and (folder / "bin" / "python").exists()


def find_python(env: Mapping[str, str]) -> Path | None:
    """Return a Python of the wanted version: this one, one on PATH, or one that uv knows; none is downloaded."""
    name = f"python{WANTED_PYTHON[0]}.{WANTED_PYTHON[1]}"
    candidates = [sys.executable, shutil.which(name, path=env.get("PATH"))]
    uv = shutil.which("uv", path=env.get("PATH"))
    if uv is not None:
        version = ".".join(map(str, WANTED_PYTHON))
        found = _output([uv, "python", "find", "--no-project", "--no-python-downloads", version], env)
        candidates.append(found)
    for candidate in candidates:
        if candidate and _output([candidate, "-I", "-c", "import sys; print(sys.version_info[:2])"], env) == str(
            WANTED_PYTHON
        ):
            return Path(candidate)
    return None


def _output(command: list[str], env: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False, env=dict(env)
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _build(folder: Path, name: str, base: Path, wanted: dict[str, str], env: Mapping[str, str]) -> None:
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    free = shutil.disk_usage(folder.parent).free
    if name == "legacy" and free < LEGACY_BYTES:
        raise _NoEnvironment(f"{free / 1e9:.1f} GB of disk are free, {LEGACY_BYTES / 1e9:.1f} GB are needed")
    requirements = folder.with_name(f"{folder.name}.txt")
    write_atomic(requirements, read_packaged(f"{name}-requirements.txt"))
    try:
        for command in _commands(partial, base, requirements, env):
            _install(command, env)
        _verify(partial, wanted, env)
        write_atomic(partial / COMPLETE, json.dumps(wanted) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        requirements.unlink(missing_ok=True)
        shutil.rmtree(partial, ignore_errors=True)


def _commands(folder: Path, base: Path, requirements: Path, env: Mapping[str, str]) -> list[list[str]]:
    python = str(folder / "bin" / "python")
    strict = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(requirements)]
    uv = shutil.which("uv", path=env.get("PATH"))
    if uv is not None:
        return [
            [uv, "venv", "--quiet", "--no-project", "--python", str(base), str(folder)],
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *strict],
        ]
    return [
        [str(base), "-m", "venv", str(folder)],
        # Offline must be told soon: pip alone would try for minutes.
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", *strict],
    ]


def _install(command: list[str], env: Mapping[str, str]) -> None:
    tool = Path(command[0]).name
    # uv brings its own certificates, pip asks the system: behind a company's proxy only the system's are right.
    quick = {"UV_HTTP_RETRIES": "1", "UV_SYSTEM_CERTS": "true", **env}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False, env=quick)
    except subprocess.TimeoutExpired as error:
        raise _NoEnvironment(f"{tool} did not end within {INSTALL_SECONDS} s") from error
    except OSError as error:
        raise _NoEnvironment(f"{tool} can't be run: {error.strerror}") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split("\n")[-LAST_LINES - 1 :]).strip()
        raise _NoEnvironment(f"{tool} failed: {said[-300:]}")


def _verify(folder: Path, wanted: dict[str, str], env: Mapping[str, str]) -> None:
    code = (
        "import json, importlib, importlib.metadata as m, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    said = _output([str(folder / "bin" / "python"), "-I", "-c", code, *wanted], env)
    if said is None or json.loads(said) != wanted:
        raise _NoEnvironment(f"the packages do not load or are others: {said or 'an import failed'}")
