"""Files by Maven coordinates: what is asked, what is believed, and what is said when it goes wrong."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
from pathlib import Path

import pytest
from drawings import parse

from release_tool.console import Console
from release_tool.errors import IntegrityError, MachineError, Unreachable
from release_tool.services.maven import failure, fetch, parse_listing, project
from release_tool.services.node_pins import Artifact, Role, pin_table

DATA = b"the bytes of an archive"
NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"


def artifact(data: bytes = DATA, coordinates: str = "org.example:thing:zip:1.0") -> Artifact:
    return Artifact(role=Role.PLUGIN, coordinates=coordinates, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def program(folder: Path, body: str) -> Path:
    """Write a program that stands where mvn stands, so that each way it can end is met without a network."""
    folder.mkdir(exist_ok=True)
    path = folder / "mvn"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def answering(folder: Path, coordinates: str, file: Path) -> Path:
    line = shlex.quote(f"   {coordinates}:compile:{file} -- module some.name")
    return program(
        folder,
        f'for a in "$@"; do case "$a" in -DoutputFile=*) echo {line} > "${{a#-DoutputFile=}}";; esac; done',
    )


def get(mvn: Path, folder: Path, item: Artifact) -> Path:
    return fetch([item], folder, Console(stream=io.StringIO(), env={}), mvn=mvn, env=os.environ)[item.coordinates]


def test_a_checked_file_is_shared_with_the_local_repository_not_copied(tmp_path: Path) -> None:
    source = tmp_path / "repo.zip"
    source.write_bytes(DATA)
    found = get(answering(tmp_path / "bin", "org.example:thing:zip:1.0", source), tmp_path / "cache", artifact())
    assert found.read_bytes() == DATA
    assert found.stat().st_ino == source.stat().st_ino


def test_what_is_there_already_needs_no_maven(tmp_path: Path) -> None:
    source = tmp_path / "repo.zip"
    source.write_bytes(DATA)
    get(answering(tmp_path / "bin", "org.example:thing:zip:1.0", source), tmp_path / "cache", artifact())
    assert get(program(tmp_path / "bin", "exit 1"), tmp_path / "cache", artifact()).read_bytes() == DATA


def test_other_bytes_are_refused_by_name_and_leave_nothing_in_the_cache(tmp_path: Path) -> None:
    source = tmp_path / "repo.zip"
    source.write_bytes(b"the bytes of an Archive")
    with pytest.raises(IntegrityError, match=r"org\.example:thing:zip:1\.0") as raised:
        get(answering(tmp_path / "bin", "org.example:thing:zip:1.0", source), tmp_path / "cache", artifact())
    assert raised.value.exit_code == 7
    assert not list((tmp_path / "cache").rglob("*.zip"))


def test_a_cached_file_that_changed_since_is_refused_and_removed(tmp_path: Path) -> None:
    source = tmp_path / "repo.zip"
    source.write_bytes(DATA)
    mvn = answering(tmp_path / "bin", "org.example:thing:zip:1.0", source)
    found = get(mvn, tmp_path / "cache", artifact())
    source.write_bytes(DATA.upper())
    with pytest.raises(IntegrityError):
        get(mvn, tmp_path / "cache", artifact())
    assert not found.exists()


@pytest.mark.parametrize(
    ("words", "kind", "hint"),
    [
        ("Could not transfer artifact a from/to central (x): Connection refused", Unreachable, "network"),
        ("Could not transfer artifact a: x: Unknown host", Unreachable, "network"),
        ("Could not transfer artifact a: status code: 503, reason phrase: Busy (503)", Unreachable, "network"),
        ("Could not find artifact a in mirror (x)", MachineError, "mirror"),
        ("Could not transfer artifact a: status code: 401, reason phrase: Unauthorized (401)", MachineError, "credent"),
        ("Could not transfer artifact a: /x: No space left on device", MachineError, "space"),
        ("Unparseable settings /x/settings.xml", MachineError, "mvn"),
    ],
)
def test_each_way_maven_fails_has_its_own_error_and_hint(words: str, kind: type, hint: str, tmp_path: Path) -> None:
    mvn = program(tmp_path / "bin", f"echo '[INFO] Scanning'; echo {shlex.quote('[ERROR] ' + words)}; exit 1")
    with pytest.raises(kind) as raised:
        get(mvn, tmp_path / "cache", artifact())
    assert type(raised.value) is kind
    assert words in str(raised.value)
    assert hint in raised.value.hint


def test_the_message_names_the_artifact_that_maven_names() -> None:
    words = "[ERROR] Could not find artifact org.example:thing:zip:1.0 in central -> [Help 1]"
    assert str(failure([words], [artifact()])).startswith("Maven could not get org.example:thing:zip:1.0:")


def test_a_maven_that_ends_well_and_says_nothing_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="did not say where"):
        get(program(tmp_path / "bin", "exit 0"), tmp_path / "cache", artifact())


def test_a_path_with_colons_and_blanks_is_read_whole(tmp_path: Path) -> None:
    place = tmp_path / "a: b" / "thing.zip"
    place.parent.mkdir()
    place.write_bytes(b"")
    listing = f"\nThe following files have been resolved:\n   org.example:thing:zip:1.0:compile:{place}\n"
    assert parse_listing(listing, [artifact()]) == {"org.example:thing:zip:1.0": place}


def test_a_version_is_not_taken_for_a_longer_one(tmp_path: Path) -> None:
    place = tmp_path / "thing.zip"
    place.write_bytes(b"")
    assert parse_listing(f"   org.example:thing:zip:1.0.1:compile:{place}\n", [artifact()]) == {}


def test_the_project_wants_every_pinned_file_and_nothing_behind_it() -> None:
    pins = pin_table().versions[pin_table().default]
    root = parse(project(pins.artifacts))
    wanted = root.findall(f"{NAMESPACE}dependencies/{NAMESPACE}dependency")
    assert len(wanted) == len(pins.artifacts)
    for entry, item in zip(wanted, pins.artifacts, strict=True):
        fields = {child.tag.removeprefix(NAMESPACE): child.text for child in entry}
        group, name, packaging, classifier, version = item.parts
        assert (fields["groupId"], fields["artifactId"], fields["version"]) == (group, name, version)
        assert fields["type"] == packaging
        assert fields.get("classifier") == classifier
        assert entry.find(f"{NAMESPACE}exclusions/{NAMESPACE}exclusion/{NAMESPACE}artifactId").text == "*"


def test_the_pins_name_one_server_and_its_natives_and_the_plugins_in_order() -> None:
    pins = pin_table().versions["3.6.0"]
    assert [item.file_name for item in pins.with_role(Role.PLUGIN)] == [
        "opensearch-job-scheduler-3.6.0.0.zip",
        "opensearch-knn-3.6.0.0.zip",
        "opensearch-ml-plugin-3.6.0.0.zip",
        "neural-search-3.6.0.0.zip",
    ]
    assert [len(pins.with_role(role)) for role in (Role.SERVER, Role.NATIVES, Role.BRIDGE)] == [1, 1, 1]
    assert pins.with_role(Role.NATIVES)[0].file_name == "pytorch-native-cpu-2.5.1-linux-x86_64.jar"
    assert all(len(item.sha256) == 64 and item.size > 0 for item in pins.artifacts)
