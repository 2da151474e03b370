"""A real OpenSearch is timed: archives in turn, inputs of exact lengths, and nothing left on it afterwards."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny_models import make

from release_tool.cli import run
from release_tool.core.speed import Speed
from release_tool.documents import WorkFolder
from release_tool.errors import RemoteFailed
from release_tool.services.mlcommons import Client
from release_tool.services.probe_asking import request_of

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """Return a work folder with both formats of a cross-encoder; tests work on copies."""
    folder = tmp_path_factory.mktemp("cross")
    model = make(folder / "tiny", "bert", "cross-encoder", max_length=64)
    work = folder / "work"
    arguments = ("trace", str(model), "--version", "1.0.0", "--no-answers")
    assert run(["-q", "--work", str(work), *arguments]) == 0
    return work


@pytest.fixture
def work(traced, tmp_path):
    return shutil.copytree(traced, tmp_path / "work")


@pytest.fixture
def registered(monkeypatch):
    """Return the ids of the models that this test registers; the node may serve others beside."""
    found = []
    plain = Client.register

    def remember(self, *arguments, **more):
        found.append(plain(self, *arguments, **more))
        return found[-1]

    monkeypatch.setattr(Client, "register", remember)
    return found


def are_gone(node, models):
    with node.client() as client:
        for model in models:
            with pytest.raises(RemoteFailed, match="404"):
                client.state(model)
    return True


def test_archives_are_timed_on_the_node_and_what_the_other_ring_measured_is_kept(node, work, registered):
    assert run(["-q", "--work", str(work), "bench", "--rounds", "8", "--lengths", "8,16"]) == 0
    assert run(["-q", "--work", str(work), "bench", "--rounds", "8", "--lengths", "8,64", "--on", "node"]) == 0
    for artifact in ("torch_script", "onnx"):
        speed = WorkFolder(work).read(Speed, f"speed-{artifact}.json", made_by="bench")
        on_node, runtime = speed.measured
        assert (on_node.ring, runtime.ring) == ("node", "runtime")
        assert [times.tokens for times in on_node.times] == [8, 64]
        # A request with all that is around the model takes longer than the model.
        assert on_node.times[0].p50_ms > runtime.times[0].p50_ms
        assert on_node.versions["opensearch"] == node.version
        assert (on_node.peak_bytes, on_node.load_seconds > 0) == (None, True)
    assert len(registered) == 2
    assert are_gone(node, registered)


def test_what_the_node_is_asked_has_exactly_the_length_that_is_told(node, work, monkeypatch):
    from tokenizers import Tokenizer

    asked = []

    def remember(probe, kind, **more):
        asked.append((probe.id, probe.text, probe.second))
        return request_of(probe, kind, **more)

    monkeypatch.setattr("release_tool.services.speed_node.request_of", remember)
    assert run(["-q", "--work", str(work), "bench", "--rounds", "8", "--lengths", "8,40", "--on", "node"]) == 0
    tokenizer = Tokenizer.from_file(str(work / "snapshot" / "tokenizer.json"))
    tokenizer.no_padding()
    lengths = {(name, len(tokenizer.encode(first, second))) for name, first, second in asked}
    assert lengths == {("tokens-8", 8), ("tokens-40", 40)}


def test_an_archive_that_the_node_refuses_ends_it_and_leaves_nothing_there(node, work, registered, capsys):
    path = work / "archives" / "onnx.config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    other = work.parent / "other"
    other.mkdir()
    (archive,) = (work / "archives").glob("*-onnx.zip")
    shutil.copy(archive, other / "model.zip")
    (other / "config.json").write_text(json.dumps({**config, "model_content_hash_value": "0" * 64}), encoding="utf-8")
    arguments = [str(archive), str(other / "model.zip"), "--on", "node", "--rounds", "8", "--lengths", "8"]
    assert run(["--work", str(work.parent / "none"), "bench", *arguments]) == 10
    assert "could not register the model: model content changed" in capsys.readouterr().err
    assert len(registered) == 1
    assert are_gone(node, registered)
