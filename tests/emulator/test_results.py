from __future__ import annotations

import numpy as np
import pytest

from release_tool.emulator import results
from release_tool.emulator.config import ServedConfig
from release_tool.emulator.faults import ContractFault, Refused

TS = ServedConfig(function="TEXT_EMBEDDING", model_format="TORCH_SCRIPT")
HF = ServedConfig(function="TEXT_EMBEDDING", model_format="TORCH_SCRIPT", framework="HUGGINGFACE_TRANSFORMERS")
ONNX = ServedConfig(function="TEXT_EMBEDDING", model_format="ONNX")
SPARSE = ServedConfig(function="SPARSE_ENCODING", model_format="TORCH_SCRIPT")
NOW = (3, 6)


def floats(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_the_sentence_embedding_is_read_under_its_key_beside_others():
    outputs = [("token_embeddings", floats(1, 3, 4)), ("sentence_embedding", floats(1, 4))]
    assert results.dense(TS, outputs, [1] * 3, NOW).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([("output", floats(1, 4))], "clients read 'sentence_embedding'"),
        ([(None, floats(1, 4))], "clients read 'sentence_embedding'"),
        ([("sentence_embedding", floats(4))], "expected [1, dim]"),
        ([("sentence_embedding", floats(1, 1, 4))], "expected [1, dim]"),
        ([("sentence_embedding", floats(1, 4).astype(np.float16))], "float16, expected float32"),
        ([("sentence_embedding", floats(1, 4).astype(np.float64))], "float64, expected float32"),
    ],
)
def test_another_key_rank_or_type_of_an_embedding_is_a_fault(outputs, says):
    with pytest.raises(ContractFault) as caught:
        results.dense(TS, outputs, [1], NOW)
    assert says in str(caught.value)


def test_the_server_pools_the_first_output_of_onnx_and_of_bare_transformers():
    hidden = floats(1, 3, 4)
    expected = hidden[0].mean(0).tolist()
    assert results.dense(ONNX, [(None, hidden), (None, floats(1, 4))], [1] * 3, NOW).tolist() == expected
    assert results.dense(HF, [(None, hidden)], [1] * 3, NOW).tolist() == expected
    named = [("pooler_output", floats(1, 4)), ("last_hidden_state", hidden)]
    assert results.dense(HF, named, [1] * 3, NOW).tolist() == expected


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([("logits", floats(1, 4))], "clients read 'output'"),
        ([("output", floats(1, 3, 4))], "expected [1, vocabulary]"),
        ([("output", floats(4))], "expected [1, vocabulary]"),
        ([("output", floats(1, 4)), ("more", floats(1, 4))], "clients read one tensor"),
        ([("output", floats(1, 4).astype(np.float16))], "float16"),
    ],
)
def test_another_key_or_rank_of_a_sparse_output_is_a_fault(outputs, says):
    with pytest.raises(ContractFault) as caught:
        results.sparse(SPARSE, outputs)
    assert says in str(caught.value)


def test_whatever_is_not_zero_is_a_token_negative_and_nan_included():
    weights = np.asarray([[0, 2, 0, -1, np.nan, 0]], np.float32)
    ids, found = results.sparse(SPARSE, [("output", weights)])
    assert ids.tolist() == [1, 3, 4]
    np.testing.assert_array_equal(found, np.asarray([2, -1, np.nan], np.float32))


def test_the_sparse_tokenizer_weighs_distinct_words_and_drops_special_tokens():
    ids, weights = results.tokenized(np.asarray([2, 5, 4, 5, 3]), ["", "", "", "", "sea", "old"], {"old": 2.5})
    assert ids.tolist() == [4, 5]
    assert weights.tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([(None, floats(1, 2))], "expected [1, 1]"),
        ([(None, floats(1))], "expected [1, 1]"),
        ([(None, floats(1, 1)), (None, floats(1, 1))], "every tensor"),
    ],
)
def test_a_cross_encoder_answers_with_one_logit(outputs, says):
    with pytest.raises(ContractFault) as caught:
        results.similarity(outputs)
    assert says in str(caught.value)
    assert results.similarity([(None, np.asarray([[-3.5]], np.float32))]) == -3.5


def logits(*values):
    return (None, np.asarray([values], np.float32))


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (logits(0, 9, 0, 0), logits(0, 0, 9, 0), "fer ##ry"),
        (logits(0, 0, 9, 0), logits(0, 9, 0, 0), "fer ##ry"),
        (logits(9, 0, 0, 0), logits(0, 0, 9, 0), "the ferry"),
        (logits(0, 0, 0, 9), logits(0, 0, 0, 9), "sea"),
    ],
)
def test_an_answer_spans_the_likeliest_ends_in_whichever_order(start, end, text):
    tokens = ["the", "fer", "##ry", "sea"]
    assert results.answer([start, end], tokens)[2] == text.replace(" ##", "")


def test_question_answering_needs_two_rows_of_the_inputs_length_in_a_tuple():
    with pytest.raises(ContractFault, match="start and end"):
        results.answer([logits(1, 2)], ["a", "b"])
    with pytest.raises(ContractFault, match="order"):
        results.answer([("start_logits", floats(1, 2)), ("end_logits", floats(1, 2))], ["a", "b"])
    with pytest.raises(ContractFault, match="expected"):
        results.answer([logits(1, 2, 3), logits(1, 2, 3)], ["a", "b"])


@pytest.mark.parametrize("indices", [np.asarray([2, 0]), np.asarray([[2, 0]])])
def test_selected_sentences_come_as_k_or_as_one_row(indices):
    assert results.highlighted([(None, indices)], 3) == {0, 2}


def test_indices_that_no_sentence_has_are_dropped_and_floats_are_a_fault():
    assert results.highlighted([(None, np.asarray([-1, 1, 7]))], 3) == {1}
    assert results.highlighted([(None, np.zeros(0, np.int64))], 3) == set()
    with pytest.raises(ContractFault, match="int64"):
        results.highlighted([(None, floats(2))], 3)
    with pytest.raises(ContractFault, match=r"expected \[k\]"):
        results.highlighted([(None, np.zeros((2, 3), np.int64))], 3)


def test_a_batch_is_split_along_its_first_axis():
    examples = results.unbatch([("a", floats(2, 3)), ("b", floats(4, 1))])
    assert [[(name, array.shape) for name, array in example] for example in examples] == [
        [("a", (3,)), ("b", (2, 1))],
        [("a", (3,)), ("b", (2, 1))],
    ]
    with pytest.raises(Refused, match="equal division"):
        results.unbatch([("a", floats(2, 3)), ("b", floats(3, 1))])
    with pytest.raises(Refused, match="dimensions"):
        results.unbatch([("a", floats(1).reshape(()))])
    with pytest.raises(Refused, match="out of bounds"):
        results.first_example([("a", floats(0, 3))])


def test_words_that_tokens_share_and_special_tokens_are_counted():
    words = ["", "sea", "Sea", "sea"]
    assert results.collisions(np.asarray([0, 1, 2, 3, 9], np.int32), words) == (1, 2)
