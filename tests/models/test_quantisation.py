"""Eight bits: what is quantised and how, and that the search keeps in float32 what the budgets ask for."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import make
from work_folders import make_work

from release_tool.core.bundle import Bundle, Quantised, QuantisedWeight, bundle_name
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.variants import Variant
from release_tool.documents import WorkFolder
from release_tool.errors import ExportError, IntegrityError, MissingExtra
from release_tool.models import int8_search
from release_tool.models.export import export
from release_tool.models.int8_answers import cosines, figures
from release_tool.models.int8_ranking import Judge
from release_tool.models.int8_search import Search, again
from release_tool.models.onnx_weights import Graph, Weight
from release_tool.models.quantisation import PRODUCT_STEPS, eight_bits, layers, quantise

if TYPE_CHECKING:
    from collections.abc import Mapping


@given(st.integers(1, 40), st.integers(1, 9), st.floats(1e-3, 1e3), st.integers(0, 99), st.sampled_from([64, 127]))
@settings(max_examples=60, deadline=None)
def test_no_number_is_further_than_half_a_step_from_its_eight_bits(
    rows: int, columns: int, size: float, seed: int, steps: int
) -> None:
    numbers = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    numbers[:, 0] = 0
    for axis in (0, 1):
        bits, factors = eight_bits(numbers, steps, axis=axis)
        assert bits.dtype is torch.int8
        assert int(bits.abs().max()) <= steps
        wide = factors.unsqueeze(axis)
        assert bool(((bits * wide - numbers).abs() <= wide * 0.5001).all())
    assert bool((eight_bits(numbers, steps, axis=0)[0][:, 0] == 0).all())


def small_graph(**weights: torch.Tensor) -> Graph:
    """Return y = gather(table)[ids] @ head.T of a tied head, and z = x @ weight of another."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "weight"], ["mixed"]),
        helper.make_node("MatMul", ["mixed", "turned"], ["y"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence", "vocabulary"])
    model = helper.make_model(helper.make_graph(nodes, "g", [ids], [y]))
    assert isinstance(model, onnx.ModelProto)
    return Graph(model, {name: Weight((tensor,), name) for name, tensor in weights.items()})


def run(graph: Graph, **feeds: np.ndarray) -> np.ndarray:
    import onnxruntime

    from release_tool.models.onnx_writer import layout
    from release_tool.models.torchscript import Weights

    content = b"".join(layout(graph, Weights()).chunks())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@pytest.fixture
def tied() -> Graph:
    random = torch.Generator().manual_seed(1)
    return small_graph(table=torch.randn(300, 16, generator=random), weight=torch.randn(16, 16, generator=random))


def test_a_tied_head_is_quantised_by_column_and_its_table_by_row(tied: Graph) -> None:
    assert list(layers(tied)) == ["table[rows]", "weight", "table"]
    made = quantise(tied, frozenset())
    assert made.weights["table[rows]_scale"].shape == (300, 1)
    assert made.weights["table_int8"].shape == (16, 300)
    assert made.weights["table_scale"].shape == (300,)
    assert "table" not in made.weights
    assert "Transpose" not in {node.op_type for node in made.nodes}
    ids = np.arange(40)[None] * 7
    before, after = run(tied, ids=ids), run(made, ids=ids)
    assert cosines(before[0], after[0]).min() > 0.999
    assert not np.array_equal(before, after)


def test_what_is_kept_stays_and_the_given_graph_is_not_touched(tied: Graph) -> None:
    names, nodes = list(tied.weights), [node.op_type for node in tied.nodes]
    made = quantise(tied, frozenset({"weight"}))
    assert Counter(node.op_type for node in made.nodes)["MatMul"] == 1
    assert set(made.weights) >= {"weight", "table_int8", "table[rows]_int8"}
    whole = quantise(tied, frozenset(layers(tied)))
    ids = np.arange(9)[None]
    assert np.array_equal(run(whole, ids=ids), run(tied, ids=ids))
    assert (list(tied.weights), [node.op_type for node in tied.nodes]) == (names, nodes)


def test_a_table_is_not_stored_beside_the_head_that_keeps_its_numbers(tied: Graph) -> None:
    made = quantise(tied, frozenset({"table"}))
    assert set(made.weights) == {"table", "weight_int8", "weight_scale", "int8_zero"}
    only = quantise(tied, frozenset({"table[rows]"}))
    assert {"table", "table_int8"} <= set(only.weights)


def test_a_small_table_and_whole_numbers_are_left_alone() -> None:
    graph = small_graph(table=torch.randn(40, 16), weight=torch.randn(16, 16))
    assert list(layers(graph)) == ["weight", "table"]
    graph.weights["weight"] = Weight((torch.ones(16, 16, dtype=torch.int64),), "weight")
    assert list(layers(graph)) == ["table"]


def test_a_record_of_another_model_is_refused(tied: Graph) -> None:
    kept = QuantisedWeight(name="weight", sensitivity=0.1, kept=True)
    with pytest.raises(IntegrityError):
        again(tied, Quantised(weights=(kept,), rounds=()))
    others = tuple(QuantisedWeight(name=name, sensitivity=None, kept=False) for name in ("table", "table[rows]"))
    made, record = again(tied, Quantised(weights=(kept, *others), rounds=()))
    assert "weight" in made.weights
    assert record.weights[0] is kept


def test_how_far_answers_moved_is_told_as_the_plan_tolerates_it() -> None:
    rows = np.eye(3, dtype=np.float32)
    found = figures(ModelKind.DENSE, rows, rows * np.float32(1.5))
    assert found["cosine"].max() < 1e-6
    assert np.allclose(found["norm"], 0.5)
    zero = np.zeros((2, 4), np.float32)
    assert cosines(zero, zero).tolist() == [1, 1]
    assert cosines(zero, np.ones_like(zero)).tolist() == [0, 0]
    logits = np.asarray([[0.0], [4.0]], np.float32)
    assert figures(ModelKind.CROSS_ENCODER, logits, logits + 1)["logit"].tolist() == [0.25, 0.25]
    assert not (figures(ModelKind.DENSE, rows, rows * np.float32("nan"))["cosine"] <= 1).any()


# --- the search -----------------------------------------------------------------------------------


class Scripted(Search):
    """A search whose measurements are given: a set of layers holds where it has all that are needed."""

    needed: frozenset[str]
    sensitive: Mapping[str, float]
    asked: list[frozenset[str]]

    def _measured(self) -> Any:
        return None

    def _holds(self, measured: Any, kept: frozenset[str]) -> bool:
        self.asked.append(kept)
        self.rounds.append(int8_search.QuantisationRound(kept=len(kept), figures={"cosine": 0.5}))
        return self.needed <= kept

    def _sensitivity(self, measured: Any, names: list[str]) -> dict[str, float]:
        return {name: self.sensitive[name] for name in names}


def search(layers_: int, needed: int) -> Scripted:
    weights = {f"weight{index}": torch.randn(4, 4) for index in range(layers_)}
    graph = small_graph(table=torch.randn(40, 4), weight=torch.randn(4, 4), **weights)
    import onnx

    more = [onnx.helper.make_node("MatMul", ["rows", name], [f"out_{name}"]) for name in weights]
    graph.replace_nodes([*graph.nodes[:1], *more])
    made = Scripted(graph, None)
    order = sorted(weights, key=lambda name: int(name.removeprefix("weight")) * 7 % layers_)
    made.sensitive = {name: float(layers_ - index) for index, name in enumerate(order)}
    made.needed, made.asked = frozenset(order[:needed]), []
    return made


@pytest.mark.parametrize("needed", [0, 1, 2, 3, 5, 6])
def test_the_search_keeps_no_more_than_the_most_sensitive_that_are_needed(needed: int) -> None:
    made = search(13, needed)
    _, record = made.run()
    assert {weight.name for weight in record.weights if weight.kept} == made.needed
    assert len(made.asked) == len(record.rounds) <= 9
    assert all(weight.sensitivity is not None for weight in record.weights) == (needed > 0)


@pytest.mark.parametrize(("layers_", "needed"), [(13, 7), (5, 5), (2, 2), (1, 1)])
def test_a_model_of_which_more_than_half_would_have_to_stay_is_refused(layers_: int, needed: int) -> None:
    with pytest.raises(ExportError, match="More than half of the") as caught:
        search(layers_, needed).run()
    assert "--variant int8" in (caught.value.hint or "")


def test_a_source_that_finds_nothing_has_nothing_to_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "ndcg", lambda *_: 0.0)
    _, bundle = released(tmp_path, "bert", "dense")
    assert bundle.export.quantised is not None
    assert not any(weight.kept for weight in bundle.export.quantised.weights)
    assert bundle.export.quantised.rounds[-1].figures["kept_per_cent"] == 100.0


def test_without_the_libraries_that_measure_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtra, match="ir_measures"):
        Judge.of(ModelKind.DENSE)


# --- whole archives -------------------------------------------------------------------------------


def released(folder: Path, family: str, kind: str) -> tuple[WorkFolder, Bundle]:
    model = make(folder / "model", family, kind)
    make_work(model, folder / "work", formats=(Format.ONNX,), kinds=(ModelKind(kind),), variants=(Variant.INT8,))
    work = WorkFolder(folder / "work")
    export(work, [])
    return work, work.read(Bundle, bundle_name("onnx-int8"), made_by="trace")


@pytest.mark.parametrize(
    ("family", "kind"), [("bert", "dense"), ("mpnet", "dense"), ("bert", "sparse"), ("roberta", "cross-encoder")]
)
def test_an_archive_holds_eight_bits_of_all_that_is_not_recorded_as_kept(
    tmp_path: Path, family: str, kind: str
) -> None:
    import onnx

    work, bundle = released(tmp_path, family, kind)
    with zipfile.ZipFile(work.path(bundle.archive.path)) as archive:
        name = next(item for item in archive.namelist() if item.endswith(".onnx"))
        model = onnx.load_from_string(archive.read(name))
    assert name == "model-int8.onnx"
    record = bundle.export.quantised
    assert record is not None
    stored = {item.name: item.data_type for item in model.graph.initializer}
    for weight in record.weights:
        assert (f"{weight.name}_int8" in stored) != weight.kept
    counts = Counter(node.op_type for node in model.graph.node)
    products = sum(not weight.kept and not weight.name.endswith("[rows]") for weight in record.weights)
    assert counts["MatMulInteger"] + counts["QAttention"] == products
    assert bool(counts["QAttention"]) == (family != "mpnet")
    assert {item.domain for item in model.opset_import} == ({"", "com.microsoft"} if family != "mpnet" else {""})
    assert record.rounds[-1].figures["kept_per_cent"] >= 98.5
    assert (
        max(
            int(np.abs(onnx.numpy_helper.to_array(item).astype(int)).max())
            for item in model.graph.initializer
            if item.data_type == onnx.TensorProto.INT8 and not item.name.endswith("[rows]_int8") and item.dims
        )
        == PRODUCT_STEPS
    )


def test_an_archive_is_made_again_from_its_record_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, bundle = released(tmp_path, "bert", "dense")
    assert bundle.export.quantised is not None
    names = [weight.name for weight in bundle.export.quantised.weights]
    # Another choice than any search would make.
    weights = tuple(QuantisedWeight(name=name, sensitivity=None, kept=name == names[-1]) for name in names)
    other = replace(bundle, export=replace(bundle.export, quantised=Quantised(weights=weights, rounds=())))

    def never(_: Any) -> Any:
        raise AssertionError("it measured")

    monkeypatch.setattr(Search, "run", never)
    work.write("recorded.json", bundle)
    export(work, [], "recorded.json")
    assert work.read(Bundle, bundle_name("onnx-int8"), made_by="trace") == bundle
    work.write("recorded.json", other)
    export(work, [], "recorded.json")
    made = work.read(Bundle, bundle_name("onnx-int8"), made_by="trace")
    assert made.archive.sha256 != bundle.archive.sha256
    assert made.export.quantised == other.export.quantised
