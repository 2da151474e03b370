from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer as Rust
from toys import tokenizer

from release_tool.emulator.config import ServedConfig
from release_tool.emulator.faults import Refused
from release_tool.emulator.prepare import Prepared, chunks_of, highlighter_inputs
from release_tool.emulator.tokens import Chunks, Tokenizer, build_sentence
from release_tool.packaged import packaged_probes

LONG = "the ferry " * 300


def truncation(length):
    return {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0}


def padding(strategy, **more):
    return {
        "strategy": strategy,
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
        **more,
    }


@pytest.mark.parametrize("family", ["wordpiece", "bpe", "unigram"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"truncation": None, "padding": None}, 512),
        ({"truncation": truncation(128), "padding": None}, 128),
        ({"truncation": truncation(1024), "padding": None}, 512),
        ({"truncation": None, "padding": padding({"Fixed": 64})}, 64),
        ({"truncation": truncation(200), "padding": padding({"Fixed": 64})}, 200),
    ],
)
def test_truncation_is_always_on_and_never_above_512(family, changes, expected):
    served = Tokenizer(tokenizer(family, **changes))
    assert len(served.encode(LONG)) == expected
    assert len(served.encode(LONG, LONG)) == expected


def test_a_fixed_padding_never_pads_on_the_server():
    served = Tokenizer(tokenizer(truncation=truncation(128), padding=padding({"Fixed": 128})))
    encoded = served.encode("the ferry")
    assert encoded.tokens == ["[CLS]", "the", "ferry", "[SEP]"]
    assert encoded.mask == [1, 1, 1, 1]


def test_padding_to_a_multiple_does_pad_on_the_server():
    encoded = Tokenizer(tokenizer(padding=padding("BatchLongest", pad_to_multiple_of=8))).encode("the ferry")
    assert encoded.ids[4:] == [0, 0, 0, 0]
    assert encoded.mask == [1, 1, 1, 1, 0, 0, 0, 0]


def test_only_an_argument_of_the_translator_lifts_the_cap():
    text = tokenizer(truncation=truncation(1024))
    assert len(Tokenizer(text, model_max_length=1024).encode(LONG)) == 602


def test_the_longer_text_of_a_pair_is_shortened_first():
    encoded = Tokenizer(tokenizer(truncation=truncation(32))).encode("the ferry", LONG)
    assert encoded.tokens[:4] == ["[CLS]", "the", "ferry", "[SEP]"]
    assert encoded.types.count(0) == 4
    assert len(encoded) == 32


def test_the_highlighter_cuts_the_context_into_overlapping_chunks():
    served = Tokenizer(tokenizer(truncation=truncation(128)), chunks=Chunks())
    context = " ".join(f"the ferry {number}." for number in range(400))
    chunks = highlighter_inputs(served, "who is open", context)
    assert [len(encoded) for encoded, _, _ in chunks[:-1]] == [512] * (len(chunks) - 1)
    assert len(chunks) > 2
    contexts = [encoded.ids[5:-1] for encoded, _, _ in chunks]
    assert contexts[0][-128:] == contexts[1][:128], "the stride of 128 tokens is shared"
    assert all(encoded.tokens[:5] == ["[CLS]", "who", "is", "open", "[SEP]"] for encoded, _, _ in chunks)


def test_the_highlighter_can_not_shorten_a_question():
    with pytest.raises(Refused):
        Tokenizer(tokenizer(), chunks=Chunks()).encode(LONG, "the ferry.")


def test_options_of_all_config_that_can_not_be_read_count_as_absent():
    chunks = chunks_of({"token_max_length": "many", "token_overlap_stride": "16", "with_overflowing_tokens": "FALSE"})
    assert chunks == Chunks(max_length=512, stride=16, overflowing=False, padding=False)


def test_a_broken_tokenizer_file_is_refused():
    with pytest.raises(Refused, match=r"tokenizer\.json"):
        Tokenizer("{}")


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (["the", "fer", "##ry", "is"], "the ferry is"),
        (["##ing", "a"], "##ing a"),
        (["Ġthe", "Ġsea"], "Ġthe Ġsea"),
        (["\x1f", "a", " "], "a"),
        (["\u2003", "a"], "\u2003 a"),
    ],
)
def test_answers_are_joined_as_djl_joins_them(tokens, sentence):
    assert build_sentence(tokens) == sentence


@pytest.mark.parametrize("family", ["wordpiece", "bpe", "unigram"])
def test_single_tokens_decode_as_one_at_a_time(family):
    text = tokenizer(family)
    served = Tokenizer(text)
    plain = Rust.from_str(text)
    assert served.words(list(range(served.size()))) == [plain.decode([i]) for i in range(plain.get_vocab_size())]
    assert served.words([0, 2, 3]) == ["", "", ""], "special tokens vanish in WORD format"


@pytest.mark.parametrize("family", ["wordpiece", "bpe", "unigram"])
def test_shipped_probes_are_cut_as_the_file_says_and_otherwise_untouched(family):
    text = tokenizer(family, truncation=truncation(256))
    served, plain = Tokenizer(text), Rust.from_str(json.dumps({**json.loads(text), "truncation": None}))
    for probe in packaged_probes().texts:
        whole = plain.encode(probe.text).ids
        mine = served.encode(probe.text).ids
        assert mine == (whole if len(whole) <= 256 else [*whole[:255], 3]), probe.id


def test_what_was_prepared_survives_the_way_to_another_process(tmp_path):
    from release_tool.emulator import feeds

    served = Tokenizer(tokenizer(), chunks=Chunks())
    prepared = Prepared(errors={"x": "no"}, sentence_counts=[2], lengths=[7], words=["a"], versions={"t": "1"})
    for encoded, sentences, _ in highlighter_inputs(served, "who", "the sea. the old house."):
        prepared.rows.append(feeds.row_of(encoded, sentences))
        prepared.owner.append(0)
    prepared.save(tmp_path / "p.npz")
    loaded = Prepared.load(tmp_path / "p.npz")
    assert [{k: v.tolist() for k, v in row.items()} for row in loaded.rows] == [
        {k: v.tolist() for k, v in row.items()} for row in prepared.rows
    ]
    assert (loaded.owner, loaded.errors, loaded.sentence_counts) == ([0], {"x": "no"}, [2])


def test_the_highlighter_is_fed_int32_sentence_ids_beside_int64_tokens():
    from release_tool.emulator import feeds

    served = ServedConfig(
        function="QUESTION_ANSWERING", model_format="TORCH_SCRIPT", model_type="sentence_highlighting"
    )
    (encoded, sentences, _), *_ = highlighter_inputs(Tokenizer(tokenizer(), chunks=Chunks()), "who", "the sea.")
    fed = feeds.feed(served, feeds.row_of(encoded, sentences))
    assert [name for name, _ in fed] == ["input_ids", "attention_mask", "token_type_ids", "sentence_ids"]
    assert [array.dtype.name for _, array in fed] == ["int64", "int64", "int64", "int32"]
    assert all(array.shape == (1, len(encoded)) for _, array in fed)
