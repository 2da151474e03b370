"""The settings of a repository: targets by name, and every slip named."""

from __future__ import annotations

import pytest

from release_tool.core.settings import Jenkins, Settings, Target, parse_settings
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


def test_who_serves_is_named_with_job_and_secret_or_without():
    assert parse_settings(b"").jenkins is None
    whole = (
        b"[jenkins]\nserver = 'https://ci.example.org/jenkins/'\njob = 'models/release'\nsecret = 'releases/jenkins'"
    )
    found = Jenkins(server="https://ci.example.org/jenkins", job="models/release", secret="releases/jenkins")
    assert parse_settings(whole).jenkins == found
    found = parse_settings(b"[jenkins]\nserver = 'https://ci.example.org'").jenkins
    assert (found.job, found.secret) == ("ml-models-release", None)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "127.8.0.1", "[::1]:8080"])
def test_credentials_go_unencrypted_to_this_machine_only(host):
    assert parse_settings(f"[jenkins]\nserver = 'http://{host}'".encode()).jenkins.server == f"http://{host}"
    for name in (f"{host.partition(':')[0]}.example.org", "10.0.0.1", "localhost.", "[::2]"):
        with pytest.raises(UsageError, match=r"in the clear|no address"):
            parse_settings(f"[jenkins]\nserver = 'http://{name}'".encode())


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
        (b"jenkins = 'https://ci'", "no table at jenkins"),
        (b"[jenkins]", "no address of Jenkins at jenkins.server"),
        (b"[jenkins]\nserver = 1", "no address of Jenkins at jenkins.server"),
        (b"[jenkins]\nserver = 'ci.example.org'", "neither http:// nor https://"),
        (b"[jenkins]\nserver = 'https://ci:port'", "it is no address"),
        (b"[jenkins]\nserver = 'https://me:word@ci'", "more than a place"),
        (b"[jenkins]\nserver = 'https://ci'\ntoken = 'x'", "one of server, job, secret"),
        (b"[jenkins]\nserver = 'https://ci'\njob = '../x'", "full name of a job"),
        (b"[jenkins]\nserver = 'https://ci'\njob = ''", "full name of a job"),
        (b"[jenkins]\nserver = 'https://ci'\nsecret = ''", "name of a secret"),
        (b"[jenkins]\nserver = 'https://ci'\nsecret = 'a b'", "name of a secret"),
    ],
)
def test_what_the_file_says_wrongly_is_named(text, words):
    with pytest.raises(UsageError, match=words):
        parse_settings(text)


def test_a_credential_in_an_address_is_not_repeated():
    with pytest.raises(UsageError) as caught:
        parse_settings(b"[jenkins]\nserver = 'https://me:MARKED@ci'")
    assert "MARKED" not in str(caught.value)
