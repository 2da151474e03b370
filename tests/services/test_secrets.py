"""Credentials of Jenkins: from the environment or Secrets Manager, and never in a text."""

from __future__ import annotations

import base64
import json

import pytest
from jenkins_double.secrets_manager import SecretsManager

from release_tool.errors import RemoteFailed, Unreachable, UsageError
from release_tool.services.secrets import Credentials, read_credentials

MARK = "MARKED-9f31"
ENVIRONMENT = {
    "RELEASE_TOOL_JENKINS_USER": "releaser",
    "RELEASE_TOOL_JENKINS_TOKEN": f"{MARK}-token",
    "RELEASE_TOOL_WEBHOOK_TOKEN": f"{MARK}-hook",
}


@pytest.fixture
def manager(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with SecretsManager({}) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", running.address)
        yield running


def test_the_environment_gives_them():
    found = read_credentials({**ENVIRONMENT, "RELEASE_TOOL_JENKINS_TOKEN": f" {MARK}-token\n"})
    assert (found.user, found.token, found.webhook_token) == ("releaser", f"{MARK}-token", f"{MARK}-hook")


def test_an_empty_variable_is_none():
    assert read_credentials({"RELEASE_TOOL_JENKINS_USER": "", "RELEASE_TOOL_JENKINS_TOKEN": " "}).token is None


def test_printed_they_show_nothing():
    shown = repr(read_credentials(ENVIRONMENT))
    assert "releaser" in shown
    assert MARK not in shown


@pytest.mark.parametrize("value", [f"{MARK}\nX-Other: 1", f"{MARK} {MARK}", f"{MARK}\x00", f"{MARK}ä"])
def test_what_no_header_can_carry_is_refused_without_being_repeated(value):
    with pytest.raises(UsageError) as raised:
        read_credentials({**ENVIRONMENT, "RELEASE_TOOL_WEBHOOK_TOKEN": value})
    assert "RELEASE_TOOL_WEBHOOK_TOKEN" in str(raised.value)
    assert MARK not in str(raised.value)


def test_a_user_can_not_hold_the_sign_that_ends_it():
    with pytest.raises(UsageError, match="RELEASE_TOOL_JENKINS_USER"):
        read_credentials({**ENVIRONMENT, "RELEASE_TOOL_JENKINS_USER": "a:b"})


def test_words_of_a_server_lose_markup_and_credentials_in_every_form():
    credentials = read_credentials(ENVIRONMENT)
    basic = base64.b64encode(f"releaser:{MARK}-token".encode()).decode()
    said = f"<h1>No</h1>{{authorization=[Bearer {MARK}-hook]}} Basic {basic} x <b>{MARK}-token</b> &lt;"
    words = credentials.words_of(said + "<script>alert(1)</script>" + "y" * 1000)
    assert "No" in words
    assert MARK not in words
    assert basic not in words
    assert "alert" not in words
    assert len(words) < 310


def test_secrets_manager_gives_them_by_name(manager):
    manager.secrets["ci/jenkins"] = json.dumps({"user": "u", "token": "t", "webhook_token": "w", "note": 1})
    found = read_credentials(ENVIRONMENT, "ci/jenkins")
    assert found == Credentials(user="u", token="t", webhook_token="w", origin="the secret ci/jenkins")
    assert manager.asked == ["ci/jenkins"]


def test_with_a_named_secret_the_environment_counts_for_nothing(manager):
    manager.secrets["hook"] = json.dumps({"webhook_token": "w"})
    found = read_credentials(ENVIRONMENT, "hook")
    assert (found.user, found.token, found.webhook_token) == (None, None, "w")


@pytest.mark.parametrize(
    "text",
    [f"{MARK}", f'"{MARK}"', f'{{"password": "{MARK}"}}', f'{{"token": 1, "user": "{MARK}"}}', f'{{"token": "{MARK}'],
)
def test_a_secret_of_another_shape_is_refused_without_being_repeated(manager, text):
    manager.secrets["s"] = text
    with pytest.raises(UsageError) as raised:
        read_credentials({}, "s")
    assert MARK not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_binary_secret_is_refused(manager):
    manager.secrets["s"] = b"\0"
    with pytest.raises(UsageError, match="binary"):
        read_credentials({}, "s")


def test_a_secret_that_is_not_there_or_not_allowed_is_a_refusal(manager):
    with pytest.raises(RemoteFailed, match="ResourceNotFoundException"):
        read_credentials({}, "s")
    manager.secrets["s"] = 400
    with pytest.raises(RemoteFailed, match="AccessDeniedException") as raised:
        read_credentials({}, "s")
    assert "--secret" in raised.value.hint


def test_a_server_that_does_not_listen_is_unreachable(manager, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(Unreachable, match="Secrets Manager"):
        read_credentials({}, "s")


def test_without_credentials_of_aws_it_says_so(manager, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match="NoCredentialsError"):
        read_credentials({}, "s")
