"""Get files by Maven coordinates, through the user's own ``mvn``.

The settings, mirrors, proxies and credentials of the user hold, because it is the user's Maven that downloads; no
address of a repository stands here. Promises: a file is handed out only after its size and sha256 were compared with
the pinned ones; Maven's local repository stays the place of the bytes, this cache links to them where it can.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape as xml_escape

from release_tool.core.escape import one_line
from release_tool.documents import file_sha256
from release_tool.errors import IntegrityError, MachineError, ReleaseError, Unreachable
from release_tool.services.cache import share_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from release_tool.console import Console
    from release_tool.services.node_pins import Artifact

    OnDownload = Callable[[str], None]

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
"""Pinned: it prints where each file lies in the local repository (outputAbsoluteArtifactFilename)."""

KEPT_LINES = 40
_ERROR_LINE = re.compile(r"^\[(?:ERROR|FATAL)\]\s*(.+)$")
_DOWNLOADED = re.compile(r"Downloaded from \S+: \S*/([^/\s]+)")
_NO_NETWORK = re.compile(
    r"unknown host|nodename nor servname|temporary failure|connection refused|connection reset|timed out"
    r"|no route to host|network is unreachable|status(?: code)?:? (?:429|5\d\d)|could not transfer",
    re.IGNORECASE,
)
_NO_ACCESS = re.compile(r"status(?: code)?:? 40[13]|unauthorized|forbidden|not authorized", re.IGNORECASE)
_ABSENT = re.compile(r"could not find artifact|was not found in", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left", re.IGNORECASE)


def fetch(
    artifacts: Sequence[Artifact], folder: Path, console: Console, *, mvn: Path, env: Mapping[str, str]
) -> dict[str, Path]:
    """Return coordinates → checked file; what is missing is got in one run of Maven.

    Args:
        artifacts: what to get.
        folder: where the checked files are linked, one ``<sha256>/<file name>`` each.
        console: gets a bar over the bytes.
        mvn: the program.
        env: its environment.

    Raises:
        Unreachable: no network, or the repository does not answer.
        MachineError: the repository refuses or has no such file; Maven does not run; disk full.
        IntegrityError: other bytes than the pinned ones; the message names the artifact and where it lies.
    """
    missing = [item for item in artifacts if not _place(folder, item).is_file()]
    if missing:
        with console.progress("Get the real node", sum(item.size for item in missing), "B") as bar:
            sizes = {item.file_name: item.size for item in missing}
            found = resolve(missing, mvn=mvn, env=env, on_download=lambda name: bar.advance(sizes.get(name, 0)))
        for item in missing:
            check(item, found[item.coordinates])
            _place(folder, item).parent.mkdir(parents=True, exist_ok=True)
            share_file(found[item.coordinates], _place(folder, item))
    result = {}
    for item in artifacts:
        place = _place(folder, item)
        # Linked files share their bytes with the local repository: whoever wrote there since wrote here too.
        try:
            check(item, place)
        except IntegrityError:
            place.unlink()
            raise
        result[item.coordinates] = place
    return result


def _place(folder: Path, item: Artifact) -> Path:
    return folder / item.sha256 / item.file_name


def check(item: Artifact, path: Path) -> None:
    """Compare a file with what is pinned.

    Raises:
        IntegrityError: size or sha256 differ.
    """
    size = path.stat().st_size
    digest = file_sha256(path) if size == item.size else f"not computed, {size} bytes instead of {item.size}"
    if digest != item.sha256:
        raise IntegrityError(
            f"{item.coordinates} is not the pinned file: sha256 {digest}, expected {item.sha256} ({path}).",
            hint=f"Delete {path} (and its copy in Maven's local repository) and run again; if it stays so, the "
            "repository or mirror serves other bytes.",
        )


def resolve(
    artifacts: Sequence[Artifact], *, mvn: Path, env: Mapping[str, str], on_download: OnDownload
) -> dict[str, Path]:
    """Let Maven download what its local repository lacks; return coordinates → path in that repository.

    Raises:
        Unreachable, MachineError: as ``fetch`` says.
    """
    with tempfile.TemporaryDirectory(prefix="release-tool-mvn-") as scratch:
        pom, listing = Path(scratch) / "pom.xml", Path(scratch) / "files.txt"
        pom.write_text(project(artifacts), encoding="utf-8")
        command = [
            str(mvn), "--batch-mode", "--update-snapshots", "-Dstyle.color=never", "--file", str(pom),
            f"{PLUGIN}:list", "-DoutputAbsoluteArtifactFilename=true", f"-DoutputFile={listing}",
        ]  # fmt: skip
        code, lines = _run(command, scratch, env, on_download)
        if code != 0:
            raise failure(lines, artifacts)
        found = parse_listing(listing.read_text(encoding="utf-8") if listing.is_file() else "", artifacts)
    for item in artifacts:
        if item.coordinates not in found:
            raise MachineError(
                f"Maven ended well but did not say where {item.coordinates} lies.",
                hint="Run again with -v; a settings.xml that changes the dependency plugin may be the cause.",
            )
    return found


def _run(command: list[str], folder: str, env: Mapping[str, str], on_download: OnDownload) -> tuple[int, list[str]]:
    kept: list[str] = []
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise MachineError(
            f"{command[0]} can't be started: {error}.", hint="Check the Maven installation: mvn --version."
        ) from error
    with process:
        try:
            for line in process.stdout or ():
                kept = [*kept[-KEPT_LINES:], line.rstrip()]
                if match := _DOWNLOADED.search(line):
                    on_download(match[1])
        except BaseException:
            process.kill()
            raise
    return process.returncode, kept


def project(artifacts: Iterable[Artifact]) -> str:
    """Return a project file that wants these files and nothing that they depend on."""
    wanted = []
    for item in artifacts:
        group, name, packaging, classifier, version = item.parts
        fields = {"groupId": group, "artifactId": name, "version": version, "type": packaging}
        if classifier:
            fields["classifier"] = classifier
        inner = "".join(f"<{key}>{xml_escape(value)}</{key}>" for key, value in fields.items())
        nothing = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
        wanted.append(f"    <dependency>{inner}{nothing}</dependency>\n")
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0">\n'
        "  <modelVersion>4.0.0</modelVersion>\n"
        "  <groupId>release-tool</groupId><artifactId>real-node</artifactId><version>1</version>\n"
        "  <packaging>pom</packaging>\n"
        f"  <dependencies>\n{''.join(wanted)}  </dependencies>\n"
        "</project>\n"
    )


def parse_listing(text: str, artifacts: Iterable[Artifact]) -> dict[str, Path]:
    """Return coordinates → path from what ``dependency:list`` wrote.

    A line is ``<coordinates>:<scope>:<path>``, with `` -- module …`` behind it on newer Java.
    """
    found = {}
    lines = [line.strip() for line in text.splitlines()]
    for item in artifacts:
        for line in lines:
            if line.startswith(item.coordinates + ":"):
                _, _, path = line.removeprefix(item.coordinates + ":").partition(":")
                found[item.coordinates] = Path(path.split(" -- module ")[0].strip())
    return {key: path for key, path in found.items() if path.is_file()}


def failure(lines: Sequence[str], artifacts: Sequence[Artifact]) -> ReleaseError:
    """Turn Maven's last lines into the error that says what a person can do."""
    said = [match[1] for line in lines if (match := _ERROR_LINE.match(line))]
    words = one_line(said[0].split(" -> [Help")[0] if said else " ".join(lines[-3:]))
    named = next((item.coordinates for item in artifacts if item.coordinates in words), None)
    what = f"Maven could not get {named or 'the real node'}: {words}"
    if _NO_SPACE.search(words):
        return MachineError(what, hint="Free space on the disk and run again: complete files are kept.")
    if _NO_ACCESS.search(words):
        return MachineError(what, hint="The repository wants credentials: put them into Maven's settings.xml.")
    if _NO_NETWORK.search(words):
        return Unreachable(what, hint="Check network, proxy and mirrors in Maven's settings.xml, and run again.")
    if _ABSENT.search(words):
        return MachineError(what, hint="The repository or mirror lacks it; name one that has it in settings.xml.")
    return MachineError(what, hint="Run mvn --version and the command again with -v.")
