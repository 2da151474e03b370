"""What a model is, told from its small files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_files import NEW, OLD, WEIGHTS, Files, bare, dense, module, sparse

from release_tool.core.detect import Detection, detect
from release_tool.core.detect_kind import has_head
from release_tool.core.kinds import Activation, ModelKind, PoolingMode
from release_tool.core.modeljson import MAX_JSON_BYTES
from release_tool.errors import UnsupportedModel


def look(files, tags=()) -> Detection:
    model = Files(files)
    return detect(model.read, model.planned(), tags=tags)


# --- the kind ---------------------------------------------------------------------------------------------------------


def test_a_transformer_with_pooling_is_dense_and_its_modules_say_how():
    found = look(dense())
    assert found.kinds == (ModelKind.DENSE,)
    assert found.model.pooling_mode is PoolingMode.MEAN
    assert found.model.normalize is True
    assert found.model.embedding_dimension == 32
    assert found.model.modules == ("Transformer", "Pooling", "Normalize")
    assert found.model.max_length == 256


def test_dotted_names_of_newer_releases_are_the_same_modules():
    entries = [
        module(0, "base.modules.transformer.Transformer", "", NEW),
        module(1, "sentence_transformer.modules.pooling.Pooling", "1_Pooling", NEW),
    ]
    pooling = {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True}
    found = look(dense(**{"modules.json": entries, "1_Pooling/config.json": pooling}))
    assert found.kinds == (ModelKind.DENSE,)
    assert found.model.pooling_mode is PoolingMode.CLS
    assert found.model.normalize is False


def test_modules_are_read_in_the_order_of_their_index_and_not_of_the_file():
    entries = [module(1, "Pooling", "1_Pooling"), module(0, "Transformer", "")]
    assert look(dense(**{"modules.json": entries})).model.modules == ("Transformer", "Pooling")


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"pooling_mode_cls_token": True}, PoolingMode.CLS),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, PoolingMode.MAX),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, PoolingMode.MEAN_SQRT_LEN),
        ({"pooling_mode_weightedmean_tokens": True}, PoolingMode.WEIGHTED_MEAN),
        ({"pooling_mode_lasttoken": True}, PoolingMode.LAST_TOKEN),
        ({}, PoolingMode.MEAN),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, PoolingMode.MEAN_SQRT_LEN),
        ({"pooling_mode": "weightedmean"}, PoolingMode.WEIGHTED_MEAN),
        ({"pooling_mode": ["lasttoken"]}, PoolingMode.LAST_TOKEN),
        ({"pooling_mode": "max", "pooling_mode_cls_token": True}, PoolingMode.MAX),
    ],
)
def test_every_spelling_of_a_pooling_becomes_the_servers_word(config, mode):
    found = look(dense(**{"1_Pooling/config.json": {"word_embedding_dimension": 32, **config}}))
    assert found.model.pooling_mode is mode


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode": ["cls", "mean"]},
    ],
)
def test_joined_poolings_are_no_mode_of_the_server_and_widen_the_vector(config):
    found = look(dense(**{"1_Pooling/config.json": {"word_embedding_dimension": 32, **config}}))
    assert found.model.pooling_mode is None
    assert found.model.pooling_words == ("cls", "mean")
    assert found.model.embedding_dimension == 64


def test_a_dense_module_decides_the_dimension_and_its_weights_count():
    entries = [module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling"), module(2, "Dense", "2_Dense")]
    files = dense(
        **{
            "modules.json": entries,
            "2_Dense/config.json": {"in_features": 32, "out_features": 16},
            "2_Dense/model.safetensors": b"x" * 100,
        }
    )
    found = look(files)
    assert found.model.dense_module
    assert found.model.embedding_dimension == 16
    assert found.model.weight_bytes == len(WEIGHTS) + 100


def test_a_transformer_in_a_folder_of_its_own_is_found_there():
    files = {f"0_Transformer/{path}": value for path, value in bare().items()}
    files |= {
        "modules.json": [module(0, "Transformer", "0_Transformer"), module(1, "Pooling", "1_Pooling")],
        "1_Pooling/config.json": {"word_embedding_dimension": 32},
        "0_Transformer/sentence_bert_config.json": {"max_seq_length": 100},
    }
    found = look(files)
    assert found.model.transformer_path == "0_Transformer"
    assert found.model.tokenizer_path == "0_Transformer/tokenizer.json"
    assert found.model.max_length == 100
    assert found.model.weight_bytes == len(WEIGHTS)


def test_a_bare_transformer_is_dense_without_a_pooling():
    found = look(bare())
    assert found.kinds == (ModelKind.DENSE,)
    assert found.model.pooling_words is None
    assert found.model.normalize is None


@pytest.mark.parametrize(
    ("architecture", "extra", "kind"),
    [
        ("BertForSequenceClassification", {"id2label": {"0": "LABEL_0"}}, ModelKind.CROSS_ENCODER),
        ("XLMRobertaForSequenceClassification", {"num_labels": 1}, ModelKind.CROSS_ENCODER),
        ("DistilBertForQuestionAnswering", {}, ModelKind.QUESTION_ANSWERING),
        ("TraceableBertTaggerForSentenceExtractionWithBackoff", {"alpha": 0.07}, ModelKind.HIGHLIGHTER),
        ("BertTaggerForSentenceExtractionWithBackoff", {}, ModelKind.HIGHLIGHTER),
    ],
)
def test_the_architecture_tells_the_kind(architecture, extra, kind):
    found = look(bare(config={"architectures": [architecture], **extra}))
    assert found.kinds == (kind,)
    assert architecture in found.reason
    assert found.model.alpha == extra.get("alpha")


def test_a_saved_cross_encoder_is_told_although_it_has_modules():
    entries = [module(0, "base.modules.transformer.Transformer", "", NEW)]
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    found = look({**bare(config=config), "modules.json": entries})
    assert found.kinds == (ModelKind.CROSS_ENCODER,)


def test_a_classifier_of_many_labels_is_no_cross_encoder():
    labels = {str(index): f"LABEL_{index}" for index in range(3)}
    found = look(bare(config={"architectures": ["BertForSequenceClassification"], "id2label": labels}))
    assert found.kinds == ()
    assert "3 labels" in found.reason


def test_a_masked_language_model_alone_may_be_dense_or_sparse_so_it_is_not_told():
    found = look(bare(config={"architectures": ["BertForMaskedLM"]}))
    assert found.kinds == ()
    assert "BertForMaskedLM" in found.reason
    assert "no idf.json" in found.reason


def test_token_weights_or_a_tag_make_a_masked_language_model_sparse():
    assert look(sparse()).kinds == (ModelKind.SPARSE,)
    assert look(sparse(**{"idf.json": None}), tags=("learned sparse",)).kinds == (ModelKind.SPARSE,)
    assert look(sparse(**{"idf.json": None}), tags=("fill-mask",)).kinds == ()


@pytest.mark.parametrize(("word", "activation"), [("relu", Activation.LOG1P), ("log1p_relu", Activation.L0)])
def test_splade_pooling_makes_it_sparse_and_names_the_activation(word, activation):
    entries = [module(0, "MLMTransformer", ""), module(1, "SpladePooling", "1_SpladePooling")]
    files = sparse(
        **{
            "modules.json": entries,
            "1_SpladePooling/config.json": {"pooling_strategy": "max", "activation_function": word},
        }
    )
    found = look(files)
    assert found.kinds == (ModelKind.SPARSE,)
    assert found.model.activation is activation
    assert found.model.pooling_strategy == "max"


def router(idf: str) -> dict:
    config = {"architectures": ["BertForMaskedLM"]}
    files = {f"document_0_MLMTransformer/{path}": value for path, value in bare(config=config).items()}
    types = {
        "query_0_SparseStaticEmbedding": f"{NEW}.sparse_encoder.modules.sparse_static_embedding.SparseStaticEmbedding",
        "document_0_MLMTransformer": f"{NEW}.sparse_encoder.modules.mlm_transformer.MLMTransformer",
        "document_1_SpladePooling": f"{NEW}.sparse_encoder.modules.splade_pooling.SpladePooling",
    }
    structure = {
        "query": ["query_0_SparseStaticEmbedding"],
        "document": ["document_0_MLMTransformer", "document_1_SpladePooling"],
    }
    return files | {
        "modules.json": [module(0, "base.modules.router.Router", "", NEW)],
        "router_config.json": {"types": types, "structure": structure},
        "document_1_SpladePooling/config.json": {"pooling_strategy": "max", "activation_function": "log1p_relu"},
        "query_0_SparseStaticEmbedding/config.json": {"frozen": False},
        idf: b"{}",
    }


def test_a_router_is_followed_to_its_document_route():
    found = look(router("query_0_SparseStaticEmbedding/idf.json"))
    assert found.kinds == (ModelKind.SPARSE,)
    assert found.model.modules == ("MLMTransformer", "SpladePooling")
    assert found.model.transformer_path == "document_0_MLMTransformer"
    assert found.model.activation is Activation.L0
    assert found.model.has_idf
    assert found.model.idf_path == "query_0_SparseStaticEmbedding/idf.json"


def test_token_weights_inside_safetensors_are_not_mistaken_for_an_idf_json():
    found = look(router("query_0_SparseStaticEmbedding/model.safetensors"))
    assert not found.model.has_idf
    assert found.model.idf_path == "query_0_SparseStaticEmbedding/model.safetensors"


def test_a_router_without_document_and_query_is_refused_by_name():
    files = router("idf.json")
    files["router_config.json"] = {"types": {}, "structure": {"image": []}}
    with pytest.raises(UnsupportedModel, match=r"router_config\.json.*image"):
        look(files)


def test_a_tokenizer_with_weights_and_no_model_is_a_sparse_tokenizer():
    files = {"tokenizer.json": {"model": {}}, "idf.json": {"a": 1.0}}
    assert look(files).kinds == (ModelKind.SPARSE_TOKENIZER,)


def test_nothing_known_lists_what_was_seen():
    found = look({"tokenizer.json": {"model": {}}})
    assert found.kinds == ()
    assert "no architecture" in found.reason
    assert "no weights" in found.reason


@pytest.mark.parametrize(
    ("kind", "architecture", "has"),
    [
        (ModelKind.SPARSE, "BertModel", False),
        (ModelKind.SPARSE, "BertForMaskedLM", True),
        (ModelKind.CROSS_ENCODER, "BertForMaskedLM", False),
        (ModelKind.DENSE, "BertForMaskedLM", True),
        (ModelKind.SPARSE, None, True),
    ],
)
def test_a_kind_needs_its_trained_head(kind, architecture, has):
    config = {"architectures": [architecture] if architecture else None}
    assert has_head(kind, look(bare(config=config)).model) is has


# --- lengths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "own", "used"),
    [
        (bare(**{"tokenizer_config.json": {"model_max_length": 1e30}}), 512, 512),
        (bare(**{"tokenizer_config.json": {"model_max_length": int(1e30)}}), 512, 512),
        (bare(**{"tokenizer_config.json": {"model_max_length": 128}}), 128, 128),
        (bare(config={"max_position_embeddings": 8192}, **{"tokenizer_config.json": None}), 8192, 512),
        (bare(config={"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}), 512, 512),
        (bare(config={"model_type": "mpnet", "max_position_embeddings": 130, "pad_token_id": 1}), 128, 128),
        (bare(config={"model_type": "roberta", "max_position_embeddings": 66, "pad_token_id": None}), 64, 64),
        (bare(config={"max_position_embeddings": -1}, **{"tokenizer_config.json": None}), None, None),
        (dense(**{"sentence_bert_config.json": {"max_seq_length": 1000}}), 512, 512),
        (dense(**{"sentence_bert_config.json": {"max_seq_length": None}}), 512, 512),
        (dense(**{"sentence_bert_config.json": None, "sentence_roberta_config.json": {"max_seq_length": 75}}), 75, 75),
        (bare(**{"sentence_bert_config.json": {"max_seq_length": 7}}), 512, 512),
    ],
)
def test_the_length_limit_is_the_least_that_holds(files, own, used):
    found = look(files)
    assert (found.model.own_max_length, found.model.max_length) == (own, used)


def test_the_tokenizers_own_truncation_counts_only_where_nothing_else_speaks():
    tokenizer = {"truncation": {"max_length": 99}, "model": {}}
    assert look(bare(**{"tokenizer.json": tokenizer})).model.max_length == 512
    silent = bare(
        config={"max_position_embeddings": None}, **{"tokenizer.json": tokenizer, "tokenizer_config.json": None}
    )
    assert look(silent).model.max_length == 99


# --- prompts, types, tokenizers, weights ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompts", "query", "passage"),
    [
        ({"query": "query: ", "passage": "passage: "}, "query: ", "passage: "),
        ({"query": "", "document": ""}, None, None),
        ({"query": "q ", "document": "d ", "passage": "p "}, "q ", "d "),
        ({"query": None, "corpus": "c "}, None, "c "),
        ({"STS": "x"}, None, None),
    ],
)
def test_only_prompts_with_words_in_them_are_prefixes(prompts, query, passage):
    found = look(dense(**{"config_sentence_transformers.json": {"prompts": prompts}}))
    assert (found.model.query_prefix, found.model.passage_prefix) == (query, passage)


def test_a_default_prompt_is_recorded_when_it_is_not_empty():
    data = {"prompts": {"sts": "same: ", "query": ""}, "default_prompt_name": "sts"}
    assert look(dense(**{"config_sentence_transformers.json": data})).model.default_prompt == "same: "
    data["default_prompt_name"] = "query"
    assert look(dense(**{"config_sentence_transformers.json": data})).model.default_prompt is None


@pytest.mark.parametrize(
    ("key", "value"), [("torch_dtype", "float16"), ("dtype", "bfloat16"), ("dtype", "torch.float32")]
)
def test_the_declared_type_is_read_in_both_spellings(key, value):
    assert look(bare(config={key: value})).model.weights_dtype == value.removeprefix("torch.")


def test_a_slow_tokenizer_is_named_by_its_files():
    found = look(bare(**{"tokenizer.json": None, "vocab.json": {}, "merges.txt": "#"}))
    assert not found.model.has_tokenizer_json
    assert found.model.tokenizer_sources == ("vocab.json", "merges.txt")
    assert look(bare(**{"tokenizer.json": None})).model.tokenizer_sources is None


def test_shards_are_summed_and_a_single_file_wins_over_them():
    shards = {f"model-0000{part}-of-00002.safetensors": b"x" * part * 10 for part in (1, 2)}
    assert look(bare(**{"model.safetensors": None, **shards})).model.weight_bytes == 30
    assert look(bare(**shards)).model.weight_bytes == len(WEIGHTS)


def test_other_variants_of_the_weights_do_not_count():
    found = look(bare(**{"model.fp16.safetensors": b"x" * 50, "onnx/model.onnx": b"x" * 50}))
    assert found.model.weight_bytes == len(WEIGHTS)


# --- hostile files ----------------------------------------------------------------------------------------------------

HOSTILE = [
    ("config.json", b'{"model_type": "bert", "model_type": "albert"}', "given twice"),
    ("config.json", b"\xef\xbb\xbf{}", "byte order mark"),
    ("config.json", b"{\xff}", "UTF-8"),
    ("config.json", b"[1, 2]", "expected an object"),
    ("config.json", b"{" * 200_000, "nested too deeply|not JSON"),
    ("config.json", b"[" * 200_000, "nested too deeply|not JSON"),
    ("config.json", b'{"hidden_size": ' + b"9" * 5000 + b"}", "not JSON"),
    ("config.json", b'{"alpha": NaN}', "NaN is no JSON number"),
    ("config.json", b'{"alpha": 1e999}', "1e999 is no JSON number"),
    ("config.json", b'{"architectures": "BertModel"}', "architectures"),
    ("config.json", b'{"architectures": ["\\u001b[2JBertModel"]}', "expected a name"),
    ("config.json", b'{"model_type": "bert\\nx"}', "model_type"),
    ("config.json", b'{"model_type": "\\ud800"}', "UTF-8"),
    ("config.json", b'{"model_type": "bert", "max_position_embeddings": "many"}', "max_position_embeddings"),
    ("config.json", b'{"max_position_embeddings": 2, "model_type": "roberta"}', "leaves no position"),
    ("config.json", b'{"architectures": ["BertForSequenceClassification"], "id2label": [1]}', "id2label"),
    ("config.json", b" " * (MAX_JSON_BYTES + 1), "bytes, more than"),
    ("modules.json", b"{}", "list of modules"),
    ("modules.json", b"[]", "list of modules"),
    ("modules.json", b'[{"idx": 0, "path": ""}]', "no type"),
    ("modules.json", b'[{"idx": "x", "path": "", "type": "a.Transformer"}]', "idx"),
    ("modules.json", b'[{"idx": 0, "path": "../../etc", "type": "a.Transformer"}]', "outside the model"),
    ("1_Pooling/config.json", b'{"pooling_mode": "median"}', "median"),
    ("1_Pooling/config.json", b'{"pooling_mode_cls_token": "yes"}', "true or false"),
    ("1_Pooling/config.json", b'{"word_embedding_dimension": 3.5}', "whole number"),
    ("config_sentence_transformers.json", b'{"prompts": ["query: "]}', "prompts"),
    ("config_sentence_transformers.json", b'{"prompts": {"query": 7}}', "prompts"),
    ("sentence_bert_config.json", b'{"max_seq_length": true}', "max_seq_length"),
    ("tokenizer_config.json", b'{"model_max_length": []}', "model_max_length"),
]


@pytest.mark.parametrize(("path", "data", "problem"), HOSTILE, ids=[f"{p}-{i}" for i, (p, *_) in enumerate(HOSTILE)])
def test_a_file_that_is_not_what_it_must_be_is_named(path, data, problem):
    files = dense(**{path: data})
    if path == "tokenizer_config.json":
        files["sentence_bert_config.json"] = None
    with pytest.raises(UnsupportedModel, match=problem) as caught:
        look(files)
    assert path in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_missing_pooling_config_is_named():
    with pytest.raises(UnsupportedModel, match=r"1_Pooling/config\.json"):
        look(dense(**{"1_Pooling/config.json": None}))


def test_a_million_keys_with_one_given_twice_are_refused_in_time():
    keys = ",".join(f'"k{index}":0' for index in range(300_000))
    with pytest.raises(UnsupportedModel, match="given twice"):
        look(bare(**{"config.json": f'{{{keys},"k299999":1}}'.encode()}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["architectures", "model_type", "dtype", "alpha", "id2label", "hidden_size", "pooling_mode", "prompts", "type",
     "path", "idx", "max_seq_length", "word_embedding_dimension", "structure", "types", "default_prompt_name"]
)  # fmt: skip
FILES = st.sampled_from(
    ["config.json", "modules.json", "1_Pooling/config.json", "config_sentence_transformers.json",
     "sentence_bert_config.json", "tokenizer_config.json", "router_config.json"]
)  # fmt: skip


def told_or_named(files):
    """Tell whether a model was read, or refused with the name of a file."""
    try:
        return look(files).reason
    except UnsupportedModel as error:
        return "The model's" in str(error)


@given(file=FILES, data=st.binary(max_size=40) | st.dictionaries(KEYS, JSON, max_size=4) | JSON)
def test_no_content_of_a_file_ends_in_anything_but_the_named_error(file, data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    assert told_or_named(dense(**{file: raw}))


@given(entries=st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=3))
def test_no_list_of_modules_ends_in_anything_but_the_named_error(entries):
    for entry in entries:
        entry.setdefault("type", f"{OLD}.Router")
    assert told_or_named(dense(**{"modules.json": entries}))
