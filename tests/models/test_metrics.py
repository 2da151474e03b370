"""Metrics correlation: what the oracle answers, what the archive wraps, and what a comparison lets pass."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from script_models import Bursts, Plain, Wavering, Writing, make_script
from work_folders import make_work

from release_tool.core.kinds import ModelKind
from release_tool.core.plan import ReleasePlan, Tolerances
from release_tool.core.proof import NODE, RUNTIME, Proof, judge
from release_tool.documents import WorkFolder
from release_tool.errors import ExportError, UnsafeModel, UnsupportedModel
from release_tool.models.answers import Answers, answers_name, read_answers
from release_tool.models.compare import Measured, Rules, compare
from release_tool.models.deprecations import deprecated_writers
from release_tool.models.oracle import answer_all
from release_tool.models.scripted import load_script, run_script, script_file
from release_tool.models.torchscript import Weights
from release_tool.packaged import packaged_probes

if TYPE_CHECKING:
    from pathlib import Path

KIND = ModelKind.METRICS_CORRELATION
PROBES = packaged_probes()
ROWS = PROBES.for_kind(KIND)
TOLERANCES = Tolerances()


def planned(folder: Path, module: torch.nn.Module, **request: object) -> tuple[WorkFolder, ReleasePlan]:
    """Return a fetched work folder around a module."""
    make_script(folder / "model", module)
    plan = make_work(folder / "model", folder / "work", trust_remote_code=True, **request)
    return WorkFolder(folder / "work"), plan


@pytest.fixture(scope="module")
def lonely(tmp_path_factory) -> tuple[WorkFolder, ReleasePlan]:
    return planned(tmp_path_factory.mktemp("lonely"), Bursts(lonely=True))


@pytest.fixture(scope="module")
def reference(lonely) -> Answers:
    answer_all(lonely[0], KIND, PROBES)
    return read_answers(lonely[0].path(answers_name(KIND)))


def failing(found, ring: str = RUNTIME) -> list[str]:
    """Return the ids of the probes that fail."""
    return [item.probe for item in found if judge(item, KIND, ring, TOLERANCES)]


def changed(reference: Answers, **arrays: np.ndarray) -> Measured:
    """Return a ring's answers: the oracle's, but for what is changed."""
    own = {name: array for name, array in reference.arrays.items() if name != "margin" and "input" not in name}
    return Measured(arrays={**own, **arrays})


def test_a_script_is_detected_named_and_planned_without_a_prefix(lonely) -> None:
    plan = lonely[1]
    assert plan.kinds == (KIND,)
    assert plan.source.model.script_path == "bursts.pt"
    assert [artifact.id for artifact in plan.artifacts] == ["torch_script"]
    name = plan.artifacts[0].model_name
    assert plan.artifacts[0].key.endswith(f"/{name}/1.0.0/torch_script/{name}-1.0.0-torch_script.zip")
    assert any("enable_inhouse_python_model" in warning for warning in plan.warnings)


def test_the_oracle_answers_every_series_with_events_of_three_parts(reference) -> None:
    arrays = reference.arrays
    assert len(arrays["indptr"]) == len(ROWS) + 1 >= 65
    assert arrays["sizes"].shape == (arrays["indptr"][-1], 3)
    assert arrays["sizes"].sum(axis=0).tolist() == [len(arrays[name]) for name in ("window", "pattern", "suspected")]
    assert {0, 1, 2, 3} <= set(np.diff(arrays["indptr"]).tolist())
    assert arrays["tokens"].tolist() == [len(row.series) * len(row.series[0]) for row in ROWS]
    assert arrays["margin"].tolist() == [1.0] * len(ROWS)


def test_a_missing_field_counts_as_no_suspected_metric(reference) -> None:
    assert 0 in reference.arrays["sizes"][:, 2].tolist()
    assert 0 not in reference.arrays["sizes"][:, :2].ravel().tolist()


def test_the_archives_module_answers_as_the_source_with_all_three_fields(lonely) -> None:
    work, plan = lonely
    made = script_file(plan, work.path("snapshot"), Weights())
    data = b"".join(made.blob.chunks())
    with deprecated_writers():
        served = torch.jit.load(io.BytesIO(data))
    source = load_script(plan, work.path("snapshot"))
    missing = 0
    for row in ROWS:
        metrics = torch.tensor(row.series)
        mine, theirs = run_script(served, metrics), run_script(source, metrics)
        assert [list(event) for event in mine] == [["event_window", "event_pattern", "suspected_metrics"]] * len(theirs)
        for event, own in zip(mine, theirs, strict=True):
            missing += len(own) == 2
            assert all(torch.equal(event[name], own[name]) for name in own)
            assert event["suspected_metrics"].dtype is torch.int64
    assert missing > 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".debug_pkl")]
        assert archive.read("archive/.data/serialization_id") == b"0" * 40


@pytest.mark.parametrize(
    ("module", "error", "says"),
    [
        (Plain(), ExportError, "can't be served"),
        (Writing(), UnsafeModel, r"torch\.save"),
    ],
)
def test_a_module_of_another_kind_is_refused(tmp_path, module, error, says) -> None:
    work, plan = planned(tmp_path, module)
    with pytest.raises(error, match=says):
        script_file(plan, work.path("snapshot"), Weights())
    assert not (tmp_path / "written").exists()


def test_the_oracle_runs_no_program_that_writes_files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    work, _ = planned(tmp_path, Writing())
    with pytest.raises(UnsafeModel, match="reads or writes files"):
        answer_all(work, KIND, PROBES)
    assert not (tmp_path / "written").exists()


def test_a_script_that_the_plan_does_not_trust_is_not_loaded(lonely) -> None:
    work, plan = lonely
    distrusting = replace(plan, request=replace(plan.request, trust_remote_code=False))
    with pytest.raises(UnsafeModel, match="does not trust"):
        load_script(distrusting, work.path("snapshot"))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_is_no_torchscript_is_named(lonely, tmp_path, data) -> None:
    (tmp_path / "bursts.pt").write_bytes(data)
    with pytest.raises(UnsupportedModel, match=r"bursts\.pt is no TorchScript"):
        load_script(lonely[1], tmp_path)


def test_a_source_that_fails_on_a_series_says_on_which(tmp_path) -> None:
    work, _ = planned(tmp_path, Plain())
    with pytest.raises(UnsupportedModel, match=f"Probe {ROWS[0].id} .*list of events"):
        answer_all(work, KIND, PROBES)


# --- comparisons ---------------------------------------------------------------------------------------------------


def test_equal_answers_are_equal(reference) -> None:
    found = compare(ROWS, reference, changed(reference))
    assert failing(found) == []
    assert {item.max_abs for item in found} == {0.0}


def test_another_pattern_fails_where_it_is(reference) -> None:
    pattern = reference.arrays["pattern"].copy()
    pattern[0] += 1e-3
    first = next(row.id for row, events in zip(ROWS, np.diff(reference.arrays["indptr"]), strict=True) if events)
    assert failing(compare(ROWS, reference, changed(reference, pattern=pattern))) == [first]


@pytest.mark.parametrize(("name", "add"), [("window", 1), ("suspected", 1)])
def test_another_window_or_another_metric_fails(reference, name, add) -> None:
    other = reference.arrays[name].copy()
    other[0] += add
    assert len(failing(compare(ROWS, reference, changed(reference, **{name: other})))) == 1


def test_a_lost_event_fails(reference) -> None:
    arrays = reference.arrays
    row = int(np.argmax(np.diff(arrays["indptr"]) > 0))
    indptr = arrays["indptr"].copy()
    indptr[row + 1 :] -= 1
    sizes = arrays["sizes"]
    cut = {name: arrays[name][sizes[0, place] :] for place, name in enumerate(("window", "pattern", "suspected"))}
    found = compare(ROWS, reference, changed(reference, indptr=indptr, sizes=sizes[1:], **cut))
    assert failing(found) == [ROWS[row].id]


def test_a_number_that_is_not_finite_fails(reference) -> None:
    window = reference.arrays["window"].copy()
    window[0] = np.nan
    assert len(failing(compare(ROWS, reference, changed(reference, window=window)))) == 1


def test_rounding_excuses_another_library_and_not_the_same_one(reference) -> None:
    margin = reference.arrays["margin"].copy()
    row = int(np.argmax(np.diff(reference.arrays["indptr"]) > 0))
    margin[row] = 0
    wavering = replace(reference, arrays={**reference.arrays, "margin": margin})
    pattern = reference.arrays["pattern"].copy()
    pattern[0] += 1
    measured = changed(reference, pattern=pattern)
    assert failing(compare(ROWS, wavering, measured)) == [ROWS[row].id]
    assert failing(compare(ROWS, wavering, measured, Rules(other_library=True)), NODE) == []
    assert failing(compare(ROWS, reference, measured, Rules(other_library=True)), NODE) == [ROWS[row].id]


def test_a_source_that_always_wavers_proves_nothing(tmp_path) -> None:
    work, _ = planned(tmp_path, Wavering())
    answer_all(work, KIND, PROBES)
    wavering = read_answers(work.path(answers_name(KIND)))
    assert wavering.arrays["margin"].mean() < 0.5
    found = compare(ROWS, wavering, changed(wavering), Rules(other_library=True))
    proof = Proof(
        ring=NODE, artifact="torch_script", kind=KIND, archive_sha256="", answers_sha256="", probes_sha256="",
        versions={}, pinned=True, embedding_dimension=None, comparisons=found,
    )  # fmt: skip
    assert proof.ranked(TOLERANCES) == ()
    assert [line for line in proof.failures(TOLERANCES) if "hangs on rounding" in line]
