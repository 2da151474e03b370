"""Every rule of compatibility: an archive that breaks it, one that does not, and the versions it is about."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from archive_makers import (
    SPARSE_INPUTS,
    VOCABULARY,
    WIDTH,
    bpe,
    onnx_model,
    pack,
    request,
    rewrite,
    tiny_scripts,
    tokenizer,
)
from factories import make_comparison, make_proof
from hypothesis import given
from hypothesis import strategies as st

from release_tool.archives.reading import operator_tables, read_archive
from release_tool.core.compat import affected, summary, verdicts
from release_tool.core.kinds import MAX_ARCHIVE_BYTES, MAX_ONNX_BYTES, ModelKind
from release_tool.core.opensearch import KNOWN_VERSIONS, number
from release_tool.core.rules import RULES
from release_tool.core.verdicts import Basis, Severity

FATAL, UNKNOWN, WARNING, NOTE = Severity.FATAL, Severity.UNKNOWN, Severity.WARNING, Severity.NOTE
SCRIPT_KINDS = {
    "sparse": "SPARSE_ENCODING",
    "cross-encoder": "TEXT_SIMILARITY",
    "question-answering": "QUESTION_ANSWERING",
    "highlighter": "QUESTION_ANSWERING",
    "metrics": "METRICS_CORRELATION",
}
PAIR_CONFIG = {"model_type": "bert", "embedding_dimension": 1, "framework_type": "huggingface_transformers"}

METRICS = {"function_name": "METRICS_CORRELATION", "model_config": PAIR_CONFIG}


@pytest.fixture(scope="session")
def scripts():
    """Tiny TorchScript files by name."""
    return tiny_scripts()


class Bench:
    """Builds an archive and its request from a sound one, and reads both."""

    def __init__(self, folder, scripts):
        self.folder = folder
        self.scripts = scripts
        self.count = 0

    def sound(self, kind):
        """Return files and changes of the request of a sound archive."""
        files = {"tokenizer.json": tokenizer()}
        if kind == "onnx":
            return {"model.onnx": onnx_model().SerializeToString(), **files}, {}
        if kind == "sparse-onnx":
            model = onnx_model(SPARSE_INPUTS, outputs=(("batch", VOCABULARY),))
            change = {"function_name": "SPARSE_ENCODING", "model_config": ...}
            return {"model.onnx": model.SerializeToString(), **files}, change
        if kind == "cross-encoder-onnx":
            model = onnx_model(outputs=(("batch", 1),))
            change = {"function_name": "TEXT_SIMILARITY", "model_config": PAIR_CONFIG}
            return {"model.onnx": model.SerializeToString(), **files}, change
        if kind == "sparse-tokenizer":
            change = {"function_name": "SPARSE_TOKENIZE", "model_config": ..., "model_format": "TORCH_SCRIPT"}
            return {"tokenizer.json": tokenizer(), "idf.json": b"{}"}, change
        change = {"model_format": "TORCH_SCRIPT", "function_name": SCRIPT_KINDS.get(kind, "TEXT_EMBEDDING")}
        if kind == "sparse":
            change["model_config"] = ...
        elif kind == "highlighter":
            change["model_config"] = {**PAIR_CONFIG, "model_type": "sentence_highlighting"}
        elif kind == "two":
            change["model_config"] = {"framework_type": "huggingface_transformers", "normalize_result": False}
        elif kind != "dense":
            change["model_config"] = PAIR_CONFIG
        return {"model.pt": self.scripts[kind], **files}, change

    def facts(self, kind, case=None):
        """Return the facts of a sound archive, or of one with the changes of a case."""
        case = case or Case("none")
        files, change = self.sound(kind)
        for name, data in case.files.items():
            value = data(self.scripts) if callable(data) else data
            if value is None:
                files.pop(name, None)
            else:
                files[name] = value
        self.count += 1
        path = pack(self.folder / f"{self.count}.zip", files, method=case.method)
        change = {**change, **case.config}
        if case.order is not None:
            data = request(path, **change)
            data = {key: data[key] for key in sorted(data, key=case.order)}
        else:
            data = request(path, **change)
        config = self.folder / f"{self.count}.json"
        config.write_text(json.dumps(data))
        facts = read_archive(path, None if case.bare else config)
        return replace(facts, **case.facts)


@pytest.fixture(scope="session")
def bench(scripts, tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"), scripts)


@dataclass
class Case:
    """A broken rule: what is changed of a sound archive, where it shows, and where it does not."""

    rule: str
    severity: Severity = FATAL
    kind: str = "onnx"
    on: str = "3.6"
    not_on: str | None = None
    files: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    order: Any = None
    bare: bool = False
    method: int = zipfile.ZIP_STORED
    says: str = ""


def model(*args, **over):
    return {"model.onnx": onnx_model(*args, **over).SerializeToString()}


def words(**over):
    return {"tokenizer.json": tokenizer(**over)}


def script(name, changes=None):
    return {"model.pt": lambda scripts: rewrite(scripts[name], changes) if changes else scripts[name]}


def settings(**over):
    return {"model_config": over}


def external():
    made = onnx_model()
    tensor = made.graph.initializer[0]
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    tensor.ClearField("raw_data")
    return made.SerializeToString()


def leaking():
    made = onnx_model()
    made.graph.node[0].doc_string = "/opt/somebody/export.py(12): forward"
    return made.SerializeToString()


METASPACE = {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}
CUDA = {"data.pkl": lambda data: data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")}
FIXED = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}

FUSED = {"": 17, "com.microsoft": 1}
FUSED_OPERATORS = ("Attention", "BiasGelu", "SkipLayerNormalization")
INT8_OPERATORS = (("com.microsoft", "QAttention"), ("", "DynamicQuantizeLinear"), ("", "MatMulInteger"))

CASES = [
    # the zip
    Case("archive-size", facts={"size": MAX_ARCHIVE_BYTES + 1}, says="4GB"),
    Case("no-model", files={"model.onnx": None}),
    Case("no-model", files={"model.onnx": None, "inner.zip": b"PK"}, says="inner.zip"),
    Case("two-models", files={"other.onnx": b"x"}),
    Case("two-models", files={"__MACOSX/._model.onnx": b"x"}, says="__MACOSX"),
    Case("nested-model", files={"model.onnx": None, "m/model.onnx": model()["model.onnx"]}),
    Case("tokenizer-with-model", kind="sparse-tokenizer", files=model()),
    Case("wrong-extension", config={"model_format": "TORCH_SCRIPT"}),
    Case("wrong-content", files={"model.onnx": None, "model.pt": model()["model.onnx"]}),
    Case("unreadable-model", files={"model.onnx": b"\x00 no model"}),
    Case("onnx-size", facts={"model_size": MAX_ONNX_BYTES + 1}),
    Case("packing", UNKNOWN, method=zipfile.ZIP_BZIP2),
    Case("no-tokenizer", files={"tokenizer.json": None}, says="There is no tokenizer.json"),
    Case("no-tokenizer", files={"tokenizer.json": None, "t/tokenizer.json": tokenizer()}, says="only t/tokenizer.json"),
    Case("no-tokenizer", kind="metrics", files={"tokenizer.json": None}, says="its content does not matter"),
    Case("unreadable-tokenizer", files={"tokenizer.json": b"{"}),
    Case("denied-file", on="3.8", files={"lib/x.so": b""}),
    Case("denied-file", WARNING, on="3.7", files={"lib/x.so": b""}),
    Case("serving-properties", UNKNOWN, on="3.8", files={"serving.properties": b"x=y"}),
    Case("no-idf", NOTE, kind="sparse-tokenizer", files={"idf.json": None}),
    # what came when
    Case("introduced", on="2.4", not_on="2.5", says="2.5"),
    Case("introduced", kind="sparse", on="2.10", not_on="2.11"),
    Case("introduced", kind="sparse-onnx", on="2.10", not_on="2.11", says="SPARSE_ENCODING came"),
    Case("introduced", kind="sparse-tokenizer", on="2.10", not_on="2.11"),
    Case("introduced", kind="cross-encoder", on="2.11", not_on="2.12"),
    Case("introduced", kind="question-answering", on="2.12", not_on="2.13"),
    Case("introduced", kind="highlighter", on="2.19", not_on="3.0", says="Sentence highlighting"),
    Case("format-of-kind", config={"function_name": "QUESTION_ANSWERING", **settings(**PAIR_CONFIG)}),
    Case("unknown-kind", UNKNOWN, config={"function_name": "REMOTE"}),
    # ONNX
    Case("onnx-ir", files=model(ir=10), says="max supported IR version: 9"),
    Case("onnx-ir", on="2.14", not_on="2.15", files=model(ir=9)),
    Case("onnx-opset", files=model(opsets={"": 20})),
    Case("onnx-opset", on="2.8", not_on="2.9", files=model(opsets={"": 18})),
    Case("onnx-opset", on="2.14", not_on="2.15", files=model(opsets={"": 19})),
    Case("onnx-ml-opset", files=model(opsets={"": 17, "ai.onnx.ml": 5})),
    Case("onnx-operator", files=model(nodes=(("acme", "Magic"),), opsets={"": 17, "acme": 1}), says="Magic"),
    Case("onnx-operator", files=model(nodes=(("", "RMSNormalization"),)), says="RMSNormalization"),
    Case("onnx-operator", UNKNOWN, files=model(nodes=(("", "NeverHeardOf"),)), says="NeverHeardOf"),
    Case("onnx-operator", on="2.14", not_on="2.15", says="RotaryEmbedding",
         files=model(nodes=(("com.microsoft", "RotaryEmbedding"),), opsets={"": 17, "com.microsoft": 1})),
    Case("onnx-operator", on="2.8", not_on="2.9", says="MultiHeadAttention",
         files=model(nodes=(("com.microsoft", "MultiHeadAttention"),), opsets=FUSED)),
    Case("external-data", files={"model.onnx": external()}, says="does not hold"),
    Case("external-data", UNKNOWN, files={"model.onnx": external(), "weights.bin": b"\x00" * 4 * 4 * WIDTH}),
    Case("onnx-inputs", files=model(("input_ids", "attention_mask")), says="Input mismatch"),
    Case("onnx-inputs", config=settings(model_type="distilbert"), says="distilbert"),
    Case("onnx-inputs", files=model(("input_ids", "attention_mask", "segments")), says="Invalid input tensor name"),
    Case("onnx-inputs", kind="sparse-onnx", files=model(("input_ids", "attention_mask"), outputs=(("b", 9),))),
    Case("onnx-inputs", kind="cross-encoder-onnx", on="3.8", not_on="3.9",
         files=model(("input_ids", "attention_mask"), outputs=(("batch", 1),))),
    Case("onnx-input-dtype", files=model(dtype="INT32")),
    Case("onnx-fixed-shape", files=model(shape=("batch", 128))),
    Case("onnx-fixed-shape", files=model(shape=(8, "sequence"))),
    Case("onnx-output-dtype", WARNING, files=model(output_dtype="FLOAT16")),
    Case("onnx-output-dtype", files=model(output_dtype="DOUBLE")),
    Case("onnx-output-rank", kind="sparse-onnx", files=model(SPARSE_INPUTS, outputs=(("b", "s", 9),))),
    Case("onnx-outputs", WARNING, kind="sparse-onnx", files=model(SPARSE_INPUTS, outputs=(("b", 9), ("b", 9)))),
    Case("onnx-leaks", NOTE, files={"model.onnx": leaking()}, says="/opt/somebody"),
    # pooling
    Case("pooling-mode", config=settings(pooling_mode="weightedmean"), says="WEIGHTED_MEAN"),
    Case("pooling-none", on="3.5", not_on="3.6", files=model(outputs=(("b", WIDTH),)),
         config=settings(pooling_mode="NONE", normalize_result=False)),
    Case("pooling-last-token", on="3.5", not_on="3.6", config=settings(pooling_mode="LAST_TOKEN")),
    Case("pooling-ignored", kind="two", on="2.4", not_on="2.5",
         config=settings(framework_type="huggingface_transformers", pooling_mode="CLS")),
    Case("max-normalize", config=settings(pooling_mode="MAX")),
    Case("max-normalize", kind="two", config=settings(framework_type="huggingface_transformers", pooling_mode="MAX")),
    Case("pooling-ignored", kind="two", on="2.4", not_on="2.5",
         config=settings(framework_type="huggingface_transformers", normalize_result=True)),
    Case("pre-pooled", files=model(outputs=(("batch", WIDTH),))),
    Case("none-normalize", files=model(outputs=(("batch", WIDTH),)), config=settings(pooling_mode="NONE")),
    Case("none-unpooled", config=settings(pooling_mode="NONE", normalize_result=False)),
    Case("output-rank", UNKNOWN, files=model(outputs=(None,))),
    Case("output-rank", files=model(outputs=(("a", "b", "c", "d"),))),
    # TorchScript
    Case("torch-container", kind="dense", files=script("dense", {"/version": lambda _: b"11\n"})),
    Case("torch-container", UNKNOWN, kind="dense", files=script("dense", {"/version": None})),
    Case("torch-operator", kind="dense", on="2.19", not_on="3.0", files=script("sdpa"), says="eager"),
    Case("torch-operator", UNKNOWN, kind="dense", says="mystery::sum",
         files=script("dense", {".py": lambda d: d.replace(b"torch.sum(", b"ops.mystery.sum(")})),
    Case("torch-signature", kind="dense", files=script("two")),
    Case("torch-signature", kind="two", files=script("dense")),
    Case("torch-signature", kind="cross-encoder", files=script("two")),
    Case("torch-signature", kind="question-answering", files=script("cross-encoder")),
    Case("torch-signature", kind="highlighter", files=script("cross-encoder")),
    Case("torch-signature", kind="sparse", files=script("two")),
    Case("torch-signature", UNKNOWN, kind="dense",
         files=script("dense", {".py": lambda d: d.replace(b"def forward", b"def other")})),
    Case("torch-output-key", WARNING, kind="dense", files=script("other-key")),
    Case("torch-output-key", WARNING, kind="sparse", files=script("other-key")),
    Case("torch-signature", kind="metrics", files=script("dense")),
    Case("torch-returns", kind="question-answering", files=script("named")),
    Case("torch-returns", kind="metrics", files=script("one"), says="three at a time"),
    Case("metrics-setting", WARNING, kind="dense", files=script("metrics"), config=METRICS),
    Case("metrics-register", WARNING, kind="dense", files=script("metrics"), config=METRICS),
    Case("metrics-one", NOTE, kind="dense", files=script("metrics"), config=METRICS),
    Case("metrics-shape", NOTE, kind="dense", on="3.4", not_on="3.5", files=script("metrics"), config=METRICS),
    Case("torch-returns", WARNING, kind="cross-encoder",
         files=script("cross-encoder", {".py": lambda d: d.replace(b"-> Tensor", b"-> Tuple[Tensor, Tensor]")})),
    Case("torch-device", kind="dense", files=script("dense", CUDA), says="cuda:0"),
    Case("torch-device-constant", WARNING, kind="dense", files=script("bound")),
    Case("torch-cpu-only", WARNING, kind="dense", on="2.19", files=script("frozen"), says="CPU nodes only"),
    Case("torch-dtype", WARNING, kind="dense", files=script("half")),
    Case("unreadable-model", kind="dense", files=script("dense", {".py": None}), says="state_dict"),
    # tokenizer.json
    Case("merges-pairs", on="2.18", not_on="2.19", files=words(model=bpe(merges=[["a", "b"]]))),
    Case("metaspace", on="2.14", not_on="2.15", files=words(pre_tokenizer=METASPACE)),
    Case("tokenizer-model", UNKNOWN, files=words(model={"type": "Novel", "vocab": {}})),
    Case("tokenizer-component", UNKNOWN, files=words(normalizer={"type": "Novel"})),
    Case("tokenizer-component", on="2.18", not_on="2.19", files=words(normalizer={"type": "ByteLevel"})),
    Case("tokenizer-component", on="2.14", not_on="2.15", files=words(decoder={"type": "Fuse"})),
    Case("tokenizer-component", on="2.8", not_on="2.9",
         files=words(post_processor={"type": "Sequence", "processors": []})),
    Case("tokenizer-component", files=words(pre_tokenizer={"type": "FixedLength", "length": 5}), says="No OpenSearch"),
    Case("byte-fallback", WARNING, on="2.14", not_on="2.15", files=words(model=bpe(byte_fallback=True))),
    Case("ignore-merges", WARNING, on="2.14", not_on="2.15", files=words(model=bpe(ignore_merges=True))),
    Case("no-truncation", on="2.14", files=words(truncation=None), says="size of tensor"),
    Case("no-truncation", WARNING, on="2.15", files=words(truncation=None), says="512"),
    Case("long-truncation", WARNING, files=words(truncation={"max_length": 8192, "strategy": "LongestFirst"})),
    Case("fixed-padding", WARNING, files=words(padding=FIXED), says="128"),
    Case("fixed-padding", WARNING, files=words(padding={"strategy": "BatchLongest", "pad_to_multiple_of": 8})),
    # the register request
    Case("no-config", NOTE, bare=True),
    Case("name", config={"name": ...}),
    Case("model-format", config={"model_format": "OPENVINO"}),
    Case("charset", on="3.1", not_on="3.0", config={"description": "sentences & paragraphs"}, says="'&'"),
    Case("charset", on="3.1", not_on="3.0", config={"name": "a\u00a0b"}),
    Case("function-name", on="3.1", not_on="3.0", config={"function_name": ...}),
    Case("function-name", on="3.1", not_on="3.0", order=lambda key: (key == "function_name", key)),
    Case("function-name", kind="question-answering", on="2.19", not_on=None,
         order=lambda key: (key == "function_name", key),
         config=settings(**{**PAIR_CONFIG, "embedding_dimension": ...})),
    Case("no-model-config", config={"model_config": ...}),
    Case("sparse-config", kind="sparse", on="3.1", not_on="3.0", config=settings()),
    Case("model-config-field", config=settings(embedding_dimension=...), says="embedding dimension is null"),
    Case("model-config-field", config=settings(model_type=...), says="model type is null"),
    Case("model-config-field", config=settings(framework_type=...), says="framework type is null"),
    Case("model-config-field", kind="cross-encoder", on="3.0", not_on="3.1",
         config=settings(**{**PAIR_CONFIG, "embedding_dimension": ...})),
    Case("framework-type", config=settings(framework_type="tensorflow")),
    Case("all-config", config=settings(all_config={"a": 1})),
    Case("all-config", on="3.1", not_on="3.0", config=settings(all_config="no", additional_config={"a": 1})),
    Case("dimension", WARNING, config=settings(embedding_dimension=WIDTH + 1)),
    Case("dimension", config=settings(embedding_dimension="8")),
    Case("hash-missing", config={"model_content_hash_value": ...}),
    Case("hash-differs", config={"model_content_hash_value": "0" * 64}, says="model content changed"),
    Case("size", WARNING, config={"model_content_size_in_bytes": ...}),
    Case("size", WARNING, config={"model_content_size_in_bytes": 1}),
    Case("prefixes", WARNING, on="2.12", not_on="2.13", config=settings(query_prefix="query: ")),
    Case("additional-config", NOTE, on="3.0", config=settings(additional_config={"space_type": "l2"})),
    Case("additional-config", on="3.1", config=settings(additional_config={"model_type": "x"}), says="Duplicate keys"),
]  # fmt: skip


def found(facts, version, **over):
    (verdict,) = verdicts(facts, (version,), tables=operator_tables(), **over)
    return verdict


def name_of(case):
    return f"{case.rule}-{case.severity.value}-{case.kind}-{case.on}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_broken_rule_is_found_where_it_holds_and_nowhere_else(case, bench):
    broken = bench.facts(case.kind, case)
    verdict = found(broken, case.on)
    own = [finding for finding in verdict.findings if (finding.rule, finding.severity) == (case.rule, case.severity)]
    assert own, verdict
    assert case.says in " ".join(f"{one.what} {one.why} {one.fix}" for one in own)
    assert all(one.what and one.why and one.fix for one in own)
    if case.severity is FATAL:
        assert verdict.word == "refused"
    elif case.severity is UNKNOWN:
        assert verdict.word == "unknown"
        assert verdict.deploys is False
    else:
        assert verdict.word == "deploys"
    if case.not_on is not None:
        other = found(broken, case.not_on)
        assert case.rule not in {finding.rule for finding in other.findings if finding.severity is case.severity}
    if case.rule != "introduced":
        sound = found(bench.facts(case.kind), case.on)
        assert (case.rule, case.severity) not in {(finding.rule, finding.severity) for finding in sound.findings}


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("onnx", "2.5"),
        ("dense", "2.4"),
        ("two", "2.4"),
        ("sparse", "2.11"),
        ("sparse-onnx", "2.11"),
        ("sparse-tokenizer", "2.11"),
        ("cross-encoder", "2.12"),
        ("cross-encoder-onnx", "2.12"),
        ("question-answering", "2.13"),
        ("highlighter", "3.0"),
        ("metrics", "2.7"),
    ],
)
def test_a_sound_archive_deploys_from_the_version_that_brought_its_kind(kind, first, bench):
    judged = verdicts(bench.facts(kind), tables=operator_tables())
    assert {verdict.version for verdict in judged if verdict.deploys} == {
        version for version in KNOWN_VERSIONS if number(version) >= number(first)
    }
    assert {verdict.basis for verdict in judged} == {Basis.DERIVED}


@pytest.mark.parametrize(
    "operators", [tuple(("com.microsoft", name) for name in FUSED_OPERATORS), INT8_OPERATORS], ids=["fused", "int8"]
)
def test_what_variants_are_made_of_is_known_to_every_version_that_serves_onnx(operators, bench):
    facts = bench.facts("onnx", Case("none", files=model(nodes=operators, opsets=FUSED)))
    judged = verdicts(facts, tables=operator_tables())
    assert {verdict.version for verdict in judged if verdict.deploys} == {
        version for version in KNOWN_VERSIONS if number(version) >= number("2.5")
    }


def test_every_rule_function_has_a_case_that_it_finds(bench):
    facts = [(bench.facts(case.kind, case), case.on) for case in CASES]
    tables = operator_tables()
    from release_tool.core.verdicts import target

    silent = [rule for rule in RULES if not any(list(rule(one, target(on, tables))) for one, on in facts)]
    assert silent == []


def node_proof(facts, *, version="3.6.0", errors=0, probes=3, ring="node", **over):
    items = [make_comparison(ModelKind.DENSE, probe=f"p{i}") for i in range(probes)]
    items = [replace(item, error="no such input") if i < errors else item for i, item in enumerate(items)]
    values = {"ring": ring, "archive_sha256": facts.sha256, "versions": {"opensearch": version}}
    return make_proof(**{**values, "comparisons": tuple(items), **over})


def test_a_proof_from_a_node_makes_exactly_its_own_version_measured(bench):
    facts = bench.facts("onnx")
    judged = verdicts(facts, ("3.5", "3.6", "3.7"), tables=operator_tables(), proofs=[node_proof(facts)])
    assert [verdict.basis for verdict in judged] == [Basis.DERIVED, Basis.MEASURED, Basis.DERIVED]
    assert all(verdict.deploys for verdict in judged)


def test_a_proof_of_other_bytes_measures_nothing(bench):
    facts = bench.facts("onnx")
    proof = replace(node_proof(facts), archive_sha256="f" * 64)
    assert found(facts, "3.6", proofs=[proof]).basis is Basis.DERIVED


def test_a_node_that_refused_every_probe_outweighs_rules_that_find_nothing(bench):
    facts = bench.facts("onnx")
    verdict = found(facts, "3.6", proofs=[node_proof(facts, errors=3)])
    assert (verdict.word, verdict.basis) == ("refused", Basis.MEASURED)
    assert "no such input" in verdict.findings[0].why


def test_a_node_that_answered_outweighs_a_rule_and_says_so(bench):
    facts = bench.facts("onnx", Case("onnx-ir", files=model(ir=10)))
    verdict = found(facts, "3.6", proofs=[node_proof(facts)])
    assert (verdict.word, verdict.basis) == ("deploys", Basis.MEASURED)
    (finding,) = [one for one in verdict.findings if one.rule == "onnx-ir"]
    assert finding.severity is WARNING
    assert "nevertheless" in finding.why


def test_pinned_wheels_measure_only_versions_with_all_of_the_same_libraries(bench):
    facts = bench.facts("dense")
    versions = {"torch": "1.13.1+cu117", "tokenizers": "0.13.2"}
    proof = node_proof(facts, ring="legacy", versions=versions, pinned=True)
    judged = verdicts(facts, tables=operator_tables(), proofs=[proof])
    assert [verdict.version for verdict in judged if verdict.basis is Basis.MEASURED] == [
        "2.9", "2.10", "2.11", "2.12", "2.13", "2.14",
    ]  # fmt: skip
    notes = [finding for finding in judged[KNOWN_VERSIONS.index("2.19")].findings if finding.rule == "proof"]
    assert "torch of this version" in notes[0].what
    unpinned = verdicts(facts, tables=operator_tables(), proofs=[replace(proof, pinned=False)])
    assert {verdict.basis for verdict in unpinned} == {Basis.DERIVED}


def test_the_emulated_runtime_is_no_measurement_of_a_server(bench):
    facts = bench.facts("onnx")
    versions = {"onnxruntime": "1.16.3", "tokenizers": "0.20.3"}
    proof = node_proof(facts, ring="runtime", versions=versions, pinned=True)
    verdict = found(facts, "3.6", proofs=[proof])
    assert verdict.basis is Basis.DERIVED
    assert "onnxruntime and tokenizers" in next(one.what for one in verdict.findings if one.rule == "proof")


@pytest.mark.parametrize(
    ("case", "version"),
    [
        (Case("onnx-ir", files=model(ir=10)), "3.6"),
        (Case("onnx-inputs", files=model(("input_ids", "attention_mask"))), "3.6"),
        (Case("torch-operator", kind="dense", files=script("sdpa")), "2.19"),
    ],
    ids=lambda value: getattr(value, "rule", value),
)
def test_what_a_real_node_refused_is_measured_there_and_derived_elsewhere(case, version, bench):
    facts = bench.facts(case.kind, case)
    judged = verdicts(facts, tables=operator_tables())
    assert [verdict.version for verdict in judged if verdict.basis is Basis.MEASURED] == [version]


def test_the_summary_folds_neighbours_and_shows_where_the_answer_changes(bench):
    facts = bench.facts("onnx", Case("merges-pairs", files=words(model=bpe(merges=[["a", "b"]]))))
    ranges = summary(verdicts(facts, tables=operator_tables()))
    assert [(one.versions, one.word) for one in ranges] == [
        ("2.4", "refused"),
        ("2.5 - 2.18", "refused"),
        ("2.19 - 3.9", "deploys"),
    ]
    assert "pairs" in ranges[1].reasons[0]
    assert ranges[2].reasons == ()


def test_a_range_never_speaks_about_a_version_that_was_not_judged(bench):
    ranges = summary(verdicts(bench.facts("dense"), ("2.19", "3.6", "3.7"), tables=operator_tables()))
    assert [one.versions for one in ranges] == ["2.19", "3.6 - 3.7"]


def test_findings_are_listed_once_with_their_versions(bench):
    facts = bench.facts("dense", Case("torch-operator", kind="dense", files=script("sdpa")))
    listed = affected(verdicts(facts, tables=operator_tables()))
    assert [versions for finding, versions in listed if finding.rule == "torch-operator"] == ["2.4 - 2.19"]


@given(asked=st.lists(st.sampled_from(KNOWN_VERSIONS), min_size=1, unique=True))
def test_ranges_cover_exactly_the_versions_that_were_judged(asked, bench):
    facts = bench.facts("onnx") if not hasattr(bench, "kept") else bench.kept
    bench.kept = facts
    judged = verdicts(facts, tuple(asked), tables=operator_tables())
    covered = []
    for one in summary(judged):
        first, last = KNOWN_VERSIONS.index(one.first), KNOWN_VERSIONS.index(one.last)
        covered += KNOWN_VERSIONS[first : last + 1]
        assert {verdict.word for verdict in judged if verdict.version in KNOWN_VERSIONS[first : last + 1]} == {one.word}
    assert sorted(covered, key=number) == sorted(asked, key=number)


def test_without_a_request_the_kind_is_told_by_the_signature(bench):
    for kind, expected in (
        ("onnx", ModelKind.DENSE),
        ("sparse-onnx", ModelKind.SPARSE),
        ("cross-encoder-onnx", ModelKind.CROSS_ENCODER),
        ("dense", ModelKind.DENSE),
        ("two", ModelKind.DENSE),
        ("sparse", ModelKind.SPARSE),
        ("cross-encoder", ModelKind.CROSS_ENCODER),
        ("question-answering", ModelKind.QUESTION_ANSWERING),
        ("highlighter", ModelKind.HIGHLIGHTER),
        ("sparse-tokenizer", ModelKind.SPARSE_TOKENIZER),
    ):
        facts = bench.facts(kind, Case("none", bare=True))
        assert facts.kind is expected, kind
        assert found(facts, "3.6").deploys, kind
