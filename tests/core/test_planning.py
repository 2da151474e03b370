"""A plan is everything decided and named, or every reason why it can't be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import COMMIT, sha
from hypothesis import given
from hypothesis import strategies as st
from model_files import bare, dense, module, sparse
from planned import (
    CROSS,
    HIGHLIGHTS,
    JOINED,
    LAST,
    MAXIMUM,
    QUESTIONS,
    WITH_DENSE,
    faults,
    fields,
    ids,
    left,
    plan,
    seen,
)

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.descriptions import DEFAULT_DESCRIPTIONS
from release_tool.core.escape import server_text
from release_tool.core.kinds import (
    MAX_ARCHIVE_BYTES,
    MAX_ONNX_BYTES,
    Activation,
    Format,
    Framework,
    ModelKind,
    PoolingMode,
)
from release_tool.core.naming import derived_key
from release_tool.core.opensearch import KNOWN_VERSIONS, number
from release_tool.core.plan import ReleasePlan, RemoteCode
from release_tool.core.serving import INTRODUCED
from release_tool.errors import RequestError

NAME_OF = {"--kind": ModelKind}

# --- what is made -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "made"),
    [
        (dense(), ["torch_script", "onnx"]),
        (bare(), ["torch_script", "onnx"]),
        (sparse(), ["torch_script", "onnx"]),
        (CROSS, ["torch_script", "onnx"]),
        (QUESTIONS, ["torch_script"]),
        (HIGHLIGHTS, ["torch_script"]),
        ({"tokenizer.json": {}, "idf.json": {"a": 1}}, ["tokenizer"]),
    ],
)
def test_every_format_that_kind_and_model_allow_is_made(files, made):
    assert ids(plan(files)) == made


@pytest.mark.parametrize("files", [QUESTIONS, HIGHLIGHTS, WITH_DENSE, JOINED, LAST, MAXIMUM])
def test_what_is_left_out_is_named_with_its_reason(files):
    made = plan(files)
    assert ids(made) == ["torch_script"]
    assert len(left(made)["onnx"]) > 20


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (WITH_DENSE, "Dense"),
        (JOINED, "cls and mean"),
        (LAST, "2.19"),
        (MAXIMUM, "1 or -1"),
        (QUESTIONS, "torch_script"),
    ],
)
def test_an_impossible_format_asked_for_by_name_is_a_fault_with_the_reason(files, word):
    kinds = seen(files).kinds
    (fault,) = faults(files, formats=(Format.ONNX,), **({"kinds": kinds} if files is QUESTIONS else {}))
    assert fault.field == "--format"
    assert word in fault.problem + fault.hint


def test_last_token_pooling_has_onnx_where_every_target_serves_it():
    assert ids(plan(LAST, target_versions=("3.6", "3.7"))) == ["torch_script", "onnx"]


def test_pooling_max_has_onnx_when_nothing_is_normalised():
    entries = [module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling")]
    assert ids(plan({**MAXIMUM, "modules.json": entries})) == ["torch_script", "onnx"]


def test_a_model_too_large_for_one_onnx_file_has_torchscript_only():
    facts = seen(dense(), weight_bytes=MAX_ONNX_BYTES + 1)
    made = plan(dense(), facts=facts)
    assert ids(made) == ["torch_script"]
    assert f"{MAX_ONNX_BYTES:,}" in left(made)["onnx"]


def test_half_precision_counts_double():
    facts = seen(dense(), weight_bytes=MAX_ONNX_BYTES // 2 + 1, weights_dtype="float16")
    made = plan(dense(), facts=facts)
    assert ids(made) == ["torch_script"]
    assert made.artifacts[0].expected_bytes > MAX_ONNX_BYTES


def test_a_model_that_no_server_takes_is_refused_with_its_size():
    facts = seen(dense(), weight_bytes=MAX_ARCHIVE_BYTES)
    (fault,) = faults(dense(), facts=facts)
    assert fault.field == "MODEL"
    assert f"{MAX_ARCHIVE_BYTES:,}" in fault.problem


def test_one_format_asked_for_leaves_the_other_out():
    made = plan(dense(), formats=(Format.ONNX,))
    assert ids(made) == ["onnx"]
    assert "not asked for" in left(made)["torch_script"]


def test_an_encoder_and_its_tokenizer_are_released_together_under_two_names():
    made = plan(sparse(), kinds=(ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER))
    assert ids(made) == ["torch_script", "onnx", "tokenizer"]
    assert [artifact.model_name for artifact in made.artifacts] == ["tiny", "tiny", "tiny-tokenizer"]
    assert made.artifact("tokenizer").file_name == "acme_tiny-tokenizer-1.0.0-torch_script.zip"
    assert made.artifact("tokenizer").expected_bytes < made.artifact("onnx").expected_bytes


def test_a_tokenizer_alone_keeps_its_name():
    made = plan(sparse(), kinds=(ModelKind.SPARSE_TOKENIZER,), name="shared-tokenizer")
    assert [artifact.model_name for artifact in made.artifacts] == ["shared-tokenizer"]
    assert made.left_out == ()


def test_an_encoder_that_brings_token_weights_says_how_to_release_them():
    assert "--kind sparse-tokenizer" in left(plan(sparse()))["tokenizer"]


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_default_to_the_model_and_can_be_given():
    made = plan(dense())
    assert made.artifacts[0].registered_name == "huggingface/acme/tiny"
    assert made.prefix == "acme"
    given_ = plan(dense(), model_source="amazon", prefix="p", name="n", version="2.0")
    assert given_.artifacts[1].key == "ml-models/amazon/p/n/2.0/onnx/p_n-2.0-onnx.zip"


def test_a_folder_is_local():
    facts = seen(dense(), origin="folder", model_id="local/my-model")
    assert plan(dense(), facts=facts).artifacts[0].registered_name == "huggingface/local/my-model"


def test_a_name_that_can_not_stand_in_a_key_asks_for_another():
    facts = seen(dense(), origin="folder", model_id="local/.odd")
    assert fields(faults(dense(), facts=facts)) == ["--name"]


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(source=NAMES, prefix=NAMES, name=NAMES, version=st.sampled_from(["1", "1.0", "10.2.3.4"]))
def test_keys_are_unique_and_derived_whatever_the_names(source, prefix, name, version):
    made = plan(
        sparse(),
        kinds=(ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER),
        model_source=source,
        prefix=prefix,
        name=name,
        version=version,
    )
    keys = [key for artifact in made.artifacts for key in (artifact.key, artifact.config_key)]
    assert len(set(keys)) == len(keys)
    for artifact in made.artifacts:
        assert artifact.key == derived_key(artifact.registered_name, version, artifact.format)


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "attention"),
    [(("2.19", "3.6"), "eager"), (("3.0",), "sdpa"), (("3.6", "3.9"), "sdpa"), (("2.4",), "eager")],
)
def test_attention_follows_the_oldest_target(targets, attention):
    assert plan(dense(), target_versions=targets).attention == attention


def test_a_target_older_than_the_kind_is_dropped_with_a_warning_and_no_longer_decides():
    made = plan(HIGHLIGHTS)
    assert made.target_versions == ("3.6",)
    assert made.attention == "sdpa"
    assert any("2.19" in warning and "3.0" in warning for warning in made.warnings)
    assert made.request.target_versions == ("2.19", "3.6")


def test_no_target_that_can_serve_the_kind_is_a_fault():
    assert "--target-versions" in fields(faults(HIGHLIGHTS, target_versions=("2.19",)))
    assert "--target-versions" in fields(faults(sparse(), target_versions=("2.10",)))


def test_onnx_is_left_out_where_no_target_knows_it():
    made = plan(dense(), target_versions=("2.4",))
    assert ids(made) == ["torch_script"]
    assert "2.5" in left(made)["onnx"]


def test_sparse_onnx_says_where_it_was_not_measured():
    assert any("measured" in warning and "2.19" in warning for warning in plan(sparse()).warnings)
    assert not any("measured" in warning for warning in plan(sparse(), target_versions=("3.6",)).warnings)


@given(st.lists(st.sampled_from(KNOWN_VERSIONS), min_size=1, max_size=5), st.sampled_from([dense(), sparse(), CROSS]))
def test_targets_of_a_plan_are_those_of_the_request_that_serve_the_kind_in_order(targets, files):
    (kind,) = seen(files).kinds
    able = sorted({v for v in targets if number(v) >= number(INTRODUCED[kind])}, key=number)
    if not able:
        assert "--target-versions" in fields(faults(files, target_versions=tuple(targets)))
    else:
        assert list(plan(files, target_versions=tuple(targets)).target_versions) == able


# --- assertions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "over", "field"),
    [
        (dense(), {"embedding_dimension": 384}, "--embedding-dimension"),
        (dense(), {"pooling_mode": PoolingMode.CLS}, "--pooling-mode"),
        (dense(), {"normalize_result": False}, "--normalize-result"),
        (JOINED, {"pooling_mode": PoolingMode.MEAN}, "--pooling-mode"),
        (bare(), {"embedding_dimension": 31}, "--embedding-dimension"),
        (bare(), {"pooling_mode": PoolingMode.NONE}, "--pooling-mode"),
        (WITH_DENSE, {"framework": Framework.HUGGINGFACE_TRANSFORMERS}, "--framework"),
        (LAST, {"framework": Framework.HUGGINGFACE_TRANSFORMERS}, "--framework"),
        (bare(), {"kinds": (ModelKind.SPARSE,)}, "--kind"),
        (dense(), {"kinds": (ModelKind.CROSS_ENCODER,)}, "--kind"),
        (CROSS, {"kinds": (ModelKind.QUESTION_ANSWERING,)}, "--kind"),
        (sparse(), {"pooling_mode": PoolingMode.CLS}, "--pooling-mode"),
        (dense(), {"prune_ratio": 0.1}, "--prune-ratio"),
        (dense(), {"accept_licence": "mit"}, "--accept-licence"),
    ],
)
def test_a_wrong_assertion_is_a_fault_of_its_flag(files, over, field):
    assert fields(faults(files, **over)) == [field]


@pytest.mark.parametrize(
    "over",
    [
        {"embedding_dimension": 32, "pooling_mode": PoolingMode.MEAN, "normalize_result": True},
        {"framework": Framework.HUGGINGFACE_TRANSFORMERS},
        {"accept_licence": "Apache-2.0"},
    ],
)
def test_a_right_assertion_changes_nothing_about_the_decisions(over):
    made, without = plan(dense(), **over), plan(dense())
    assert (made.pooling_mode, made.normalize_result, ids(made)) == (PoolingMode.MEAN, True, ids(without))


def test_pooling_of_a_bare_transformer_is_what_was_asked_for():
    made = plan(bare(), pooling_mode=PoolingMode.CLS, normalize_result=True)
    assert (made.pooling_mode, made.normalize_result) == (PoolingMode.CLS, True)
    default = plan(bare())
    assert (default.pooling_mode, default.normalize_result) == (PoolingMode.MEAN, False)
    assert any("no pooling of its own" in warning for warning in default.warnings)


def test_a_sparse_model_that_sums_its_tokens_is_refused():
    files = sparse(
        **{
            "modules.json": [module(0, "MLMTransformer", ""), module(1, "SpladePooling", "1_S")],
            "1_S/config.json": {"pooling_strategy": "sum"},
        }
    )
    assert fields(faults(files)) == ["MODEL"]


def test_the_activation_is_the_models_unless_asked_and_an_assertion_where_it_has_one():
    files = sparse(
        **{
            "modules.json": [module(0, "MLMTransformer", ""), module(1, "SpladePooling", "1_S")],
            "1_S/config.json": {"activation_function": "log1p_relu"},
        }
    )
    assert plan(files).activation == "l0"
    assert plan(sparse()).activation == "log1p"
    assert plan(sparse(), activation=Activation.L0).activation == "l0"
    assert fields(faults(files, activation=Activation.LOG1P)) == ["--activation"]


def test_token_weights_in_safetensors_need_no_file_and_give_way_to_one():
    facts = seen(sparse(), has_idf=False, idf_path="query/model.safetensors")
    over = {"kinds": (ModelKind.SPARSE_TOKENIZER,)}
    assert not any("weight 1" in line for line in plan(sparse(), facts=facts, **over).warnings)
    assert plan(sparse(), facts=facts, idf=sha("1"), **over)


def test_a_cross_encoder_has_one_score():
    files = bare(config={"architectures": ["BertForSequenceClassification"], "num_labels": 3})
    assert fields(faults(files, kinds=(ModelKind.CROSS_ENCODER,))) == ["--kind"]


def test_prompts_that_the_pooling_leaves_out_can_not_be_served():
    pooling = {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": False}
    prompts = {"prompts": {"query": "q: "}}
    files = dense(**{"1_Pooling/config.json": pooling, "config_sentence_transformers.json": prompts})
    assert fields(faults(files)) == ["MODEL"]
    assert plan({**files, "config_sentence_transformers.json": {"prompts": {"query": ""}}})


def test_a_model_without_tokenizer_or_weights_is_refused():
    assert fields(faults(bare(**{"tokenizer.json": None}))) == ["MODEL"]
    assert fields(faults(bare(**{"model.safetensors": None}))) == ["MODEL"]
    assert plan(bare(**{"tokenizer.json": None, "vocab.txt": "a"})).warnings


def test_modules_that_no_archive_can_hold_are_named():
    entries = [module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling"), module(2, "LSTM", "2_LSTM")]
    (fault,) = faults(dense(**{"modules.json": entries}))
    assert "LSTM" in fault.problem


def test_a_kind_that_can_not_be_told_lists_what_was_seen_and_the_kinds():
    (fault,) = faults(bare(config={"architectures": ["BertForMaskedLM"]}))
    assert fault.field == "--kind"
    assert "BertForMaskedLM" in fault.problem
    assert all(kind.value in fault.hint for kind in ModelKind)


FAULTY = {
    "--version": {"version": "v1"},
    "--name": {"name": "a/b"},
    "--embedding-dimension": {"embedding_dimension": 5},
    "--pooling-mode": {"pooling_mode": PoolingMode.CLS},
    "--normalize-result": {"normalize_result": False},
    "--accept-licence": {"accept_licence": "mit"},
    "--target-versions": {"target_versions": ("2.19", "7.0")},
    "--prune-ratio": {"prune_ratio": 0.5},
    "--model-init-kwargs": {"model_init_kwargs": {"token": "x"}},
}


@given(st.sets(st.sampled_from(sorted(FAULTY))))
def test_every_fault_of_a_request_is_listed_once(flags):
    over = {key: value for flag in flags for key, value in FAULTY[flag].items()}
    if not flags:
        assert plan(dense(), **over)
        return
    found = faults(dense(), **over)
    assert set(fields(found)) == flags
    assert len(set(found)) == len(found)
    assert all(str(fault) in str(RequestError(found)) for fault in found)


# --- texts ------------------------------------------------------------------------------------------------------------


def test_the_description_is_normalised_and_the_original_is_kept():
    made = plan(dense())
    assert made.description == "It maps sentences and paragraphs to a vector. More."
    assert made.source.description == "It maps sentences & paragraphs to a vector. More."
    asked = plan(dense(), description="A & B; <script>")
    assert asked.description == "A and B script"
    assert asked.request.description == "A & B; <script>"


@pytest.mark.parametrize("kind", list(ModelKind))
def test_the_default_description_passes_the_server(kind):
    assert server_text(DEFAULT_DESCRIPTIONS[kind]) == DEFAULT_DESCRIPTIONS[kind]


def test_a_description_of_which_nothing_is_left_gives_way_to_the_default():
    assert plan(bare(), description="<<<>>>").description == DEFAULT_DESCRIPTIONS[ModelKind.DENSE]


# --- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "over", "words"),
    [
        (dense(**{"README.md": None}), {}, "read; publish will refuse it: plan again with --accept-licence NAME"),
        (dense(**{"README.md": "---\nlicense: gpl-3.0\n---\n"}), {}, "open licences; publish will refuse it: plan"),
        (dense(**{"README.md": "---\nlicense: gpl-3.0\n---\n"}), {"accept_licence": "gpl-3.0"}, "was accepted"),
        (bare(config={"dtype": "float16"}), {}, "float16"),
        (bare(config={"dtype": "bfloat16"}), {}, "bfloat16"),
        (
            bare(config={"max_position_embeddings": 8192}, **{"tokenizer_config.json": None}),
            {},
            "itself takes 8192",
        ),
        (bare(config={"max_position_embeddings": None}, **{"tokenizer_config.json": None}), {}, "names no length"),
        (sparse(**{"idf.json": None}), {"kinds": (ModelKind.SPARSE_TOKENIZER,)}, "weight 1"),
        (
            dense(**{"config_sentence_transformers.json": {"prompts": {"query": "q: "}}}),
            {"target_versions": ("2.12", "3.6")},
            "2.12",
        ),
        (
            dense(**{"config_sentence_transformers.json": {"prompts": {"x": "y: "}, "default_prompt_name": "x"}}),
            {},
            "by default",
        ),
        (sparse(**{"config_sentence_transformers.json": {"prompts": {"query": "q: "}}}), {}, "dense models only"),
        (bare(**{"model.safetensors": None, "pytorch_model.bin": b"x"}), {"allow_pickle": True}, "pickle"),
    ],
)  # fmt: skip
def test_what_an_approver_should_know_is_a_warning(files, over, words):
    assert any(words in warning for warning in plan(files, **over).warnings)


def test_code_of_the_model_is_a_warning_that_names_its_repositories():
    code = RemoteCode(repo="acme/impl", revision=COMMIT, path="modeling.py", digest="git-sha1:" + "0" * 40)
    facts = replace(seen(dense()), remote_code=(code,))
    assert any("acme/impl" in warning for warning in plan(dense(), facts=facts, trust_remote_code=True).warnings)


def test_an_ordinary_model_has_no_warnings():
    assert plan(dense()).warnings == ()


# --- the document -----------------------------------------------------------------------------------------------------


def test_a_plan_survives_its_own_file():
    made = plan(sparse(), kinds=(ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER), lineage={"recipe": {"loss": "x"}})
    assert decode_text(ReleasePlan, encode_text(made)) == made
    assert made.lineage == {"recipe": {"loss": "x"}}


def test_the_same_request_and_source_make_the_same_bytes():
    assert encode_text(plan(dense())) == encode_text(plan(dense()))


def test_the_first_release_leaves_room_for_later_ones():
    made = plan(dense())
    assert (made.lineage, made.replaces, made.budgets) == (None, None, None)
    assert {artifact.variant for artifact in made.artifacts} == {"eager", "fused"}
