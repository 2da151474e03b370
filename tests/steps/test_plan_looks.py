"""What plan finds before anything is downloaded: broken weights and settings, files left aside, idle token weights."""

from __future__ import annotations

import json

import pytest
from model_files import WEIGHTS, Files, bare, dense, safetensors, sparse

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.plan import ReleasePlan
from release_tool.steps.plan_looks import FIRST_BYTES


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def plan(work, model, *arguments) -> int:
    return run(["--work", str(work), "plan", str(model), "--version", "1.0.0", *arguments])


def planned(work) -> ReleasePlan:
    return decode_text(ReleasePlan, (work / "plan.json").read_text())


def folder(tmp_path, files):
    return Files(files).write(tmp_path / "m")


# --- config.json ------------------------------------------------------------------------------------------------------


def test_a_model_without_config_is_refused_by_plan(tmp_path, work, capsys):
    assert plan(work, folder(tmp_path, dense(bare={"config.json": None})), "--kind", "dense") == 4
    assert "has no config.json" in capsys.readouterr().err
    assert not work.exists()


def test_the_config_of_the_transformers_own_folder_is_the_one_that_counts(tmp_path, work, capsys):
    files = dense()
    files["modules.json"][0]["path"] = "0_Transformer"
    files["0_Transformer/model.safetensors"] = files.pop("model.safetensors")
    assert plan(work, folder(tmp_path, files), "--kind", "dense") == 4
    assert "has no 0_Transformer/config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hidden_size": "32"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"vocab_size": True}, "vocab_size"),
        ({"num_attention_heads": 2.5}, "num_attention_heads"),
        ({"intermediate_size": []}, "intermediate_size"),
        ({"model_type": None}, "model_type"),
        ({"model_type": ["bert"]}, "model_type"),
    ],
)
def test_a_setting_that_no_loader_takes_is_refused_by_plan(tmp_path, work, changed, words, capsys):
    assert plan(work, folder(tmp_path, dense(bare={"config": changed}))) == 4
    err = capsys.readouterr().err
    assert "config.json can't be used" in err
    assert words in err


def test_a_tokenizer_alone_needs_no_config(tmp_path, work):
    files = sparse(**{"config.json": None, "model.safetensors": None})
    assert plan(work, folder(tmp_path, files), "--kind", "sparse-tokenizer") == 0


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (WEIGHTS[:-1], "incomplete"),
        (b"version https://git-lfs.github.com/spec/v1\n", "header would have"),
        (b"\xff" * 100, "header would have"),
        (safetensors(100, "I8"), "I8"),
        (b"", "fewer than any"),
    ],
    ids=["cut", "pointer", "noise", "quantised", "empty"],
)
def test_weights_that_trace_could_not_load_are_refused_by_plan(data, words, tmp_path, work, hub, capsys):
    files = dense(bare={"model.safetensors": data})
    hub.add("acme/tiny", Files(files).files)
    assert plan(work, "acme/tiny") == 4
    assert words in capsys.readouterr().err
    assert plan(work, folder(tmp_path, files)) == 4
    err = capsys.readouterr().err
    assert "model.safetensors can't be used" in err
    assert words in err


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("tensors", [1, 4000])
def test_a_header_of_any_length_is_read_over_http_and_no_more(ranges, tensors, hub, work):
    hub.ranges = ranges
    wide = {
        f"layer.{n:040}.weight": {"dtype": "F16", "shape": [1000], "data_offsets": [2000 * n, 2000 * (n + 1)]}
        for n in range(tensors)
    }
    weights = safetensors(**wide)
    hub.add("acme/tiny", Files(dense(bare={"model.safetensors": weights})).files)
    assert plan(work, "acme/tiny") == 0
    assert planned(work).source.model.weights_dtype == "float16"
    end = 8 + int.from_bytes(weights[:8], "little")
    asked = [f"bytes=0-{min(FIRST_BYTES, len(weights)) - 1}", *([f"bytes=0-{end - 1}"] if end > FIRST_BYTES else [])]
    assert [request.range for request in hub.asked("/store/")] == asked
    assert (tensors == 1) == (end < FIRST_BYTES)


def test_offline_the_header_comes_from_the_cache(hub, work, tmp_path, monkeypatch):
    from huggingface_hub import snapshot_download

    weights = safetensors(1000, "BF16")
    hub.add("acme/tiny", Files(dense(bare={"model.safetensors": weights})).files)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot_download("acme/tiny", endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert plan(work, "acme/tiny") == 0
    assert planned(work).source.model.weights_dtype == "bfloat16"


def test_the_type_of_the_weights_is_theirs_and_not_what_the_config_declares(tmp_path, work, capsys):
    files = dense(bare={"config": {"dtype": "float32"}, "model.safetensors": safetensors(100_000, "F16")})
    assert plan(work, folder(tmp_path, files)) == 0
    made = planned(work)
    assert made.source.model.weights_dtype == "float16"
    assert made.source.model.parameters == 100_000
    assert 400_000 < made.artifacts[0].expected_bytes < 700_000, "the archive holds float32"
    shown = capsys.readouterr()
    assert "stored as float16 and are released as float32" in shown.err
    assert "100,000 parameters, float16" in shown.out


# --- files left aside -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"adapter_model.safetensors": WEIGHTS}, "adapter_model.safetensors"),
        ({"model.fp16.safetensors": WEIGHTS}, "model.fp16.safetensors"),
        (
            {"checkpoint-500/config.json": {}, "checkpoint-500/model.safetensors": WEIGHTS},
            "Another model with weights of its own lies in checkpoint-500",
        ),
        (
            {"other/config.json": {}, "other/pytorch_model.bin": b"pickle"},
            "Another model with weights of its own lies in other",
        ),
    ],
)
def test_weights_that_are_not_released_are_named(tmp_path, work, more, words, capsys):
    assert plan(work, folder(tmp_path, dense(**more))) == 0
    assert words in capsys.readouterr().err
    assert any(words in warning for warning in planned(work).warnings)


def test_copies_for_other_runtimes_are_nothing_to_warn_of(tmp_path, work):
    copies = {
        "pytorch_model.bin": b"pickle", "tf_model.h5": b"h5", "flax_model.msgpack": b"m", "onnx/model.onnx": b"onnx",
        "onnx/config.json": {}, "openvino/openvino_model.bin": b"bin",
    }  # fmt: skip
    assert plan(work, folder(tmp_path, dense(**copies))) == 0
    assert planned(work).warnings == ()


def test_weights_of_a_module_are_released_and_not_warned_of(tmp_path, work):
    files = dense(
        **{
            "2_Dense/config.json": {"in_features": 32, "out_features": 8},
            "2_Dense/model.safetensors": safetensors(10),
        }
    )
    files["modules.json"].insert(
        2, {"idx": 3, "name": "3", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    )
    assert plan(work, folder(tmp_path, files)) == 0
    assert not [warning for warning in planned(work).warnings if "not released" in warning]


# --- token weights ----------------------------------------------------------------------------------------------------

TOKENIZER = {
    "version": "1.0", "truncation": None, "added_tokens": [{"id": 2, "content": "[CLS]"}],
    "model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}},
}  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [{"type": "WordPiece", "vocab": {"a": 0, "b": 1}}, {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]]}],
)
@pytest.mark.parametrize("given", [True, False])
def test_token_weights_outside_the_vocabulary_are_counted_and_named(tmp_path, work, model, given, capsys):
    weights = {"a": 1.0, "[CLS]": 1.0, "zebra": 2.0, "\x1b[2J": 1.0}
    files = sparse(**{"tokenizer.json": {**TOKENIZER, "model": model}, "idf.json": None if given else weights})
    (tmp_path / "idf.json").write_text(json.dumps(weights))
    more = ("--idf", str(tmp_path / "idf.json")) if given else ()
    assert plan(work, folder(tmp_path, files), "--kind", "sparse-tokenizer", *more) == 0
    err = capsys.readouterr().err
    assert "2 of 4 token weights are for tokens outside the vocabulary" in err
    assert "'zebra'" in err
    assert "\x1b[2J" not in err


def test_token_weights_inside_the_vocabulary_are_no_warning(tmp_path, work):
    files = sparse(**{"tokenizer.json": TOKENIZER, "idf.json": {"a": 1.0, "b": 2.0}})
    assert plan(work, folder(tmp_path, files), "--kind", "sparse-tokenizer") == 0
    assert not [warning for warning in planned(work).warnings if "vocabulary" in warning]


def test_a_bare_transformer_with_sound_weights_still_plans(tmp_path, work):
    assert plan(work, folder(tmp_path, bare())) == 0
