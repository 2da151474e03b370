"""A project whose queries are made, and a service that makes them."""

from __future__ import annotations

import pytest
from chat_double import KEY, ChatDouble
from query_projects import write_project


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatDouble() as found:
        yield found
