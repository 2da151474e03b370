"""Fused ONNX graphs: every layer's attention is one operator, and the answers are those of the model."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import make
from work_folders import make_work

from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.variant_choice import FUSABLE
from release_tool.core.variants import Variant
from release_tool.documents import WorkFolder
from release_tool.errors import ExportError
from release_tool.models import fusion, onnx_writer
from release_tool.models.attention import traceable_attention
from release_tool.models.export import export
from release_tool.models.graphs import Hidden
from release_tool.models.loading import only_inference
from release_tool.models.onnx_weights import Graph, Weight, collect
from release_tool.models.torchscript import Weights

PARITY = 1e-5
LAYERS = 3
RELATIVES = {"camembert": "xlm-roberta", "electra": "bert"}
"""Architectures that are made on another family's tokenizer."""
INPUTS = ("input_ids", "attention_mask")


def folder_of(folder: Path, family: str, kind: str) -> Path:
    """Write a tiny model with three layers of an architecture."""
    import transformers

    base = make(folder, RELATIVES.get(family, family), kind, layers=LAYERS)
    if family in RELATIVES:
        settings = json.loads((base / "config.json").read_text())
        kept = {key: settings[key] for key in settings if key not in {"model_type", "architectures", "dtype"}}
        config = transformers.AutoConfig.for_model(family, **kept)
        if family == "electra":
            config.embedding_size = config.hidden_size // 2
        heads = {"dense": "AutoModel", "sparse": "AutoModelForMaskedLM"}
        heads["cross-encoder"] = "AutoModelForSequenceClassification"
        getattr(transformers, heads[kind]).from_config(config).save_pretrained(base)
    return base


def released(model: Path, work: Path, kind: str, variant: Variant) -> tuple[WorkFolder, Bundle]:
    make_work(model, work, formats=(Format.ONNX,), kinds=(ModelKind(kind),), variants=(variant,))
    folder = WorkFolder(work)
    export(folder, [])
    return folder, folder.read(Bundle, bundle_name("onnx"), made_by="trace")


def graph_of(work: WorkFolder, bundle: Bundle) -> bytes:
    with zipfile.ZipFile(work.path(bundle.archive.path)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".onnx")))


def answers(content: bytes, feeds: dict[str, np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    taken = {item.name: feeds[item.name.rsplit(".", 1)[-1]] for item in session.get_inputs()}
    return session.run(None, taken)[0]


def feeds_of(batch: int, length: int, padded: int = 0) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(length).integers(5, 60, (batch, length))
    mask = np.ones_like(ids)
    mask[0, :padded] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


@pytest.mark.parametrize(
    ("family", "kind"),
    [*((family, "dense") for family in sorted(FUSABLE)), ("bert", "sparse"), ("distilbert", "cross-encoder"),
     ("electra", "cross-encoder"), ("roberta", "sparse")],
)  # fmt: skip
def test_every_layer_is_fused_and_answers_as_before(tmp_path: Path, family: str, kind: str) -> None:
    import onnx

    model = folder_of(tmp_path / "model", family, kind)
    _, plain = made = released(model, tmp_path / "plain", kind, Variant.FP32)
    work, bundle = released(model, tmp_path / "fused", kind, Variant.FUSED)
    content = graph_of(work, bundle)
    counts = Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    assert counts["Attention"] == LAYERS
    assert counts["SkipLayerNormalization"] == 2 * LAYERS
    assert counts["Softmax"] == counts["Erf"] == 0
    assert plain.export.fused_operators is None
    said = bundle.export.fused_operators or {}
    assert said == {name: counts[name] for name in said}
    assert {"Attention", "BiasGelu", "SkipLayerNormalization"} <= set(said)
    assert bundle.export.inputs == plain.export.inputs
    before = graph_of(*made)
    for feeds in (feeds_of(1, 3), feeds_of(1, 200), feeds_of(2, 24, padded=9)):
        first, second = answers(before, feeds), answers(content, feeds)
        seen = feeds["attention_mask"].astype(bool) if kind == "dense" else slice(None)
        assert np.abs(first - second)[seen].max() < PARITY


def test_a_fused_file_is_canonical(tmp_path: Path) -> None:
    import onnx

    model = make(tmp_path / "model", "bert", "dense")
    content = graph_of(*released(model, tmp_path / "work", "dense", Variant.FUSED))
    found = onnx.load_from_string(content)
    assert found.ir_version == onnx_writer.IR_VERSION
    assert {item.domain: item.version for item in found.opset_import} == {"": 17, "com.microsoft": 1}
    assert found.producer_name == "release-tool"
    assert not found.metadata_props
    assert not found.doc_string
    assert onnx_writer.builder_paths(content) == ()
    # Older operators know no other number for what is masked than their own.
    attributes = {item.name for node in found.graph.node if node.op_type == "Attention" for item in node.attribute}
    assert attributes == {"num_heads"}


def hidden_graph(model: Any) -> tuple[Graph, Hidden]:
    model = model.eval().requires_grad_(requires_grad=False)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    only_inference(model)
    module = Hidden(model, token_types=False)
    ids = torch.randint(5, 60, (1, 12), generator=torch.Generator().manual_seed(0))
    axes = {name: {0: "batch", 1: "sequence"} for name in (*INPUTS, "last_hidden_state")}
    with traceable_attention():
        exported = onnx_writer.export(module, (ids, torch.ones_like(ids)), INPUTS, ("last_hidden_state",), axes)
    return collect(exported, module, INPUTS), module


def loaded(folder: Path, family: str) -> Any:
    import transformers

    make(folder, family, "dense")
    return transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")


@pytest.mark.parametrize("family", ["mpnet", "modernbert"])
def test_an_architecture_that_is_not_fused_is_refused(tmp_path: Path, family: str) -> None:
    assert family not in FUSABLE
    model = loaded(tmp_path / "model", family)
    graph, _ = hidden_graph(model)
    with pytest.raises(ExportError, match="fuses the attention of 0 of 2 layers"):
        fusion.fuse(graph, fusion.Architecture.of(model.config))


def test_scores_that_are_scaled_in_another_way_are_not_fused(tmp_path: Path) -> None:
    """The operator has its own scale, and the tool does not look at the graph's."""
    model = loaded(tmp_path / "model", "bert")
    model.encoder.layer[1].attention.self.scaling = 0.5
    graph, _ = hidden_graph(model)
    with pytest.raises(ExportError, match=r"multiplied by 0\.5"):
        fusion.fuse(graph, fusion.Architecture.of(model.config))


def test_weights_that_share_numbers_are_not_mixed_up(tmp_path: Path) -> None:
    """Stand-ins tell weights apart that are equal, or zero, in the model itself."""
    model = loaded(tmp_path / "model", "bert")
    first, second = (layer.attention.self for layer in model.encoder.layer)
    with torch.no_grad():
        second.query.weight.copy_(first.query.weight)
        second.key.weight.zero_()
        second.value.bias.fill_(3.0)
    graph, _ = hidden_graph(model)
    fusion.fuse(graph, fusion.Architecture.of(model.config))
    weight, bias = graph.weights["Attention_1_qkv_weight"], graph.weights["Attention_1_qkv_bias"]
    stacked = torch.cat([second.query.weight, second.key.weight, second.value.weight]).t()
    assert torch.equal(weight.tensor(), stacked)
    assert weight.tensor().shape == weight.shape
    assert torch.equal(bias.tensor(), torch.cat([second.query.bias, second.key.bias, second.value.bias]))
    data = weight.blob(Weights())
    assert b"".join(data.chunks()) == stacked.contiguous().numpy().tobytes()


def test_importing_the_tool_leaves_the_path_of_imports_as_it_is(tmp_path: Path) -> None:
    import sys

    before = list(sys.path)
    model = loaded(tmp_path / "model", "bert")
    graph, _ = hidden_graph(model)
    fusion.fuse(graph, fusion.Architecture.of(model.config))
    assert sys.path == before


def test_an_operator_that_no_server_has_is_refused() -> None:
    import onnx

    node = onnx.helper.make_node("Best", ["x"], ["y"], domain="org.example")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], []))
    with pytest.raises(ExportError, match=r"org\.example"):
        onnx_writer.layout(Graph(model, {}), Weights())


def test_a_joined_weight_that_is_not_finite_is_refused() -> None:
    broken = torch.ones(2, 3)
    broken[1, 1] = torch.nan
    with pytest.raises(ExportError, match="NaN"):
        Weight((torch.ones(2, 3), broken), "both", transposed=True).blob(Weights())


def test_a_frozen_model_has_no_parameter_and_answers_as_before(tmp_path: Path) -> None:
    from release_tool.models.deprecations import deprecated_writers

    model = make(tmp_path / "model", "bert", "dense")
    scripts = {}
    for name, cpu_only in (("plain", False), ("frozen", True)):
        make_work(model, tmp_path / name, formats=(Format.TORCH_SCRIPT,), cpu_only=cpu_only)
        work = WorkFolder(tmp_path / name)
        export(work, [])
        bundle = work.read(Bundle, bundle_name("torch_script"), made_by="trace")
        with zipfile.ZipFile(work.path(bundle.archive.path)) as archive, deprecated_writers():
            member = next(item for item in archive.namelist() if item.endswith(".pt"))
            scripts[name] = torch.jit.load(io.BytesIO(archive.read(member)))
    assert list(scripts["plain"].parameters())
    assert not list(scripts["frozen"].parameters())
    for length in (3, 40):
        ids = torch.arange(5, 5 + length)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            one, two = (script(inputs)["sentence_embedding"] for script in scripts.values())
        assert (one - two).abs().max() < PARITY
