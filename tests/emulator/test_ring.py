"""Whole archives through fresh processes, as validate asks them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Rust
from toys import WIDTH, Hidden, Toy, config, example, exported, mean, tokenizer, traced, vocabulary_size, zipped

from release_tool.core.kinds import ModelKind
from release_tool.core.probes import Probe, Role
from release_tool.emulator import program
from release_tool.errors import MachineError, ValidationFailed
from release_tool.models.deprecations import deprecated_writers
from release_tool.services.runtime_env import RuntimeEnvironment
from release_tool.services.runtime_ring import SERVER, _answers, _as_data, answer, fatal_error
from release_tool.services.scratch import scratch_folder

TRUNCATION = {"direction": "Right", "max_length": 64, "strategy": "LongestFirst", "stride": 0}
TOKENIZER = tokenizer(truncation=TRUNCATION)
VOCABULARY = vocabulary_size(TOKENIZER)
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"

TEXTS = (
    Probe(id="short", shape="short", text="the ferry is old", role=Role.QUERY),
    Probe(id="empty", shape="empty", text="", role=Role.PASSAGE),
    Probe(id="odd", shape="mixed", text="東京 🙂 x", role=Role.QUERY),
    Probe(id="long", shape="len-2000", text="the red house " * 650, role=Role.PASSAGE),
)
PAIRS = (
    Probe(id="p1", shape="short", text="where is the ferry", second="the ferry is not in the sea."),
    Probe(id="p2", shape="empty-second", text="who", second=""),
    Probe(id="p3", shape="len-512", text="who", second="the old room is open. the sea was long. " * 60),
)


@pytest.fixture(scope="module")
def hidden():
    return Hidden(VOCABULARY)


def written(folder, model, function, model_format, options):
    """Write archive and config.json; return both and the probes."""
    name = {"TORCH_SCRIPT": "m.pt", "ONNX": "m.onnx"}[model_format]
    members = {"tokenizer.json": options.pop("text", TOKENIZER), **({name: model} if model else {})}
    archive = zipped(folder / "a.zip", members | options.pop("members", {}))
    is_pair = function in {"TEXT_SIMILARITY", "QUESTION_ANSWERING"}
    probes = options.pop("probes", PAIRS if is_pair else TEXTS)
    return archive, config(folder / "a.config.json", function, model_format, **options), probes


@pytest.fixture
def ask(tmp_path, environment, quiet, runtime_cache):
    """Ask through fresh processes, as validate does."""

    def run(model, kind, function, model_format, *, limit=300.0, **options):
        return answer(
            *written(tmp_path, model, function, model_format, options),
            kind,
            console=quiet,
            cache=runtime_cache,
            scratch=tmp_path / "scratch",
            environment=environment,
            time_limit=limit,
        )

    return run


@pytest.fixture
def ask_here(tmp_path, environment):
    """Ask in this process, which has torch already: importing it again takes seconds for each archive."""

    def run(model, kind, function, model_format, **options):
        archive, request, probes = written(tmp_path, model, function, model_format, options)
        places = {"answers": tmp_path / "answers.npz", "report": tmp_path / "report.json", "scratch": tmp_path}
        data = {
            **{name: str(path) for name, path in places.items()},
            "archive": str(archive),
            "config": str(request),
            "kind": kind.value,
            "server": SERVER,
            "stage": "all",
            "probes": [_as_data(probe) for probe in probes],
        }
        (tmp_path / "request.json").write_text(json.dumps(data))
        with deprecated_writers():
            program.main([str(tmp_path / "request.json")])
        report = json.loads(places["report"].read_text())
        if report["fatal"]:
            raise fatal_error(report["fatal"])
        return _answers(report, places["answers"], environment, torch_script=True, legacy=False)

    return run


def encoded(first, second=None, text=TOKENIZER):
    """Tokenise with the library alone: the archive's own truncation, nothing of the emulator."""
    found = Rust.from_str(text).encode(first, second)
    return tuple(torch.tensor([row]) for row in (found.ids, found.attention_mask, found.type_ids))


def onnx_hidden(hidden, *, types=True, **settings):
    names = [IDS, MASK, *([TYPES] if types else [])]
    model = Toy(hidden, lambda self, *a: self.hidden(*a))
    return exported(model, example()[: len(names)], names, **settings)


def formulas(states):
    places = torch.arange(1, states.shape[0] + 1).unsqueeze(1)
    return {
        "MEAN": states.mean(0),
        "MEAN_SQRT_LEN": states.sum(0) / states.shape[0] ** 0.5,
        "MAX": states.max(0).values,
        "WEIGHTED_MEAN": (states * places).sum(0) / places.sum(),
        "CLS": states[0],
        "LAST_TOKEN": states[-1],
    }


@pytest.mark.parametrize("mode", ["MEAN", "MEAN_SQRT_LEN", "MAX", "WEIGHTED_MEAN", "CLS", "LAST_TOKEN"])
def test_dense_onnx_answers_every_pooling_mode_as_the_formula(ask, hidden, mode):
    found = ask(onnx_hidden(hidden), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", pooling_mode=mode.lower())
    with torch.no_grad():
        expected = [formulas(hidden(*encoded(probe.text))[0])[mode].numpy() for probe in TEXTS]
    np.testing.assert_allclose(found.arrays["embedding"], expected, atol=1e-6)
    assert found.arrays["tokens"].tolist() == [encoded(probe.text)[0].shape[1] for probe in TEXTS]
    assert found.arrays["tokens"].tolist()[3] == 64
    assert found.dimension == WIDTH
    assert found.inputs == (IDS, MASK, TYPES)
    assert not found.errors


def test_bare_torchscript_is_fed_by_position_pooled_and_normalised_by_the_server(ask, hidden):
    model = traced(Toy(hidden, lambda self, ids, mask: self.hidden(ids, mask)), example()[:2])
    found = ask(
        model,
        ModelKind.DENSE,
        "TEXT_EMBEDDING",
        "TORCH_SCRIPT",
        framework_type="huggingface_transformers",
        pooling_mode="mean",
        normalize_result=True,
    )
    with torch.no_grad():
        expected = [torch.nn.functional.normalize(mean(hidden(i, m), m))[0] for i, m, _ in map(encoded_text, TEXTS)]
    np.testing.assert_allclose(found.arrays["embedding"], torch.stack(expected), atol=1e-6)
    assert found.note is not None
    assert "libtorch 2.5.1" in found.note


def encoded_text(probe):
    return encoded(probe.text)


def dense_dictionary(hidden, key="sentence_embedding"):
    def call(self, inputs: dict[str, torch.Tensor]):
        return {key: mean(self.hidden(inputs[IDS], inputs[MASK]), inputs[MASK])}

    ids, mask, _ = example()
    return traced(Toy(hidden, call), ({IDS: ids, MASK: mask},))


def test_sentence_transformers_torchscript_gets_a_dictionary_and_prefixes_by_role(ask, hidden):
    found = ask(
        dense_dictionary(hidden),
        ModelKind.DENSE,
        "TEXT_EMBEDDING",
        "TORCH_SCRIPT",
        query_prefix="who ",
        passage_prefix="sea ",
    )
    prefix = {Role.QUERY: "who ", Role.PASSAGE: "sea "}
    with torch.no_grad():
        expected = [
            mean(hidden(ids, mask), mask)[0] for ids, mask, _ in (encoded(prefix[p.role] + p.text) for p in TEXTS)
        ]
    np.testing.assert_allclose(found.arrays["embedding"], torch.stack(expected), atol=1e-6)


def sparse_call(self, ids, mask):
    logits = self.hidden(ids, mask) @ self.hidden.tokens.weight.T * mask.unsqueeze(-1)
    weights = torch.log1p(torch.relu(logits.amax(1)))
    return torch.cat([torch.zeros_like(weights[:, :5]), weights[:, 5:]], 1)


def sparse_expected(hidden, text):
    with torch.no_grad():
        return sparse_call(Toy(hidden, None), *encoded(text)[:2])[0].numpy()


def sparse_torchscript(hidden, shape=lambda weights: {"output": weights}):
    ids, mask, _ = example()

    def call(self, inputs):
        return shape(sparse_call(self, inputs[IDS], inputs[MASK]))

    return traced(Toy(hidden, call), ({IDS: ids, MASK: mask},))


@pytest.mark.parametrize("model_format", ["TORCH_SCRIPT", "ONNX"])
def test_sparse_weights_come_by_token_id_sorted(ask, ask_here, hidden, model_format):
    if model_format == "ONNX":
        model = exported(
            Toy(hidden, sparse_call),
            example()[:2],
            [f"input1.{IDS}", f"input1.{MASK}"],
            outputs=("output",),
            sequence_output=False,
        )
    else:
        model = sparse_torchscript(hidden)
    found = (ask if model_format == "ONNX" else ask_here)(model, ModelKind.SPARSE, "SPARSE_ENCODING", model_format)
    bounds = found.arrays["indptr"]
    assert bounds.tolist()[0] == 0
    for row, probe in enumerate(TEXTS):
        expected = sparse_expected(hidden, probe.text)
        ids = found.arrays["ids"][bounds[row] : bounds[row + 1]]
        assert ids.tolist() == np.flatnonzero(expected).tolist()
        np.testing.assert_allclose(found.arrays["weights"][bounds[row] : bounds[row + 1]], expected[ids], atol=1e-6)


def test_a_sparse_tokenizer_answers_without_a_model(ask):
    found = ask(
        None,
        ModelKind.SPARSE_TOKENIZER,
        "SPARSE_TOKENIZE",
        "TORCH_SCRIPT",
        members={"idf.json": json.dumps({"ferry": 2.5, "the": 0.25})},
    )
    rust = Rust.from_str(TOKENIZER)
    first = dict(zip(found.arrays["ids"].tolist(), found.arrays["weights"].tolist(), strict=True))
    assert {rust.id_to_token(i): first[i] for i in found.arrays["ids"][: found.arrays["indptr"][1]].tolist()} == {
        "the": 0.25,
        "ferry": 2.5,
        "is": 1.0,
        "old": 1.0,
    }
    assert found.arrays["indptr"].tolist()[1:3] == [4, 4], "an empty text has no token left"
    assert "torch" not in found.versions


@pytest.mark.parametrize("model_format", ["TORCH_SCRIPT", "ONNX"])
def test_a_cross_encoder_gets_three_inputs_and_gives_the_raw_logit(ask, ask_here, hidden, model_format):
    model = Toy(hidden, lambda self, ids, mask, types: self.head(self.hidden(ids, mask, types)[:, 0])[:, :1])
    data = (
        traced(model, example(pair=True))
        if model_format == "TORCH_SCRIPT"
        else exported(model, example(pair=True), [IDS, MASK, TYPES], sequence_output=False)
    )
    found = (ask if model_format == "ONNX" else ask_here)(
        data, ModelKind.CROSS_ENCODER, "TEXT_SIMILARITY", model_format
    )
    with torch.no_grad():
        expected = [float(model(*encoded(probe.text, probe.second))) for probe in PAIRS]
    np.testing.assert_allclose(found.arrays["logit"], expected, atol=1e-6)
    assert len(set(expected)) == len(PAIRS)


def test_question_answering_gives_logits_and_the_text_between_them(ask_here, hidden):
    model = Toy(hidden, lambda self, ids, mask: self.head(self.hidden(ids, mask)).unbind(-1))
    found = ask_here(traced(model, example()[:2]), ModelKind.QUESTION_ANSWERING, "QUESTION_ANSWERING", "TORCH_SCRIPT")
    bounds = found.arrays["indptr"]
    for row, probe in enumerate(PAIRS):
        ids, mask, _ = encoded(probe.text, probe.second)
        with torch.no_grad():
            start, end = (logits[0].numpy() for logits in model(ids, mask))
        np.testing.assert_allclose(found.arrays["start"][bounds[row] : bounds[row + 1]], start, atol=1e-6)
        np.testing.assert_allclose(found.arrays["end"][bounds[row] : bounds[row + 1]], end, atol=1e-6)
        low, high = sorted((int(start.argmax()), int(end.argmax())))
        tokens = Rust.from_str(TOKENIZER).encode(probe.text, probe.second).tokens[low : high + 1]
        assert found.texts[row] == " ".join(tokens).replace(" ##", "")


def highlighter(hidden, call):
    ids, mask, types = example(pair=True)
    sentences = torch.tensor([[-100, -100, -100, -100, 0, -100]], dtype=torch.int32)
    return traced(Toy(hidden, call), (ids, mask, types, sentences))


def last_sentence(self, ids, mask, types, sentences):
    """Select the chunk's last sentence; the other inputs are used so that tracing keeps them."""
    kept = (ids.sum() + mask.sum() + types.sum()) * 0
    return (sentences.amax(1) + kept).to(torch.int64)


def test_the_highlighter_answers_every_chunk_and_merges_the_sentences(ask_here, hidden):
    found = ask_here(
        highlighter(hidden, last_sentence),
        ModelKind.HIGHLIGHTER,
        "QUESTION_ANSWERING",
        "TORCH_SCRIPT",
        model_type="sentence_highlighting",
        all_config=json.dumps({"token_max_length": 32, "token_overlap_stride": 8}),
        probes=(
            Probe(id="one", shape="short", text="who", second="the sea. the old house."),
            Probe(id="many", shape="long", text="who", second="the sea is long. " * 20),
        ),
    )
    bounds = found.arrays["indptr"]
    assert found.arrays["selected"][: bounds[1]].tolist() == [1]
    many = found.arrays["selected"][bounds[1] :].tolist()
    assert len(many) > 2, "one a chunk"
    assert many == sorted(set(many))
    assert found.arrays["tokens"].tolist()[1] == 32


def test_a_highlighter_that_may_select_nothing_can_not_be_deployed(ask_here, hidden):
    nothing = highlighter(hidden, lambda self, *a: last_sentence(self, *a)[:0])
    with pytest.raises(ValidationFailed, match="Index 0 out of bounds for length 0"):
        ask_here(
            nothing,
            ModelKind.HIGHLIGHTER,
            "QUESTION_ANSWERING",
            "TORCH_SCRIPT",
            model_type="sentence_highlighting",
        )


# --- seeded faults ---------------------------------------------------------------------------------


def test_missing_token_types_are_an_input_mismatch(ask, hidden):
    with pytest.raises(ValidationFailed, match=r"Input mismatch, looking for: \[input_ids, attention_mask\]"):
        ask(onnx_hidden(hidden, types=False), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", model_type="bert")


def test_token_types_that_the_server_does_not_feed_are_an_input_mismatch(ask, hidden):
    with pytest.raises(ValidationFailed, match="Input mismatch, looking for"):
        ask(onnx_hidden(hidden), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", model_type="distilbert")


def test_an_input_of_another_name_is_invalid(ask, hidden):
    model = exported(Toy(hidden, lambda self, *a: self.hidden(*a)), example(), [IDS, MASK, "segment_ids"])
    with pytest.raises(ValidationFailed, match="Invalid input tensor name: token_type_ids"):
        ask(model, ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX")


def test_ir_10_is_refused_by_the_servers_onnxruntime(ask, hidden):
    with pytest.raises(ValidationFailed, match="Unsupported model IR version: 10, max supported IR version: 9"):
        ask(onnx_hidden(hidden, ir=10), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX")


def with_opsets(model, **opsets):
    """Return the file with other opsets; an underscore stands for a dot in a domain's name."""
    import onnx

    loaded = onnx.load_from_string(model)
    for domain, version in opsets.items():
        name = {"ai_onnx": "", "ai_onnx_named": "ai.onnx"}.get(domain, domain.replace("_", "."))
        same = ("", "ai.onnx") if name in ("", "ai.onnx") else (name,)
        for entry in [entry for entry in loaded.opset_import if entry.domain in same]:
            loaded.opset_import.remove(entry)
        loaded.opset_import.append(onnx.helper.make_opsetid(name, version))
    return loaded.SerializeToString()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ir": 10}, "Unsupported model IR version: 10, max supported IR version: 9"),
        ({"ai_onnx": 20}, "opset 20 of domain ai.onnx, official support is till opset 19"),
        ({"ai_onnx_named": 20}, "opset 20 of domain ai.onnx, official support is till opset 19"),
        ({"ai_onnx_ml": 4}, "opset 4 of domain ai.onnx.ml, official support is till opset 3"),
    ],
    ids=str,
)
def test_a_newer_runtime_that_stands_in_refuses_what_the_servers_would(
    hidden, tmp_path, quiet, runtime_cache, change, words
):
    ir = change.get("ir")
    model = onnx_hidden(hidden, ir=ir) if ir else with_opsets(onnx_hidden(hidden), **change)
    here = RuntimeEnvironment(python=sys.executable, pinned=False, versions={}, reason="there is no network")
    with pytest.raises(ValidationFailed, match=re.escape(words)) as raised:
        answer(
            zipped(tmp_path / "b.zip", {"tokenizer.json": TOKENIZER, "m.onnx": model}),
            config(tmp_path / "b.json", "TEXT_EMBEDDING", "ONNX", pooling_mode="mean"),
            TEXTS,
            ModelKind.DENSE,
            console=quiet,
            cache=runtime_cache,
            environment=here,
        )
    assert str(raised.value).startswith("Stand-in for the servers' versions: ")
    assert "onnxruntime 1.16.3" in str(raised.value)


def test_the_header_of_a_graph_is_read_as_the_onnx_package_reads_it(hidden, tmp_path):
    import onnx

    from release_tool.emulator.onnx_header import read_header

    model = with_opsets(onnx_hidden(hidden), ai_onnx_ml=2, com_microsoft=1)
    (tmp_path / "m.onnx").write_bytes(model)
    wanted = onnx.load_from_string(model)
    opsets = {entry.domain: entry.version for entry in wanted.opset_import}
    assert read_header(tmp_path / "m.onnx") == (wanted.ir_version, opsets)


@pytest.mark.parametrize("data", [b"\x08", b"\x42\xff\xff\xff\xff\x0f", b"\x0b", b"\x42\x05\x0a\x09ab"])
def test_a_header_that_is_none_is_refused(tmp_path, data):
    from release_tool.emulator.faults import Refused
    from release_tool.emulator.onnx_header import read_header

    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(Refused, match="Protobuf parsing failed"):
        read_header(tmp_path / "m.onnx")


def test_without_truncation_a_long_text_runs_out_of_places(ask):
    short = Hidden(VOCABULARY, places=128)
    found = ask(onnx_hidden(short), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", text=tokenizer(truncation=None))
    assert list(found.errors) == ["long"]
    assert "Non-zero status code returned while running" in found.errors["long"]
    assert np.isnan(found.arrays["embedding"][3]).all()
    assert np.isfinite(found.arrays["embedding"][:3]).all()
    assert found.arrays["tokens"][3] == 512


def test_the_same_fault_in_torchscript_is_a_position_error(ask_here):
    short = Hidden(VOCABULARY, places=128)
    found = ask_here(
        dense_dictionary(short), ModelKind.DENSE, "TEXT_EMBEDDING", "TORCH_SCRIPT", text=tokenizer(truncation=None)
    )
    assert list(found.errors) == ["long"]
    assert "index out of range" in found.errors["long"]


def test_a_nan_weight_reaches_the_answers(ask):
    broken = Hidden(VOCABULARY)
    with torch.no_grad():
        broken.mix.weight[3, 3] = float("nan")
    found = ask(onnx_hidden(broken), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX")
    assert np.isnan(found.arrays["embedding"][:, 3]).all()
    assert not found.errors


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (lambda weights: {"logits": weights}, "clients read 'output', the graph answers logits float32"),
        (lambda weights: {"output": weights.unsqueeze(1)}, "expected [1, vocabulary]"),
        (lambda weights: {"output": weights.to(torch.float16)}, "float16, expected float32"),
    ],
)
def test_a_sparse_output_under_another_key_or_of_another_shape_is_a_fault(ask_here, hidden, shape, says):
    with pytest.raises(ValidationFailed) as caught:
        ask_here(sparse_torchscript(hidden, shape), ModelKind.SPARSE, "SPARSE_ENCODING", "TORCH_SCRIPT")
    assert says in str(caught.value)


def test_an_embedding_under_another_key_is_a_fault(ask_here, hidden):
    with pytest.raises(ValidationFailed, match="clients read 'sentence_embedding'"):
        ask_here(dense_dictionary(hidden, "embedding"), ModelKind.DENSE, "TEXT_EMBEDDING", "TORCH_SCRIPT")


def test_torchscript_of_another_signature_is_refused(ask_here, hidden):
    model = traced(Toy(hidden, lambda self, ids, mask: self.hidden(ids, mask)), example()[:2])
    with pytest.raises(ValidationFailed, match="refuse"):
        ask_here(model, ModelKind.DENSE, "TEXT_EMBEDDING", "TORCH_SCRIPT")


def test_a_pooled_onnx_output_is_not_pooled_again(ask, hidden):
    pooled = Toy(hidden, lambda self, ids, mask, types: mean(self.hidden(ids, mask, types), mask))
    model = exported(pooled, example(), [IDS, MASK, TYPES], sequence_output=False)
    with pytest.raises(ValidationFailed, match="can't be broadcast"):
        ask(model, ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", pooling_mode="mean")
    found = ask(model, ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", pooling_mode="cls")
    assert found.arrays["embedding"].shape == (4, WIDTH)


def test_two_models_in_one_archive_are_refused(ask, hidden):
    with pytest.raises(ValidationFailed, match="Find multiple model files, but expected only one"):
        ask(dense_dictionary(hidden), ModelKind.DENSE, "TEXT_EMBEDDING", "TORCH_SCRIPT", members={"x/b.pt": b""})


def test_a_config_of_another_kind_than_planned_is_a_fault(ask, hidden):
    with pytest.raises(ValidationFailed, match="makes it a model of kind dense, the plan says sparse"):
        ask(onnx_hidden(hidden), ModelKind.SPARSE, "TEXT_EMBEDDING", "ONNX")


@pytest.mark.parametrize("model_format", ["TORCH_SCRIPT", "ONNX"])
def test_a_file_that_is_no_model_is_refused(ask_here, model_format):
    with pytest.raises(ValidationFailed, match="would refuse"):
        ask_here(b"not a model", ModelKind.DENSE, "TEXT_EMBEDDING", model_format)


# --- processes ------------------------------------------------------------------------------------


def test_the_answers_name_the_versions_that_gave_them(ask, hidden, environment):
    found = ask(onnx_hidden(hidden), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX")
    assert {name: found.versions[name] for name in environment.versions} == environment.versions
    assert found.pinned is environment.pinned
    assert 10_000_000 < found.peak_bytes < 250_000_000, "its own memory, not that of the process that started it"


def test_an_unpinned_environment_says_why(ask, hidden, tmp_path, quiet, runtime_cache):
    archive = zipped(tmp_path / "b.zip", {"tokenizer.json": TOKENIZER, "m.onnx": onnx_hidden(hidden)})
    here = RuntimeEnvironment(python=sys.executable, pinned=False, versions={}, reason="there is no network")
    found = answer(
        archive,
        config(tmp_path / "b.json", "TEXT_EMBEDDING", "ONNX", pooling_mode="mean"),
        TEXTS,
        ModelKind.DENSE,
        console=quiet,
        cache=runtime_cache,
        environment=here,
    )
    assert found.pinned is False
    assert found.note == "stand-in, not the servers' versions: there is no network"


def test_nothing_is_left_of_a_run(ask, hidden, tmp_path):
    ask(onnx_hidden(hidden), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX")
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["lock"]


def test_a_slow_runtime_is_ended(ask, hidden):
    with pytest.raises(MachineError, match=r"did not answer all probes within 0 s"):
        ask(onnx_hidden(hidden), ModelKind.DENSE, "TEXT_EMBEDDING", "ONNX", limit=0.01)


@pytest.mark.parametrize(
    ("end", "error", "says"),
    [
        ("SIGKILL", MachineError, "out of memory"),
        ("SIGSEGV", ValidationFailed, "crashed with SIGSEGV"),
        ("exit 3", MachineError, "ended with 3: broken"),
    ],
)
def test_a_runtime_that_dies_is_told_apart(tmp_path, quiet, end, error, says):
    """The environment's Python is a program that dies as a native library would."""
    fake = tmp_path / "python"
    act = end if end.startswith("exit") else f"kill -{end.removeprefix('SIG')} $$"
    fake.write_text(f"#!/bin/sh\necho broken >&2\n{act}\n")
    fake.chmod(0o755)
    with pytest.raises(error, match=says):
        answer(
            zipped(tmp_path / "a.zip", {"tokenizer.json": TOKENIZER}),
            config(tmp_path / "a.json", "SPARSE_TOKENIZE", "TORCH_SCRIPT"),
            TEXTS,
            ModelKind.SPARSE_TOKENIZER,
            console=quiet,
            cache=tmp_path,
            environment=RuntimeEnvironment(python=fake, pinned=True, versions={}),
        )


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_a_living_one_holds_is_not(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from release_tool.services.scratch import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'model.pt').write_bytes(b'x')\n    print(folder, flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        left = Path(child.stdout.readline().strip())
        with scratch_folder(tmp_path):
            assert left.exists(), "its process lives"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert left.exists()
    with scratch_folder(tmp_path) as mine:
        assert not left.exists()
        assert mine.is_dir()
    assert not mine.exists()


@pytest.mark.parametrize("family", ["wordpiece", "bpe", "unigram"])
def test_the_servers_tokenizers_read_the_shipped_probes_as_the_installed_ones_do(
    tmp_path, environment, runtime_cache, quiet, family
):
    """The oracle tokenises with the installed library; a difference would be a fault of neither graph."""
    from release_tool.packaged import packaged_probes

    archive = zipped(
        tmp_path / "t.zip", {"tokenizer.json": tokenizer(family, truncation={**TRUNCATION, "max_length": 512})}
    )
    request = config(tmp_path / "t.json", "SPARSE_TOKENIZE", "TORCH_SCRIPT")
    here = RuntimeEnvironment(python=sys.executable, pinned=False, versions={}, reason="on purpose")
    probes = packaged_probes().for_kind(ModelKind.SPARSE_TOKENIZER)
    theirs, ours = (
        answer(
            archive, request, probes, ModelKind.SPARSE_TOKENIZER, console=quiet, cache=runtime_cache, environment=chosen
        )
        for chosen in (environment, here)
    )
    assert theirs.versions["tokenizers"] != ours.versions["tokenizers"] or not environment.pinned
    for name in ours.arrays:
        np.testing.assert_array_equal(theirs.arrays[name], ours.arrays[name])
    assert ours.arrays["tokens"].max() == 512


def test_this_process_never_loads_torch():
    code = (
        "import sys\nimport release_tool.services.runtime_ring\n"
        "print([name for name in ('torch', 'numpy', 'tokenizers', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
