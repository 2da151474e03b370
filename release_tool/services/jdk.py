"""Find a Java that starts the real node, and the Maven that gets it.

Nothing is installed and nothing is guessed from a name: a folder is a JDK when it has ``bin/java`` and says its
version, in its ``release`` file or when asked.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MIN_JAVA = 21
"""Java feature release: ML Commons 3.x says java.version=21 in its plugin descriptor."""

NAMED_IN = ("OPENSEARCH_JAVA_HOME", "JAVA_HOME", "JAVA_HOME_21_X64", "JAVA_HOME_25_X64")
"""Variables that name a JDK, first wins; the last two are what GitHub's runners set."""

JVM_FOLDER = Path("/usr/lib/jvm")
JAVA_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Jdk:
    """A Java installation."""

    home: Path
    feature: int
    """The feature release: 8, 17, 21, 25."""
    found_in: str
    """What led to it: a variable's name, a folder, or PATH."""


def feature_release(text: str) -> int | None:
    """Return the feature release in a ``release`` file or in what ``java -version`` prints; null when there is none.

    ``1.8.0_432`` is 8, ``21.0.5`` is 21, ``25-ea`` is 25.
    """
    match = re.search(r"(?:JAVA_VERSION=|version )\"(\d+)(?:\.(\d+))?", text)
    if match is None:
        return None
    first, second = int(match[1]), match[2]
    return int(second) if first == 1 and second else first


def find_jdk(
    env: Mapping[str, str], *, minimum: int = MIN_JAVA, jvm_folder: Path = JVM_FOLDER, for_others: bool = False
) -> Jdk:
    """Return the first JDK that is new enough.

    Args:
        env: where the variables and PATH are read.
        minimum: the oldest feature release that will do.
        jvm_folder: where the system's packages put their JDKs.
        for_others: the server will run as another user, who must be able to read it.

    Raises:
        MachineError: there is none; the message says what was found instead.
    """
    seen: list[str] = []
    known: set[Path] = set()
    for found_in, home in candidates(env, jvm_folder):
        real = home.resolve()
        if real in known:
            continue
        known.add(real)
        feature = java_feature(home)
        if feature is None:
            seen.append(f"{found_in} ({home}) is no Java")
        elif feature < minimum:
            seen.append(f"{found_in} ({home}) is Java {feature}")
        elif for_others and not open_to_all(real / "bin" / "java"):
            seen.append(f"{found_in} ({home}) can't be read by other users than its owner")
        else:
            return Jdk(home=home, feature=feature, found_in=found_in)
    found = "; ".join(seen) if seen else "no Java at all"
    raise MachineError(
        f"The real node needs a JDK {minimum} or newer. Found: {found}.",
        hint=f"Install one (for example the package openjdk-{minimum}-jdk-headless) or name its folder in "
        "OPENSEARCH_JAVA_HOME.",
    )


def candidates(env: Mapping[str, str], jvm_folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (what led to it, JDK folder) in the order in which they are preferred."""
    for name in NAMED_IN:
        if env.get(name):
            yield name, Path(env[name])
    if jvm_folder.is_dir():
        # Newest first by the numbers in the name, so that the choice does not hang on the folder's order.
        yield from ((str(jvm_folder), home) for home in sorted(jvm_folder.iterdir(), key=_numbers, reverse=True))
    java = shutil.which("java", path=env.get("PATH", ""))
    if java is not None:
        yield "PATH", Path(java).resolve().parent.parent


def _numbers(path: Path) -> tuple[tuple[int, ...], str]:
    return tuple(int(part) for part in re.findall(r"\d+", path.name)), path.name


def java_feature(home: Path) -> int | None:
    """Return the feature release of the JDK in a folder, null when it holds none."""
    java = home / "bin" / "java"
    if not java.is_file():
        return None
    try:
        feature = feature_release((home / "release").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        feature = None
    if feature is not None:
        return feature
    try:
        done = subprocess.run(
            [str(java), "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return feature_release(done.stderr + done.stdout)


def open_to_all(path: Path) -> bool:
    """Tell whether any user may read a file: every folder above it can be passed, it can be read."""
    return readable_by_all([path]) and all(_others(folder, stat.S_IXOTH) for folder in path.parents)


def readable_by_all(paths: Iterable[Path]) -> bool:
    """Tell whether each path may be read by any user, the folders above aside."""
    return all(_others(path, stat.S_IROTH) for path in paths)


def _others(path: Path, bit: int) -> bool:
    try:
        return bool(path.stat().st_mode & bit)
    except OSError:
        return False


def find_maven(env: Mapping[str, str]) -> Path:
    """Return the path of ``mvn``.

    Raises:
        MachineError: there is none on PATH.
    """
    found = shutil.which("mvn", path=env.get("PATH", ""))
    if found is None:
        raise MachineError(
            "The real node is got by Maven coordinates, and there is no mvn on PATH.",
            hint="Install Maven (for example the package maven); its settings.xml and mirrors are used as they are.",
        )
    return Path(found)
