"""The settings of a repository: targets by name, and every slip named."""

from __future__ import annotations

import pytest

from release_tool.core.settings import Settings, Target, parse_settings
from release_tool.errors import UsageError


def test_without_a_file_there_is_no_target():
    assert parse_settings(None) == Settings()
    assert Settings().target("production") is None


def test_a_target_serves_unless_it_says_that_it_does_not():
    found = parse_settings(b"[targets.a]\nto = 's3://models'\n[targets.b]\nto = 's3://trial'\nserves = false\n")
    assert [target.serves for target in found.targets] == [True, False]


def test_targets_are_sorted_and_found_by_name():
    text = b'[targets.production]\nto = "s3://models/all/"\n[targets.desk]\nto = "file:///srv/x"\n'
    found = parse_settings(text)
    assert found.names == ("desk", "production")
    assert found.target("production") == Target(name="production", to="s3://models/all")
    assert found.target("desk") == Target(name="desk", to="file:///srv/x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff", "is no TOML"),
        (b"[targets", "is no TOML"),
        (b"targets = 1", "tables under targets"),
        (b"[target.x]\nto = 's3://m'", "did you mean targets"),
        (b"[targets.Prod]\nto = 's3://models'", "names a target"),
        (b"[targets]\nprod = 's3://models'", "no table at targets.prod"),
        (b"[targets.prod]\nurl = 's3://models'", "one of to, serves"),
        (b"[targets.prod]\nto = 's3://models'\nserves = 'no'", "neither true nor false at targets.prod.serves"),
        (b"[targets.prod]", "no address at targets.prod.to"),
        (b"[targets.prod]\nto = 'https://models'", "no address at targets.prod.to"),
    ],
)
def test_what_the_file_says_wrongly_is_named(text, words):
    with pytest.raises(UsageError, match=words):
        parse_settings(text)
