from __future__ import annotations

import json

import pytest
from toys import config

from release_tool.emulator.config import read_config
from release_tool.emulator.faults import Refused

NOW = (3, 6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"framework_type": "sentence-transformers"}, "Wrong framework type"),
        ({"framework_type": None}, "framework type is null"),
        ({"pooling_mode": "weightedmean"}, "Wrong pooling method"),
        ({"pooling_mode": "lasttoken"}, "Wrong pooling method"),
        ({"model_type": None}, "model type is null"),
        ({"embedding_dimension": None}, "embedding dimension is null"),
        ({"all_config": '{"space_type": 1}', "additional_config": {"space_type": "l2"}}, "Duplicate keys found"),
    ],
)
def test_a_register_request_is_refused_in_the_servers_words(tmp_path, changes, says):
    path = config(tmp_path / "c.json", "TEXT_EMBEDDING", "ONNX", **changes)
    with pytest.raises(Refused) as caught:
        read_config(path, NOW)
    assert says in str(caught.value)


def test_dense_models_need_a_model_config_and_sparse_ones_do_not(tmp_path):
    with pytest.raises(Refused, match="model config is null"):
        read_config(config(tmp_path / "a.json", "TEXT_EMBEDDING", "ONNX", model_config=None), NOW)
    assert read_config(config(tmp_path / "b.json", "SPARSE_ENCODING", "ONNX"), NOW).kind == "sparse"


def test_a_sparse_model_with_a_model_config_deploys_only_before_3_1(tmp_path):
    path = config(tmp_path / "c.json", "SPARSE_ENCODING", "TORCH_SCRIPT", model_type="bert")
    assert read_config(path, (2, 19)).kind == "sparse"
    with pytest.raises(Refused, match="cannot be cast"):
        read_config(path, NOW)


def test_function_name_must_stand_before_model_config(tmp_path):
    path = config(tmp_path / "c.json", "TEXT_EMBEDDING", "ONNX", model_type="bert")
    data = json.loads(path.read_text())
    data["function_name"] = data.pop("function_name")
    path.write_text(json.dumps(data))
    with pytest.raises(Refused, match="embedding dimension is null"):
        read_config(path, NOW)
    assert read_config(path, (2, 19)).kind == "dense"


def test_the_model_type_makes_question_answering_a_highlighter(tmp_path):
    path = config(tmp_path / "c.json", "QUESTION_ANSWERING", "TORCH_SCRIPT", model_type="Sentence_Highlighting")
    assert read_config(path, NOW).kind == "highlighter"


@pytest.mark.parametrize(("model_type", "wanted"), [("bert", True), ("ALBERT", True), ("BertModel", False)])
def test_only_bert_and_albert_are_fed_token_types(tmp_path, model_type, wanted):
    path = config(tmp_path / "c.json", "TEXT_EMBEDDING", "ONNX", model_type=model_type)
    assert read_config(path, NOW).wants_token_types is wanted


def test_prefixes_follow_the_role(tmp_path):
    path = config(tmp_path / "c.json", "TEXT_EMBEDDING", "ONNX", query_prefix="query: ", passage_prefix=None)
    served = read_config(path, NOW)
    assert (served.prefix("query"), served.prefix("passage")) == ("query: ", "")
