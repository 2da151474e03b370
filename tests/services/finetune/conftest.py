"""A service of queries that is asked live."""

from __future__ import annotations

import pytest
from chat_asking import Asker
from chat_double import KEY, MODEL, ChatDouble

from release_tool.core.finetune.sections import QueriesSection


@pytest.fixture
def asker(tmp_path, monkeypatch):
    monkeypatch.setenv("WRITER_KEY", KEY)
    with ChatDouble() as service:
        section = QueriesSection(
            provider="openai", endpoint=service.endpoint, model=MODEL, key_variable="WRITER_KEY", per_document=2
        )
        yield Asker(service, tmp_path / "paid", section)
