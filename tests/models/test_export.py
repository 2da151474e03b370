"""Every family, kind and format: the archive answers what the loaded model answers, at lengths it never saw."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, make
from work_folders import make_work

from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.kinds import Format, ModelKind
from release_tool.documents import WorkFolder
from release_tool.errors import ExportError, ReleaseError, UnsupportedModel, ValidationFailed
from release_tool.models.deprecations import deprecated_writers
from release_tool.models.export import export

LENGTHS = (3, 17, 64)
TOLERANCE = 2e-5


def made(model: Path, work: Path, **request: object) -> WorkFolder:
    make_work(model, work, **request)
    folder = WorkFolder(work)
    export(folder, [])
    return folder


def members(work: WorkFolder, artifact: str) -> zipfile.ZipFile:
    bundle = work.read(Bundle, bundle_name(artifact), made_by="trace")
    return zipfile.ZipFile(work.path(bundle.archive.path))


def torchscript(work: WorkFolder) -> torch.jit.ScriptModule:
    archive = members(work, "torch_script")
    name = next(name for name in archive.namelist() if name.endswith(".pt"))
    with deprecated_writers():
        return torch.jit.load(io.BytesIO(archive.read(name)))


def session(work: WorkFolder):
    import onnxruntime

    archive = members(work, "onnx")
    name = next(name for name in archive.namelist() if name.endswith(".onnx"))
    return onnxruntime.InferenceSession(archive.read(name), providers=["CPUExecutionProvider"])


def ids_of(length: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(5, vocabulary, (1, length), generator=generator)
    types = (torch.arange(length) > length // 2).to(torch.int64)[None]
    return ids, torch.ones_like(ids), types


def reference(model: Path, auto: str):
    import transformers

    loaded = getattr(transformers, auto).from_pretrained(model, attn_implementation="eager", dtype=torch.float32)
    return loaded.eval()


def tells_segments(model: Path) -> bool:
    """Tell whether the source's own tokenizer gives token types: ALBERT's does not, though its model could."""
    import transformers

    return "token_type_ids" in transformers.AutoTokenizer.from_pretrained(model).model_input_names


def served_inputs(work: WorkFolder, artifact: str) -> tuple[str, ...]:
    return work.read(Bundle, bundle_name(artifact), made_by="trace").export.inputs


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_archives_answer_as_the_model_does(tmp_path: Path, family: str) -> None:
    model = make(tmp_path / "model", family, "dense")
    work = made(model, tmp_path / "work")
    eager = reference(model, "AutoModel")
    script, onnx = torchscript(work), session(work)
    names = served_inputs(work, "onnx")
    assert (len(names) == 3) == (family in ("bert", "albert"))
    for length in LENGTHS:
        ids, mask, types = ids_of(length, eager.config.vocab_size)
        with torch.no_grad():
            hidden = eager(input_ids=ids, attention_mask=mask)[0]
            expected = torch.nn.functional.normalize(hidden.mean(1), dim=1).numpy()
            answer = script({"input_ids": ids, "attention_mask": mask})
        assert set(answer) == {"sentence_embedding"}
        assert answer["sentence_embedding"].shape == expected.shape
        assert np.abs(answer["sentence_embedding"].numpy() - expected).max() < TOLERANCE
        feeds = dict(zip(names, (ids.numpy(), mask.numpy(), np.zeros_like(types)), strict=False))
        tokens = onnx.run(None, feeds)[0]
        assert tokens.shape == hidden.shape
        assert np.abs(tokens - hidden.numpy()).max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_sdpa_is_traced_only_where_every_target_has_it(tmp_path: Path, family: str) -> None:
    model = make(tmp_path / "model", family, "dense")
    old = torchscript(made(model, tmp_path / "old", formats=(Format.TORCH_SCRIPT,)))
    new = torchscript(made(model, tmp_path / "new", formats=(Format.TORCH_SCRIPT,), target_versions=("3.0", "3.6")))
    assert "scaled_dot_product_attention" not in str(old.inlined_graph)
    assert ("scaled_dot_product_attention" in str(new.inlined_graph)) == (family != "mpnet")
    for length in LENGTHS:
        ids, mask, _ = ids_of(length, 60)
        inputs = {"input_ids": ids, "attention_mask": mask}
        with torch.no_grad():
            difference = old(inputs)["sentence_embedding"] - new(inputs)["sentence_embedding"]
        assert difference.abs().max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_change_a_batch(tmp_path: Path, family: str) -> None:
    """The server feeds one text at a time; the graphs must be right for others too."""
    model = make(tmp_path / "model", family, "dense")
    script = torchscript(made(model, tmp_path / "work", formats=(Format.TORCH_SCRIPT,)))
    ids, mask, _ = ids_of(12, 60)
    pad = json.loads((model / "config.json").read_text())["pad_token_id"]
    padded = torch.cat([ids, torch.full((1, 6), pad)], dim=1)
    batch = torch.cat([padded, torch.cat([ids, ids[:, :6]], dim=1)])
    batch_mask = torch.ones_like(batch)
    batch_mask[0, 12:] = 0
    with torch.no_grad():
        alone = script({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]
        together = script({"input_ids": batch, "attention_mask": batch_mask})["sentence_embedding"]
    assert (alone[0] - together[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last_token"])
def test_every_pooling_is_in_the_graph(tmp_path: Path, pooling: str) -> None:
    model = make(tmp_path / "model", "bert", "dense", pooling=pooling, normalize=False)
    work = made(model, tmp_path / "work", formats=(Format.TORCH_SCRIPT,))
    eager = reference(model, "AutoModel")
    ids, mask, _ = ids_of(9, eager.config.vocab_size)
    with torch.no_grad():
        hidden = eager(input_ids=ids, attention_mask=mask)[0][0]
        weights = torch.arange(1.0, 10.0)[:, None]
        expected = {
            "mean": hidden.mean(0),
            "cls": hidden[0],
            "max": hidden.max(0)[0],
            "mean_sqrt_len": hidden.sum(0) / 3.0,
            "weighted_mean": (hidden * weights).sum(0) / 45.0,
            "last_token": hidden[-1],
        }[pooling]
        answer = torchscript(work)({"input_ids": ids, "attention_mask": mask})["sentence_embedding"][0]
    assert (answer - expected).abs().max() < TOLERANCE


def test_a_dense_module_is_in_the_graph_and_its_width_is_measured(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "distilbert", "dense", dense_module=20)
    work = made(model, tmp_path / "work")
    bundle = work.read(Bundle, "bundle-torch_script.json", made_by="trace")
    assert bundle.embedding_dimension == 20
    assert not work.has("bundle-onnx.json")


@pytest.mark.parametrize("family", FAMILIES)
def test_sparse_archives_answer_as_the_model_does(tmp_path: Path, family: str) -> None:
    model = make(tmp_path / "model", family, "sparse")
    work = made(model, tmp_path / "work", kinds=(ModelKind.SPARSE,), prune_ratio=0.1)
    eager = reference(model, "AutoModelForMaskedLM")
    script, onnx = torchscript(work), session(work)
    assert [value.name for value in onnx.get_inputs()] == ["input1.input_ids", "input1.attention_mask"]
    special = json.loads(members(work, "torch_script").read("tokenizer.json"))["added_tokens"]
    special_ids = [token["id"] for token in special if token["special"]]
    assert special_ids
    for length in LENGTHS:
        ids, mask, _ = ids_of(length, eager.config.vocab_size)
        with torch.no_grad():
            expected = torch.log1p(torch.relu(eager(input_ids=ids, attention_mask=mask).logits)).max(1)[0]
            expected[:, special_ids] = 0
            expected = torch.where(expected > expected.max() * 0.1, expected, 0.0).numpy()
            answer = script({"input_ids": ids, "attention_mask": mask})
        assert set(answer) == {"output"}
        assert np.count_nonzero(expected) > 10
        assert np.abs(answer["output"].numpy() - expected).max() < TOLERANCE
        served = onnx.run(None, {"input1.input_ids": ids.numpy(), "input1.attention_mask": mask.numpy()})[0]
        assert np.abs(served - expected).max() < TOLERANCE
    assert "model_config" not in json.loads(work.path("archives/torch_script.config.json").read_text())


@pytest.mark.parametrize("family", FAMILIES)
def test_cross_encoders_take_three_inputs_and_give_one_raw_logit(tmp_path: Path, family: str) -> None:
    model = make(tmp_path / "model", family, "cross-encoder")
    work = made(model, tmp_path / "work")
    eager = reference(model, "AutoModelForSequenceClassification")
    script, onnx = torchscript(work), session(work)
    assert [value.name for value in onnx.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids"]
    segments = tells_segments(model)
    for length in LENGTHS:
        ids, mask, types = ids_of(length, eager.config.vocab_size)
        more = {"token_type_ids": types} if segments else {}
        with torch.no_grad():
            expected = eager(input_ids=ids, attention_mask=mask, **more).logits.numpy()
            answer = script(ids, mask, types).numpy()
        assert answer.shape == (1, 1)
        assert np.abs(answer - expected).max() < TOLERANCE
        feeds = {"input_ids": ids.numpy(), "attention_mask": mask.numpy(), "token_type_ids": types.numpy()}
        assert np.abs(onnx.run(None, feeds)[0] - expected).max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_question_answering_derives_the_segments_that_the_server_does_not_feed(tmp_path: Path, family: str) -> None:
    model = make(tmp_path / "model", family, "question-answering")
    work = made(model, tmp_path / "work")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(members(work, "torch_script").read("tokenizer.json"))
    eager = reference(model, "AutoModelForQuestionAnswering")
    script = torchscript(work)
    for question, context in (("who run the city", "the king of the north made the law ."), ("a", "b c d e f g")):
        encoding = tokenizer.encode(question, context)
        ids, types = torch.tensor([encoding.ids]), torch.tensor([encoding.type_ids])
        more = {"token_type_ids": types} if tells_segments(model) else {}
        with torch.no_grad():
            expected = eager(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
            start, end = script(ids, torch.ones_like(ids))
        assert (start - expected.start_logits).abs().max() < TOLERANCE
        assert (end - expected.end_logits).abs().max() < TOLERANCE


def test_the_highlighter_selects_by_the_mean_of_each_sentence_and_at_least_one(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "bert", "highlighter", head_scale=20)
    work = made(model, tmp_path / "work")
    eager = reference(model, "AutoModel")
    from safetensors.torch import load_file

    head = load_file(model / "model.safetensors")
    script = torchscript(work)
    seen = set()
    for seed in range(12):
        ids, mask, types = ids_of(30 + seed, eager.config.vocab_size)
        sentences = torch.full((1, 30 + seed), -100, dtype=torch.int32)
        for number in range(4):
            sentences[0, 10 + 5 * number : 15 + 5 * number] = 7 + number
        with torch.no_grad():
            hidden = eager(input_ids=ids, attention_mask=mask, token_type_ids=types)[0][0]
            means = torch.stack([hidden[(sentences[0] == 7 + number)].mean(0) for number in range(4)])
            logits = means @ head["classifier.weight"].T + head["classifier.bias"]
            probability = logits.softmax(1)[:, 1]
            chosen = torch.nonzero(probability >= 0.5).flatten()
            if not len(chosen):
                chosen = probability.argmax()[None]
            answer = script(ids, mask, types, sentences)
        assert answer.tolist() == (chosen + 7).tolist()
        seen.add(len(answer))
    assert 1 in seen or len(seen) > 1
    nothing = torch.full((1, 30), -100, dtype=torch.int32)
    ids, mask, types = ids_of(30, eager.config.vocab_size)
    assert script(ids, mask, types, nothing).tolist() == []


def test_a_tokenizer_archive_holds_weights_by_decoded_token(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "roberta", "sparse-tokenizer")
    work = made(model, tmp_path / "work", kinds=(ModelKind.SPARSE_TOKENIZER,))
    archive = members(work, "tokenizer")
    assert archive.namelist() == ["tokenizer.json", "idf.json", "LICENSE"]
    served = json.loads(archive.read("idf.json"))
    given = json.loads((model / "idf.json").read_text())
    assert served[" the"] == given["Ġthe"]
    assert not any(token.startswith("Ġ") for token in served)


def test_an_encoder_and_its_tokenizer_are_made_in_one_release(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "bert", "sparse")
    work = made(model, tmp_path / "work", kinds=(ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER))
    assert {"torch_script", "onnx", "tokenizer"} == {
        path.name.removeprefix("bundle-").removesuffix(".json") for path in work.folder.glob("bundle-*.json")
    }
    warnings = work.read(Bundle, "bundle-tokenizer.json", made_by="trace").warnings
    assert any("weighs 1" in warning for warning in warnings)


def test_the_server_pools_where_the_request_says_so(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "bert", "dense")
    work = made(model, tmp_path / "work", framework="huggingface_transformers", formats=(Format.TORCH_SCRIPT,))
    ids, mask, _ = ids_of(9, 60)
    with torch.no_grad():
        assert torchscript(work)(ids, mask).shape == (1, 9, 32)
    config = json.loads(work.path("archives/torch_script.config.json").read_text())["model_config"]
    assert config["framework_type"] == "huggingface_transformers"
    assert config["pooling_mode"] == "MEAN"


# --- the archive's form ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("bert")
    model = make(folder / "model", "bert", "dense", max_length=64)
    return SimpleNamespace(model=model, work=made(model, folder / "work"))


def test_archives_hold_one_model_at_the_root_and_nothing_that_names_the_builder(bert: SimpleNamespace) -> None:
    for artifact, ending in (("torch_script", ".pt"), ("onnx", ".onnx")):
        archive = members(bert.work, artifact)
        assert archive.testzip() is None
        assert [name.rsplit(".", 1)[-1] for name in archive.namelist()] == [ending[1:], "json", "LICENSE"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.flag_bits & 0x8 for info in archive.infolist()} == {0}, (
            "Java refuses descriptors on stored entries"
        )
        data = archive.read(archive.namelist()[0])
        for word in (str(bert.model).encode(), str(bert.work.folder).encode(), b"site-packages"):
            assert word not in data
        if ending == ".pt":
            inner = zipfile.ZipFile(io.BytesIO(data))
            assert not [name for name in inner.namelist() if "debug" in name or "traced_inputs" in name]
            assert {_data_offset(inner, data, info) % 64 for info in inner.infolist()} == {0}


def _data_offset(_: zipfile.ZipFile, data: bytes, info: zipfile.ZipInfo) -> int:
    name = int.from_bytes(data[info.header_offset + 26 : info.header_offset + 28], "little")
    extra = int.from_bytes(data[info.header_offset + 28 : info.header_offset + 30], "little")
    return info.header_offset + 30 + name + extra


def test_the_tokenizer_truncates_at_the_models_own_limit_and_pads_nothing(bert: SimpleNamespace) -> None:
    content = json.loads(members(bert.work, "onnx").read("tokenizer.json"))
    assert content["truncation"] == {"direction": "Right", "max_length": 64, "strategy": "LongestFirst", "stride": 0}
    assert content["padding"] is None


def test_the_config_is_what_register_takes(bert: SimpleNamespace) -> None:
    for artifact in ("torch_script", "onnx"):
        bundle = bert.work.read(Bundle, bundle_name(artifact), made_by="trace")
        config = json.loads(bert.work.path(bundle.config.path).read_text())
        keys = list(config)
        assert keys.index("function_name") < keys.index("model_config")
        assert config["model_content_hash_value"] == bundle.archive.sha256 == bert.work.sha256(bundle.archive.path)
        assert config["model_content_size_in_bytes"] == bundle.archive.size
        inner = config["model_config"]
        assert inner["embedding_dimension"] == 32
        assert inner["pooling_mode"] == "MEAN"
        assert inner["additional_config"] == {"space_type": "l2"}
        own = json.loads((bert.model / "config.json").read_text())
        assert json.loads(inner["all_config"]) == own


def test_an_onnx_file_is_of_the_age_that_servers_read(bert: SimpleNamespace) -> None:
    import onnx

    archive = members(bert.work, "onnx")
    model = onnx.load_from_string(archive.read(archive.namelist()[0]))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    # The default of this architecture is the fused graph.
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17), ("com.microsoft", 1)]
    assert not [tensor for tensor in model.graph.initializer if tensor.external_data]
    assert not model.doc_string
    assert not [node for node in model.graph.node if node.doc_string or len(node.metadata_props)]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_graph_is_bound_to_the_cpu(tmp_path: Path, family: str) -> None:
    model = make(tmp_path / "model", family, "dense")
    archive = members(made(model, tmp_path / "work", formats=(Format.TORCH_SCRIPT,)), "torch_script")
    inner = zipfile.ZipFile(io.BytesIO(archive.read(archive.namelist()[0])))
    code = b"".join(inner.read(name) for name in inner.namelist() if name.endswith(".py")).decode()
    assert "def forward" in code
    bound = re.findall(r"torch\.device\([^)]*\)", code)
    assert bound == []


# --- what is refused ------------------------------------------------------------------------------


def spoil(model: Path, change) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    change(weights)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def refused(tmp_path: Path, error: type[ReleaseError], words: str, **request: object) -> None:
    work = tmp_path / "work"
    make_work(tmp_path / "model", work, **request)
    with pytest.raises(error, match=words):
        export(WorkFolder(work), [])
    assert not list(work.glob("bundle-*"))
    assert not [path for path in work.glob("archives/*") if path.suffix in (".zip", ".part")]


def test_a_nan_weight_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make(tmp_path / "model", "bert", "dense")

    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["encoder.layer.1.output.dense.weight"][3, 5] = float("nan")

    spoil(tmp_path / "model", change)
    refused(tmp_path, ExportError, "NaN")


def test_a_missing_head_is_refused_and_not_invented(tmp_path: Path) -> None:
    make(tmp_path / "model", "bert", "cross-encoder")

    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["classifier.weight"]

    spoil(tmp_path / "model", change)
    refused(tmp_path, ExportError, "no weights for 1 tensors that cross-encoder needs, first 'classifier.weight'")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "model", "bert", "dense")

    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][:50].clone()

    spoil(tmp_path / "model", change)
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 50}))
    refused(tmp_path, ExportError, "knows ids up to")


def test_another_dimension_than_asked_for_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "model", "bert", "bare")
    make_work(tmp_path / "model", tmp_path / "work", kinds=(ModelKind.DENSE,))
    path = tmp_path / "work" / "plan.json"
    path.write_text(path.read_text().replace('"embedding_dimension": null', '"embedding_dimension": 768', 1))
    with pytest.raises(ValidationFailed, match="768 dimensions, the model answers with 32"):
        export(WorkFolder(tmp_path / "work"), [])


def test_a_classifier_with_many_classes_is_no_cross_encoder(tmp_path: Path) -> None:
    make(tmp_path / "model", "bert", "cross-encoder", labels=3)
    with pytest.raises(ReleaseError, match=r"one number a pair|num_labels|labels"):
        made(tmp_path / "model", tmp_path / "work", kinds=(ModelKind.CROSS_ENCODER,))


def test_weights_in_half_precision_are_released_as_float32(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "bert", "dense", dtype="float16")
    work = made(model, tmp_path / "work", formats=(Format.TORCH_SCRIPT,))
    assert {parameter.dtype for parameter in torchscript(work).parameters()} == {torch.float32}
    plan = json.loads(work.path("plan.json").read_text())
    assert any("float16" in warning for warning in plan["warnings"])


def test_a_model_without_any_tokenizer_is_refused(tmp_path: Path) -> None:
    model = make(tmp_path / "model", "bert", "dense")
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (model / name).unlink(missing_ok=True)
    with pytest.raises(ReleaseError) as caught:
        made(model, tmp_path / "work")
    assert isinstance(caught.value, UnsupportedModel) or "tokenizer" in str(caught.value)
