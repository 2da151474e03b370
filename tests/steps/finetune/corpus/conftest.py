"""A recipe over a folder of documents, and parts that are small."""

from __future__ import annotations

import pytest
from corpus_projects import Project

from release_tool import part_files
from release_tool.steps.finetune import corpus_reading


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def _small_parts(monkeypatch):
    monkeypatch.setattr(part_files, "PART_ROWS", 40)
    monkeypatch.setattr(corpus_reading, "PART_ROWS", 40)
