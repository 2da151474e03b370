"""Prepare a real node once a cache: server, plugins and natives, unpacked and checked, ready to be linked.

Promises: the prepared folder is whole or absent (built beside its place, renamed at the end); its name holds the
digest of the pins, so other pins make another folder. A start takes hard links of it and writes only beside them.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from platform import machine
from typing import TYPE_CHECKING, ClassVar

from release_tool.core.codec import encode_text
from release_tool.core.escape import one_line
from release_tool.documents import disk_error, read_document, write_atomic
from release_tool.errors import IntegrityError, MachineError
from release_tool.services import maven
from release_tool.services.cache import locked
from release_tool.services.jdk import find_maven
from release_tool.services.node_pins import NodePins, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.console import Console
    from release_tool.services.jdk import Jdk

ML_PLUGIN = "opensearch-ml"
MIN_DISK_BYTES = 3 * 1000**3
"""Archives 0.7 GB, unpacked 1.1 GB, and room for models while they are registered and deployed."""
INSTALL_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """prepared.json: what lies in the folder."""

    SCHEMA: ClassVar[str] = "release-tool/prepared-node@1"

    schema: str = "release-tool/prepared-node@1"
    version: str
    pins: str
    """Digest of the pins it was made from."""
    libraries: dict[str, str]
    """Library → version as found among the unpacked files: what answers in that node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHome:
    """A prepared node in the cache; nobody writes here."""

    folder: Path
    prepared: Prepared

    @property
    def server(self) -> Path:
        """The unpacked server with its plugins (OPENSEARCH_HOME)."""
        return self.folder / "server"

    @property
    def natives(self) -> Path:
        """What belongs into ``data/ml_cache`` before the first deploy."""
        return self.folder / "natives"


def home_folder(cache: Path, version: str, pins: NodePins) -> Path:
    """Return where the prepared node of these pins lies, or will lie."""
    return cache / "node" / f"{version}-{pins.digest[:16]}"


def is_prepared(cache: Path, version: str, pins: NodePins) -> bool:
    """Tell whether it is there."""
    return (home_folder(cache, version, pins) / "prepared.json").is_file()


def prepare(
    cache: Path, version: str, pins: NodePins, jdk: Jdk, console: Console, *, env: Mapping[str, str]
) -> NodeHome:
    """Return the prepared node, made now if it is not there yet.

    Raises:
        MachineError: another platform, no Maven, no space.
        Unreachable, IntegrityError: see ``maven.fetch``.
    """
    folder = home_folder(cache, version, pins)
    with locked(cache / "node" / "prepare.lock"):
        if not is_prepared(cache, version, pins):
            check_platform(pins)
            check_disk(cache)
            _clean(folder)
            files = maven.fetch(
                pins.artifacts, cache / "artifacts", console, mvn=find_maven(env), env=_with_java(env, jdk)
            )
            with console.step(f"Prepare OpenSearch {version}"):
                _build(folder, (version, pins), jdk, files, env)
    text = (folder / "prepared.json").read_text(encoding="utf-8")
    return NodeHome(folder=folder, prepared=read_document(Prepared, text, "prepared.json", made_by="node up"))


def check_platform(pins: NodePins) -> None:
    """Refuse a machine that the natives were not built for.

    Raises:
        MachineError: another system or processor.
    """
    here = f"{sys.platform}-{machine()}".lower().replace("amd64", "x86_64")
    if here != pins.platform:
        raise MachineError(
            f"The natives of the real node are built for {pins.platform}, this machine is {here}.",
            hint="Run this step on such a machine; validate works here without --on node.",
        )


def check_disk(folder: Path) -> None:
    """Refuse to begin on a disk that is nearly full.

    Raises:
        MachineError: less than ``MIN_DISK_BYTES`` free.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < MIN_DISK_BYTES:
        raise MachineError(
            f"The real node needs {MIN_DISK_BYTES / 1e9:.0f} GB of free disk; {there} has {free / 1e9:.1f} GB.",
            hint="Free space, or name a folder on another disk in RELEASE_TOOL_CACHE.",
        )


def _with_java(env: Mapping[str, str], jdk: Jdk) -> dict[str, str]:
    # Maven runs on the user's own Java; only where there is none, the one found serves it too.
    has_java = env.get("JAVA_HOME") or shutil.which("java", path=env.get("PATH", ""))
    return dict(env) if has_java else {**env, "JAVA_HOME": str(jdk.home)}


def _clean(folder: Path) -> None:
    # Under the lock nobody else builds: what a killed run left, and a folder without its document, can go.
    for left in folder.parent.glob(f"{folder.name}.*.part"):
        shutil.rmtree(left)
    if folder.exists():
        shutil.rmtree(folder)


def _build(
    folder: Path, what: tuple[str, NodePins], jdk: Jdk, files: Mapping[str, Path], env: Mapping[str, str]
) -> None:
    version, pins = what
    building = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    building.mkdir(parents=True)
    try:
        (server_zip,) = pins.with_role(Role.SERVER)
        unzip(files[server_zip.coordinates], building / "server", strip=1)
        _install_plugins(
            building / "server", [files[item.coordinates] for item in pins.with_role(Role.PLUGIN)], jdk, env
        )
        libtorch = _add_natives(building, pins, files)
        _open_for_all(building)
        libraries = {**jar_versions(building / "server" / "plugins" / ML_PLUGIN), "libtorch": libtorch}
        prepared = Prepared(version=version, pins=pins.digest, libraries=dict(sorted(libraries.items())))
        write_atomic(building / "prepared.json", encode_text(prepared))
        building.replace(folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def unzip(archive: Path, target: Path, *, strip: int = 0) -> None:
    """Unpack an archive, without its first ``strip`` folders.

    Raises:
        IntegrityError: an entry would land outside of ``target``.
    """
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            parts = PurePosixPath(info.filename).parts[strip:]
            if ".." in parts or PurePosixPath(info.filename).is_absolute():
                raise IntegrityError(f"{archive.name} holds an entry that leaves its folder: {one_line(info.filename)}")
            place = target.joinpath(*parts)
            if info.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(info) as source, place.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            if info.external_attr >> 16 & stat.S_IXUSR:
                place.chmod(0o755)


def _install_plugins(server: Path, archives: list[Path], jdk: Jdk, env: Mapping[str, str]) -> None:
    # One call for all of them keeps their order (a plugin must find those that it extends) and starts Java once.
    command = [str(server / "bin" / "opensearch-plugin"), "install", "--batch", *(path.as_uri() for path in archives)]
    clean = {key: value for key, value in env.items() if not key.startswith(("OPENSEARCH_", "JAVA_TOOL_OPTIONS"))}
    clean["OPENSEARCH_JAVA_HOME"] = str(jdk.home)
    try:
        done = subprocess.run(
            command, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=INSTALL_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"Installing the plugins took more than {INSTALL_SECONDS} s.", hint="Run again.") from error
    if done.returncode != 0:
        said = one_line(" ".join((done.stderr or done.stdout).splitlines()[-5:]))
        raise MachineError(
            f"The server's plugin installer failed: {said}", hint="Run again with --debug; check the JDK."
        )


def _add_natives(building: Path, pins: NodePins, files: Mapping[str, Path]) -> str:
    """Put libtorch and its bridge where DJL looks first, so that it downloads nothing; return libtorch's version."""
    (natives,), (bridge,) = pins.with_role(Role.NATIVES), pins.with_role(Role.BRIDGE)
    jar = files[natives.coordinates]
    # DJL learns the version from the jar on its class path, then takes the libraries from its cache folder.
    shutil.copyfile(jar, building / "server" / "plugins" / ML_PLUGIN / jar.name)
    with zipfile.ZipFile(jar) as bundle:
        pairs = (
            line.split("=", 1)
            for line in bundle.read("native/lib/pytorch.properties").decode().splitlines()
            if "=" in line
        )
        facts = {key.strip(): value.strip() for key, value in pairs}
        name = f"{facts['version']}-{facts['flavor']}-{facts['classifier']}"
        place = building / "natives" / "pytorch" / name
        place.mkdir(parents=True)
        for library in facts["libraries"].split(","):
            member = f"pytorch/{facts['flavor']}/{facts['classifier']}/{library}"
            with bundle.open(member) as source, (place / library).open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    with zipfile.ZipFile(files[bridge.coordinates]) as bundle:
        member = f"jnilib/{facts['classifier']}/{facts['flavor']}/libdjl_torch.so"
        (place / f"{pins.djl}-libdjl_torch.so").write_bytes(bundle.read(member))
    return facts["version"].split("-")[0]


def _open_for_all(folder: Path) -> None:
    # The server may run as another user than the one who prepared it; nothing in here is private.
    for root, _, names in os.walk(folder):
        Path(root).chmod(0o755)
        for name in names:
            path = Path(root, name)
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def jar_versions(plugin: Path) -> dict[str, str]:
    """Return the versions of the libraries that answer, read from the names of the plugin's jars."""
    wanted = {
        "djl": r"api-(\d[\d.]*)\.jar",
        "ml-commons": r"opensearch-ml-algorithms-(\d[\d.]*)\.jar",
        "onnxruntime": r"onnxruntime(?:_gpu)?-(\d[\d.]*)\.jar",
    }
    names = [path.name for path in plugin.iterdir()]
    found = {}
    for library, pattern in wanted.items():
        for name in names:
            if match := re.fullmatch(pattern, name):
                found[library] = match[1]
    for jar in plugin.glob("tokenizers-*.jar"):
        with zipfile.ZipFile(jar) as bundle:
            text = bundle.read("native/lib/tokenizers.properties").decode()
        # "version=0.20.3-0.31.1": the Rust library's, then DJL's own.
        if match := re.search(r"version=(\d[\d.]*)", text):
            found["tokenizers"] = match[1]
    return found
