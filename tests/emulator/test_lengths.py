from __future__ import annotations

import pytest
from toys import tokenizer

from release_tool.emulator.config import ServedConfig
from release_tool.emulator.lengths import Lengths
from release_tool.emulator.tokens import Tokenizer

PREFIXED = {"passage_prefix": "a passage from a book: "}


def served(function, **more):
    return ServedConfig(function=function, model_format="ONNX", **more)


def maker(family, config, **changes):
    return Lengths(Tokenizer(tokenizer(family, **{"truncation": None, "padding": None, **changes})), config)


@pytest.mark.parametrize("family", ["wordpiece", "bpe", "unigram"])
@pytest.mark.parametrize(
    "config", [served("TEXT_EMBEDDING"), served("TEXT_EMBEDDING", **PREFIXED), served("TEXT_SIMILARITY")]
)
def test_every_length_up_to_the_limit_has_a_text_of_exactly_so_many_tokens(family, config):
    lengths = maker(family, config)
    plain = Tokenizer(tokenizer(family, truncation=None, padding=None)).tokenizer
    plain.no_truncation()
    for wanted in (*range(lengths.least + 3, lengths.least + 20), 64, 255, 512):
        texts = lengths.texts(wanted)
        assert texts is not None, wanted
        first, second = texts
        # Without truncation: what is longer and cut would be another text than the one that is told.
        assert len(plain.encode(config.prefix("passage") + first, second)) == wanted
        assert (second is None) == (config.kind == "dense")


def test_a_tokenizer_that_pads_to_multiples_has_no_text_of_another_length():
    padding = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": 8,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    lengths = maker("wordpiece", served("TEXT_EMBEDDING"), padding=padding)
    assert lengths.texts(16) is not None
    assert lengths.texts(12) is None


def test_the_limit_is_the_one_at_which_the_server_cuts():
    truncation = {"direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    assert maker("wordpiece", served("TEXT_EMBEDDING"), truncation=truncation).limit == 128
    assert maker("wordpiece", served("TEXT_EMBEDDING")).limit == 512
