"""Which Java starts the real node, and what is said where there is none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.errors import MachineError
from release_tool.services.jdk import feature_release, find_jdk, find_maven, java_feature


def jdk(folder: Path, *, release: str | None = None, says: str = "") -> Path:
    """Make a folder that looks like a JDK: a release file, or a java that says its version."""
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    if release is not None:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{release}"\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ('JAVA_VERSION="1.8.0_432"', 8),
        ('JAVA_VERSION="25"', 25),
        ('openjdk version "21.0.5" 2024-10-15', 21),
        ('java version "26-ea" 2026-03-17', 26),
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime', 17),
        ("no such thing", None),
        ("", None),
    ],
)
def test_the_feature_release_is_read_from_what_java_says(text: str, feature: int | None) -> None:
    assert feature_release(text) == feature


@given(st.integers(9, 99), st.integers(0, 30))
def test_every_modern_version_has_its_first_number(feature: int, update: int) -> None:
    assert feature_release(f'JAVA_VERSION="{feature}.0.{update}"') == feature


def test_a_variable_goes_before_the_systems_folder_and_path(tmp_path: Path) -> None:
    named = jdk(tmp_path / "named", release="21.0.1")
    installed = tmp_path / "jvm"
    jdk(installed / "java-25", release="25")
    found = find_jdk({"OPENSEARCH_JAVA_HOME": str(named), "PATH": ""}, jvm_folder=installed)
    assert (found.home, found.feature, found.found_in) == (named, 21, "OPENSEARCH_JAVA_HOME")


def test_an_old_java_in_java_home_does_not_hide_a_new_one(tmp_path: Path) -> None:
    old = jdk(tmp_path / "old", release="17.0.2")
    installed = tmp_path / "jvm"
    new = jdk(installed / "java-21", release="21")
    assert find_jdk({"JAVA_HOME": str(old), "PATH": ""}, jvm_folder=installed).home == new


def test_the_newest_of_the_systems_folder_is_taken_by_number_not_by_spelling(tmp_path: Path) -> None:
    installed = tmp_path / "jvm"
    jdk(installed / "java-9", release="9")
    jdk(installed / "java-100", release="100")
    jdk(installed / "java-25", release="25")
    assert find_jdk({"PATH": ""}, jvm_folder=installed).feature == 100


def test_java_on_path_is_found_through_its_links(tmp_path: Path) -> None:
    home = jdk(tmp_path / "real", release="22")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    found = find_jdk({"PATH": str(tmp_path / "bin")}, jvm_folder=tmp_path / "none")
    assert (found.home, found.found_in) == (home, "PATH")


def test_a_java_without_a_release_file_is_asked(tmp_path: Path) -> None:
    assert java_feature(jdk(tmp_path / "asked", says='openjdk version "24.0.1"')) == 24


def test_no_java_at_all_is_said_in_words_that_help(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no Java at all") as raised:
        find_jdk({"PATH": ""}, jvm_folder=tmp_path)
    assert "OPENSEARCH_JAVA_HOME" in raised.value.hint


def test_what_was_found_instead_is_said(tmp_path: Path) -> None:
    old = jdk(tmp_path / "old", release="1.8.0_432")
    with pytest.raises(MachineError, match="is Java 8"):
        find_jdk({"JAVA_HOME": str(old), "PATH": ""}, jvm_folder=tmp_path / "none")


def test_a_jdk_in_a_closed_home_will_not_do_for_another_user(tmp_path: Path) -> None:
    home = jdk(tmp_path / "closed" / "jdk", release="21")
    (tmp_path / "closed").chmod(stat.S_IRWXU)
    with pytest.raises(MachineError, match="can't be read by other users"):
        find_jdk({"JAVA_HOME": str(home), "PATH": ""}, jvm_folder=tmp_path / "none", for_others=True)


def test_mvn_is_found_on_path_and_missed_in_words(tmp_path: Path) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "mvn").chmod(0o755)
    assert find_maven({"PATH": f"{tmp_path}{os.pathsep}/nowhere"}) == tmp_path / "mvn"
    with pytest.raises(MachineError, match="no mvn on PATH"):
        find_maven({"PATH": "/nowhere"})
