"""Groups are named by id or by name, and one that is not there is not called deleted."""

from __future__ import annotations

import json

import pytest
from http_double import AnswersAll, Double

from release_tool.cli import run

ROOT = {"version": {"number": "3.6.0", "distribution": "opensearch"}}


class Handler(AnswersAll):
    def answer(self):
        asked = self.body()
        if self.path == "/":
            reply = ROOT
        elif self.path.endswith("/_search"):
            there = b'"ours"' in asked
            reply = {"hits": {"hits": [{"_id": "g1", "_source": {"name": "ours", "latest_version": "x"}}] * there}}
        else:
            self.double.changed.append((self.command, self.path.rpartition("/")[2]))
            # As 3.6 answers: 200 in both cases.
            reply = {"result": "deleted" if self.path.endswith("/g1") else "not_found"}
        self.send(200, json.dumps(reply).encode(), "application/json")


@pytest.fixture
def server():
    with Double(Handler) as running:
        running.changed = []
        yield running


def test_a_group_is_deleted_and_changed_by_its_name(server):
    assert run(["ml", "group", "delete", "ours", "--cluster", server.address]) == 0
    assert run(["ml", "group", "update", "ours", "--description", "d", "--cluster", server.address]) == 0
    assert server.changed == [("DELETE", "g1"), ("PUT", "g1")]


def test_a_group_that_is_not_there_is_not_called_deleted(server, capsys):
    assert run(["ml", "group", "delete", "theirs", "--cluster", server.address]) == 10
    said = capsys.readouterr()
    assert "no model group 'theirs'" in said.err
    assert "deleted" not in said.out
