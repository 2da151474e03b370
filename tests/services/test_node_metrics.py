"""Metrics correlation on the real OpenSearch: why an archive is wrapped, and that it then answers as its source."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from script_models import Bursts, make_script
from work_folders import make_work

from release_tool.console import Console
from release_tool.core.kinds import ModelKind
from release_tool.core.plan import Tolerances
from release_tool.core.proof import NODE, judge
from release_tool.documents import WorkFolder, file_sha256
from release_tool.errors import RemoteFailed
from release_tool.packaged import packaged_probes
from release_tool.services import node_ring

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.node

KIND = ModelKind.METRICS_CORRELATION
QUIET = Console(verbosity=-1)

TWO_EVENTS = [[0.0] * 40, [0.0] * 40, [0.0] * 40]
TWO_EVENTS[0][10] = TWO_EVENTS[1][30] = TWO_EVENTS[2][30] = 90.0
"""The first is one metric's alone."""


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> WorkFolder:
    """Return a work folder with the archive of a module that leaves fields out."""
    from release_tool.models.export import export

    folder = tmp_path_factory.mktemp("metrics")
    make_script(folder / "model", Bursts(lonely=True))
    make_work(folder / "model", folder / "work", trust_remote_code=True)
    made = WorkFolder(folder / "work")
    export(made, [])
    return made


def files(work: WorkFolder) -> tuple[Path, dict]:
    """Return the archive and its register request."""
    config = work.path("archives/torch_script.config.json")
    return next(config.parent.glob("*.zip")), json.loads(config.read_text(encoding="utf-8"))


def test_the_node_answers_every_series_as_the_source_does(node, work) -> None:
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.models.compare import Measured, compare
    from release_tool.models.oracle import answer_all

    probes = packaged_probes()
    answer_all(work, KIND, probes)
    rows = probes.for_kind(KIND)
    got = node_ring.answer(node, *files(work), rows, KIND, console=QUIET)
    assert got.errors == {}
    assert got.not_asked == ()
    reference = read_answers(work.path(answers_name(KIND)))
    found = compare(rows, reference, Measured(arrays=got.arrays, errors=got.errors))
    assert [item.probe for item in found if judge(item, KIND, NODE, Tolerances())] == []
    assert sum(item.size for item in found) > 100


def test_without_the_wrapper_the_node_loses_an_event(node, work, tmp_path) -> None:
    archive, config = files(work)
    bare = pack(tmp_path / "bare.zip", work.path("snapshot/bursts.pt"), {"tokenizer.json": b"{}"})
    with node.client() as client:
        with node_ring.deployed(client, archive, config, QUIET):
            whole = client.execute("METRICS_CORRELATION", {"metrics": TWO_EVENTS})
        with node_ring.deployed(client, bare, with_digest(config, bare), QUIET):
            mixed = client.execute("METRICS_CORRELATION", {"metrics": TWO_EVENTS})
    assert [(event["event_window"], event["suspected_metrics"]) for event in whole] == [
        ([10.0, 10.0], []),
        ([30.0, 30.0], [1, 2]),
    ]
    assert len(mixed) == 1


def test_the_node_refuses_an_archive_without_a_tokenizer(node, work, tmp_path) -> None:
    _, config = files(work)
    bare = pack(tmp_path / "bare.zip", work.path("snapshot/bursts.pt"), {})
    with (
        node.client() as client,
        pytest.raises(RemoteFailed, match="No tokenizer file"),
        node_ring.deployed(client, bare, with_digest(config, bare), QUIET),
    ):
        pass


def pack(path: Path, model: Path, others: dict[str, bytes]) -> Path:
    """Write an archive by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(model, "model.pt")
        for name, data in others.items():
            archive.writestr(name, data)
    return path


def with_digest(config: dict, archive: Path) -> dict:
    """Return the register request for another archive."""
    return {**config, "model_content_hash_value": file_sha256(archive)}
