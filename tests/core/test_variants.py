"""Which variants a plan makes, by what was asked for and what the model is, and under which names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_files import bare, dense, sparse
from planned import CROSS, HIGHLIGHTS, LAST, faults, fields, ids, left, plan, seen

from release_tool.core.codec import decode, decode_text, encode, encode_text
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.naming import derived_key
from release_tool.core.plan import ReleasePlan, RemoteCode
from release_tool.core.variant_choice import FUSABLE, reason
from release_tool.core.variants import FROZEN, Variant

TOKENIZER = {"tokenizer.json": {}, "idf.json": {"a": 1}}
CUSTOM = RemoteCode(repo="acme/tiny", revision="e" * 40, path="modeling.py", digest="sha256:" + "1" * 64)


def variants(made: ReleasePlan) -> dict[str, str]:
    return {artifact.id: artifact.variant for artifact in made.artifacts}


@pytest.mark.parametrize("files", [dense(), bare(), sparse(), CROSS])
def test_the_default_is_the_fastest_at_float32_parity(files):
    assert variants(plan(files)) == {"torch_script": "eager", "onnx": "fused"}
    assert variants(plan(files, target_versions=("3.6",)))["torch_script"] == "sdpa"


@pytest.mark.parametrize("model_type", ["t5", "mpnet", None])
def test_what_was_never_seen_fused_stays_plain_and_the_plan_says_why(model_type):
    assert model_type not in FUSABLE
    made = plan(dense(), facts=seen(dense(), model_type=model_type))
    assert variants(made)["onnx"] == "fp32"
    assert any("not fused" in warning for warning in made.warnings)
    asked = plan(dense(), facts=seen(dense(), model_type=model_type), variants=(Variant.FP32,))
    assert not any("not fused" in warning for warning in asked.warnings), "as asked is no surprise"


def test_a_model_with_code_of_its_own_is_not_fused():
    facts = replace(seen(dense()), remote_code=(CUSTOM,))
    made = plan(dense(), facts=facts, trust_remote_code=True)
    assert variants(made)["onnx"] == "fp32"


def test_int8_is_a_model_of_its_own_name():
    made = plan(dense(), variants=(Variant.FUSED, Variant.INT8))
    assert variants(made) == {"torch_script": "eager", "onnx": "fused", "onnx-int8": "int8"}
    int8, fused = made.artifact("onnx-int8"), made.artifact("onnx")
    assert int8.model_name == fused.model_name + "-int8"
    assert int8.registered_name == "huggingface/acme/tiny-int8"
    assert int8.file_name == "acme_tiny-int8-1.0.0-onnx.zip"
    assert int8.key == derived_key(int8.registered_name, "1.0.0", Format.ONNX)
    assert int8.key != fused.key
    assert int8.expected_bytes < fused.expected_bytes


def test_no_other_model_takes_the_name_of_an_int8_release():
    (fault,) = faults(dense(), name="tiny-int8")
    assert fault.field == "--name"
    assert "'tiny'" in fault.problem


def test_what_is_not_asked_for_is_left_out_by_name():
    made = plan(dense(), variants=(Variant.INT8,))
    assert ids(made) == ["torch_script", "onnx-int8"]
    assert left(made)["onnx"] == "not asked for (--variant)"


def test_a_tokenizer_goes_with_the_int8_encoder():
    both = (ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER)
    made = plan(sparse(), kinds=both, variants=(Variant.INT8,))
    assert variants(made)["tokenizer"] == "fp32"
    assert made.artifact("tokenizer").model_name == "tiny-tokenizer"


@pytest.mark.parametrize(
    ("files", "over", "words"),
    [
        (dense(), {"variants": (Variant.FP32, Variant.FUSED)}, ["same model"]),
        (HIGHLIGHTS, {"variants": (Variant.INT8,)}, ["can't be made of ONNX: ML Commons serves"]),
        (LAST, {"variants": (Variant.INT8,)}, ["can't be made of ONNX: pooling last_token"]),
        (dense(), {"variants": (Variant.INT8,), "formats": (Format.TORCH_SCRIPT,)}, ["not asked for (--format)"]),
        (TOKENIZER, {"variants": (Variant.INT8,)}, ["can't be made of ONNX"]),
        (dense(), {"cpu_only": True, "formats": (Format.ONNX,)}, ["no model is traced"]),
        (TOKENIZER, {"cpu_only": True}, ["no model is traced"]),
        (
            TOKENIZER,
            {"cpu_only": True, "variants": (Variant.FUSED,)},
            ["fused can't be made", "of ONNX", "no model is"],
        ),
    ],
)
def test_a_variant_that_can_not_be_is_a_fault_with_its_reason_and_all_come_at_once(files, over, words):
    found = [fault for fault in faults(files, **over) if fault.field in ("--variant", "--cpu-only")]
    assert len(found) == len(words)
    assert all(word in fault.problem for word, fault in zip(words, found, strict=True))


def test_asking_for_fusion_where_it_is_not_proven_is_a_fault():
    (fault,) = faults(dense(), facts=seen(dense(), model_type="t5"), variants=(Variant.FUSED,))
    assert fault.field == "--variant"
    assert "t5" in fault.problem


def test_a_name_must_have_room_for_the_suffix():
    assert fields(faults(dense(), name="a" * 95, variants=(Variant.INT8,))) == ["--name"]
    assert ids(plan(dense(), name="a" * 95)) == ["torch_script", "onnx"]


@pytest.mark.parametrize(("targets", "variant"), [(("2.19",), "eager-frozen"), (("3.6",), "sdpa-frozen")])
def test_cpu_only_freezes_torch_script_and_says_so(targets, variant):
    made = plan(dense(), cpu_only=True, target_versions=targets)
    assert variants(made) == {"torch_script": variant, "onnx": "fused"}
    assert made.artifact("torch_script").variant in FROZEN
    assert any("GPU" in warning for warning in made.warnings)


def test_a_plan_with_variants_reads_back_and_one_from_before_does_too():
    made = plan(dense(), variants=(Variant.INT8,), cpu_only=True)
    assert decode_text(ReleasePlan, encode_text(made)) == made
    older = encode(plan(dense()))
    for name in ("variants", "cpu_only"):
        del older["request"][name]
    for name in ("int8_cosine", "int8_norm", "int8_logit"):
        del older["tolerances"][name]
    for artifact in older["artifacts"]:
        artifact["variant"] = "fp32"
    assert decode(ReleasePlan, older).request.variants is None


def test_a_tokenizer_is_not_said_to_be_fp32_by_request():
    kinds = (ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER)
    made = plan(sparse(**TOKENIZER), kinds=kinds, variants=(Variant.FP32,))
    assert reason(made.artifact("onnx"), made) == "asked for"
    assert reason(made.artifact("tokenizer"), made) == "there is no other"
