"""The oracle answers as the source's own libraries answer one text: held against direct calls of those libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from factories import make_request
from oracle_work import make_work, write_documents
from tiny_models import FAMILIES, make

from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import Activation, ModelKind, PoolingMode
from release_tool.core.probes import Probe, ProbeSet, Role
from release_tool.documents import WorkFolder, file_sha256
from release_tool.errors import IntegrityError, UnsupportedModel
from release_tool.models.answers import Answers, answers_name, read_answers
from release_tool.models.oracle import answer_all
from release_tool.packaged import packaged_probes

LONG = "the river bank and the search engine of the old city " * 60

TEXTS = (
    ("short", "the search engine"),
    ("empty", ""),
    ("one", "river"),
    ("odd", "Zürich, 東京 🙂 naïve—text…"),
    ("mid", "the queen of the north went to the south. " * 9),
    ("long", LONG),
    ("upper", "THE SEARCH ENGINE"),
)
PAIRS = (
    ("short", "who went", "the queen went."),
    ("empty-second", "who", ""),
    ("empty-both", "", ""),
    ("long", "who went", LONG),
    ("long-both", LONG, LONG),
    ("odd", "wo?", "Zürich. 東京 🙂! The end."),
)


def probe_set(texts=TEXTS, pairs=PAIRS) -> ProbeSet:
    return ProbeSet(
        texts=tuple(
            Probe(id=key, shape="a", text=text, role=Role.QUERY if index % 2 else Role.PASSAGE)
            for index, (key, text) in enumerate(texts)
        ),
        pairs=tuple(Probe(id=key, shape="a", text=first, second=second) for key, first, second in pairs),
        sha256="0" * 64,
    )


PROBES = probe_set()


def answers(work: WorkFolder, kind: ModelKind, probes: ProbeSet = PROBES) -> Answers:
    return read_answers(answer_all(work, kind, probes))


def rows(found: Answers, name: str) -> list[np.ndarray]:
    bounds = found.arrays["indptr"]
    return [found.arrays[name][bounds[i] : bounds[i + 1]] for i in range(len(bounds) - 1)]


# --- dense -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_answers_are_those_of_encode_on_one_text(tmp_path: Path, family: str) -> None:
    from sentence_transformers import SentenceTransformer

    work = make_work(tmp_path, family, "dense")
    found = answers(work, ModelKind.DENSE)
    model = SentenceTransformer(str(work.path("snapshot")), device="cpu", local_files_only=True)
    model.max_seq_length = 512
    alone = np.stack([model.encode(text) for _, text in TEXTS])
    assert np.abs(found.arrays["embedding"] - alone).max() <= 1e-6
    assert found.facts.batching == "padded"
    assert found.arrays["tokens"].max() == 512


@pytest.mark.parametrize("mode", [mode for mode in PoolingMode if mode is not PoolingMode.NONE])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_bare_transformer_is_pooled_as_the_plan_says(tmp_path: Path, mode: PoolingMode, normalize: bool) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    work = make_work(tmp_path, "bert", "bare", plan={"pooling_mode": mode, "normalize_result": normalize})
    found = answers(work, ModelKind.DENSE)
    folder = work.path("snapshot")
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, (_, text) in enumerate(TEXTS):
        with torch.no_grad():
            hidden = model(**tokenizer(text, truncation=True, max_length=512, return_tensors="pt"))[0][0].numpy()
        expected = pooled(hidden.astype(np.float64), mode)
        expected = expected / np.linalg.norm(expected) if normalize else expected
        assert np.abs(found.arrays["embedding"][row] - expected).max() <= 2e-5


def pooled(hidden: np.ndarray, mode: PoolingMode) -> np.ndarray:
    count = len(hidden)
    weights = np.arange(1, count + 1)
    return {
        PoolingMode.MEAN: lambda: hidden.mean(0),
        PoolingMode.MEAN_SQRT_LEN: lambda: hidden.sum(0) / np.sqrt(count),
        PoolingMode.MAX: lambda: hidden.max(0),
        PoolingMode.WEIGHTED_MEAN: lambda: (hidden * weights[:, None]).sum(0) / weights.sum(),
        PoolingMode.CLS: lambda: hidden[0],
        PoolingMode.LAST_TOKEN: lambda: hidden[-1],
    }[mode]()


def test_no_pooling_has_nothing_to_compare_with(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "bare", plan={"pooling_mode": PoolingMode.NONE})
    with pytest.raises(UnsupportedModel, match="pooling none"):
        answers(work, ModelKind.DENSE)


def test_prefixes_go_before_the_text_by_role(tmp_path: Path) -> None:
    facts = {"query_prefix": "query: ", "passage_prefix": "passage: "}
    prefixed = make_work(tmp_path / "a", "bert", "dense", plan={"model": facts})
    plain = make_work(tmp_path / "b", "bert", "dense")
    written = probe_set(
        texts=[(key, f"{'query' if i % 2 else 'passage'}: {text}") for i, (key, text) in enumerate(TEXTS)]
    )
    there = answers(prefixed, ModelKind.DENSE).arrays
    here = answers(plain, ModelKind.DENSE, written).arrays
    assert np.abs(there["embedding"] - here["embedding"]).max() <= 1e-6
    assert (there["tokens"] == here["tokens"]).all()


def test_one_prefix_leaves_the_other_role_alone(tmp_path: Path) -> None:
    prefixed = answers(
        make_work(tmp_path / "a", "bert", "dense", plan={"model": {"query_prefix": "query: "}}), ModelKind.DENSE
    )
    plain = answers(make_work(tmp_path / "b", "bert", "dense"), ModelKind.DENSE)
    apart = np.abs(prefixed.arrays["embedding"] - plain.arrays["embedding"]).max(1)
    queries = np.arange(len(TEXTS)) % 2 == 1
    assert (apart[~queries] <= 1e-6).all()
    assert (apart[queries] > 1e-3).all()


def test_texts_are_cut_at_the_plans_length_not_at_the_files(tmp_path: Path) -> None:
    short = make_work(tmp_path / "a", "bert", "dense", plan={"max_length": 64})
    assert answers(short, ModelKind.DENSE).arrays["tokens"].max() == 64
    # tokenizer.json says 16 and pads to 16; the plan's length wins and nothing is padded.
    work = make_work(tmp_path / "b", "bert", "dense", plan={"max_length": 64})
    path = work.path("snapshot") / "tokenizer.json"
    content = json.loads(path.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 16},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path.write_text(json.dumps(content))
    found, wanted = answers(work, ModelKind.DENSE).arrays, answers(short, ModelKind.DENSE).arrays
    assert (found["tokens"] == wanted["tokens"]).all()
    assert np.abs(found["embedding"] - wanted["embedding"]).max() <= 1e-6


def test_a_dense_module_is_part_of_the_answer(tmp_path: Path) -> None:
    found = answers(make_work(tmp_path, "bert", "dense", dense_module=16), ModelKind.DENSE)
    assert found.arrays["embedding"].shape == (len(TEXTS), 16)
    assert np.allclose(np.linalg.norm(found.arrays["embedding"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_weights_answer_in_float32(tmp_path: Path, dtype: str) -> None:
    found = answers(make_work(tmp_path, "bert", "dense", dtype=dtype, normalize=False), ModelKind.DENSE)
    values = found.arrays["embedding"]
    assert values.dtype == np.float32
    assert np.any(values != values.astype(np.float16).astype(np.float32))


# --- sparse ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", list(Activation))
def test_sparse_answers_are_the_rule_applied_to_the_logits(tmp_path: Path, family: str, activation: Activation) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    ratio = 0.2
    work = make_work(tmp_path, family, "sparse", plan={"activation": activation.value, "prune_ratio": ratio})
    found = answers(work, ModelKind.SPARSE)
    folder = work.path("snapshot")
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, (_, text) in enumerate(TEXTS):
        with torch.no_grad():
            logits = model(**tokenizer(text, truncation=True, max_length=512, return_tensors="pt")).logits[0].numpy()
        weights = np.log1p(np.maximum(logits.astype(np.float64).max(0), 0))
        weights = np.log1p(weights) if activation is Activation.L0 else weights
        weights[tokenizer.all_special_ids] = 0
        kept = {int(i): weights[i] for i in np.flatnonzero(weights > weights.max() * ratio)}
        ids, values = rows(found, "ids")[row], rows(found, "weights")[row]
        assert ids.tolist() == sorted(kept)
        assert np.abs(values - [kept[int(i)] for i in ids]).max() <= 1e-5
    assert set(found.facts.special_ids) == set(tokenizer.all_special_ids)


def test_own_sparse_modules_answer_as_the_bare_model_does(tmp_path: Path) -> None:
    bare = answers(make_work(tmp_path / "a", "bert", "sparse"), ModelKind.SPARSE)
    own = answers(make_work(tmp_path / "b", "bert", "sparse-st"), ModelKind.SPARSE)
    assert np.array_equal(bare.arrays["ids"], own.arrays["ids"])
    assert np.abs(bare.arrays["weights"] - own.arrays["weights"]).max() <= 1e-6


def test_own_sparse_modules_keep_their_own_activation(tmp_path: Path) -> None:
    once = answers(make_work(tmp_path / "a", "bert", "sparse-st"), ModelKind.SPARSE)
    twice = answers(make_work(tmp_path / "b", "bert", "sparse-st", activation="l0"), ModelKind.SPARSE)
    assert np.abs(np.log1p(once.arrays["weights"]) - twice.arrays["weights"]).max() <= 1e-6


def test_a_model_without_a_language_model_head_is_no_sparse_encoder(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="no weights for"):
        answers(make_work(tmp_path, "bert", "bare", plan={"kinds": (ModelKind.SPARSE,)}), ModelKind.SPARSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_gives_distinct_tokens_with_their_weights(tmp_path: Path, family: str) -> None:
    from transformers import AutoTokenizer

    work = make_work(tmp_path, family, "sparse-tokenizer", shared_idf=True)
    found = answers(work, ModelKind.SPARSE_TOKENIZER)
    tokenizer = AutoTokenizer.from_pretrained(work.path("snapshot"))
    idf = json.loads((work.path("snapshot") / "idf.json").read_text())
    for row, (_, text) in enumerate(TEXTS):
        seen = set(tokenizer(text, truncation=True, max_length=512)["input_ids"]) - set(tokenizer.all_special_ids)
        wanted = {i: idf.get(tokenizer.convert_ids_to_tokens(i), 1.0) for i in seen if tokenizer.decode([i])}
        got = dict(zip(rows(found, "ids")[row].tolist(), rows(found, "weights")[row].tolist(), strict=True))
        assert got == pytest.approx(wanted)


def test_without_token_weights_every_token_weighs_one(tmp_path: Path) -> None:
    make(tmp_path / "snapshot", "bert", "sparse-tokenizer")
    (tmp_path / "snapshot" / "idf.json").unlink()
    work = write_documents(WorkFolder(tmp_path), tmp_path / "snapshot", ModelKind.SPARSE_TOKENIZER, {})
    assert set(answers(work, ModelKind.SPARSE_TOKENIZER).arrays["weights"].tolist()) == {1.0}


def test_weights_given_to_plan_replace_the_models_and_must_be_the_planned_ones(tmp_path: Path) -> None:
    given = json.dumps({"river": 9.5})
    request = make_request(kinds=(ModelKind.SPARSE_TOKENIZER,), idf=sha256_bytes(given.encode()))
    work = make_work(tmp_path, "bert", "sparse-tokenizer", plan={"request": request})
    with pytest.raises(IntegrityError, match="--idf"):
        answers(work, ModelKind.SPARSE_TOKENIZER)
    work.path("inputs").mkdir()
    work.path("inputs").joinpath("idf.json").write_text(given)
    found = answers(work, ModelKind.SPARSE_TOKENIZER)
    assert set(rows(found, "weights")[2].tolist()) == {9.5}
    assert set(rows(found, "weights")[0].tolist()) == {1.0}


# --- pairs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_cross_encoders_answer_the_raw_logit_of_one_pair(tmp_path: Path, family: str) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    work = make_work(tmp_path, family, "cross-encoder", head_scale=20.0)
    found = answers(work, ModelKind.CROSS_ENCODER)
    folder = work.path("snapshot")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row, (_, first, second) in enumerate(PAIRS):
        features = tokenizer([first], [second], truncation="longest_first", max_length=512, return_tensors="pt")
        with torch.no_grad():
            assert abs(found.arrays["logit"][row] - float(model(**features).logits)) <= 1e-5
        assert found.arrays["tokens"][row] == features["input_ids"].shape[1]


def test_a_cross_encoder_with_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="3 numbers a pair"):
        answers(make_work(tmp_path, "bert", "cross-encoder", labels=3), ModelKind.CROSS_ENCODER)


@pytest.mark.parametrize("family", FAMILIES)
def test_question_answering_keeps_logits_answers_and_how_decided_they_are(tmp_path: Path, family: str) -> None:
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    work = make_work(tmp_path, family, "question-answering", head_scale=20.0)
    found = answers(work, ModelKind.QUESTION_ANSWERING)
    folder = work.path("snapshot")
    model, tokenizer = (
        AutoModelForQuestionAnswering.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    for row, (_, first, second) in enumerate(PAIRS):
        features = tokenizer([first], [second], truncation="longest_first", max_length=512, return_tensors="pt")
        with torch.no_grad():
            out = model(**features)
        start, end = out.start_logits[0].numpy(), out.end_logits[0].numpy()
        assert np.abs(rows(found, "start")[row] - start).max() <= 1e-5
        assert np.abs(rows(found, "end")[row] - end).max() <= 1e-5
        margin = min(np.sort(logits)[-1] - np.sort(logits)[-2] for logits in (start, end))
        assert found.arrays["margin"][row] == pytest.approx(margin, abs=2e-5)
        low, high = sorted((int(start.argmax()), int(end.argmax())))
        text = " ".join(features.tokens(0)[low : high + 1]).replace(" ##", "").strip()
        assert found.facts.texts[row] == text


def test_a_model_without_a_question_answering_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="answers no questions"):
        answers(make_work(tmp_path, "bert", "sparse"), ModelKind.QUESTION_ANSWERING)


# --- the file and the process ------------------------------------------------------------------------------------


def test_equal_numbers_give_equal_bytes_and_the_file_says_what_it_belongs_to(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "dense")
    first = answer_all(work, ModelKind.DENSE, PROBES).read_bytes()
    path = answer_all(work, ModelKind.DENSE, PROBES)
    assert path.read_bytes() == first
    facts = read_answers(path).facts
    assert facts.plan_sha256 == work.sha256("plan.json")
    assert facts.probes == tuple(key for key, _ in TEXTS)
    assert set(facts.versions) >= {"torch", "transformers", "sentence-transformers"}


def test_the_inputs_of_every_probe_are_kept(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    work = make_work(tmp_path, "bert", "sparse-tokenizer")
    found = answers(work, ModelKind.SPARSE_TOKENIZER).inputs()
    tokenizer = AutoTokenizer.from_pretrained(work.path("snapshot"))
    assert found["short"] == frozenset(tokenizer("the search engine")["input_ids"])


@pytest.mark.parametrize("harm", ["cut", "header", "array", "schema", "nothing"])
def test_a_damaged_file_of_answers_is_refused(tmp_path: Path, harm: str) -> None:
    work = make_work(tmp_path, "bert", "sparse-tokenizer")
    path = answer_all(work, ModelKind.SPARSE_TOKENIZER, PROBES)
    data = path.read_bytes()
    harmed = {
        "cut": data[:-40],
        "header": data[:9] + b"x" + data[10:],
        "array": data.replace(b'"tokens"', b'"tokenz"'),
        "schema": data.replace(b"answers@1", b"answers@2"),
        "nothing": b"",
    }[harm]
    path.write_bytes(harmed)
    with pytest.raises(IntegrityError, match="answers-sparse-tokenizer"):
        read_answers(path)


def test_a_plan_of_another_source_is_refused(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "dense")
    plan = work.path("plan.json")
    plan.write_text(plan.read_text().replace('"max_length": 512', '"max_length": 511', 1))
    with pytest.raises(IntegrityError, match=r"plan\.json"):
        answers(work, ModelKind.DENSE)


def run_process(work: WorkFolder, *arguments: str) -> tuple[int, list[dict], str]:
    command = [sys.executable, "-m", "release_tool.models.oracle", "--work", str(work.folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_process_answers_the_shipped_probes_and_tells_its_progress(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "sparse-tokenizer")
    code, events, _ = run_process(work)
    assert code == 0
    count = len(packaged_probes().texts)
    path = work.path(answers_name(ModelKind.SPARSE_TOKENIZER))
    assert events[-1]["sha256"] == file_sha256(path)
    assert events[-1]["peak_kib"] > 0
    assert len(read_answers(path).facts.probes) == count


def test_the_process_reports_a_known_error_by_its_class_and_leaves_no_file(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "bare", plan={"kinds": (ModelKind.QUESTION_ANSWERING,)})
    code, events, _ = run_process(work)
    assert code == UnsupportedModel.exit_code
    assert events[-1]["class"] == "UnsupportedModel"
    assert not list(tmp_path.glob("*answers*"))


def test_the_oracle_imports_none_of_our_exporters() -> None:
    ours = ["export", "exporters", "graphs", "attention", "pooling", "loading", "torchscript", "onnx_writer", "archive"]
    ours += ["onnx_weights", "onnx_export", "fusion", "quantisation", "jobs"]
    names = ["oracle", "oracle_dense", "oracle_sparse", "oracle_pairs", "oracle_highlighter", "compare"]
    code = "import sys\n" + "".join(f"import release_tool.models.{name}\n" for name in names)
    code += f"found = [n for n in {ours} if 'release_tool.models.' + n in sys.modules]\nassert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)
