"""The highlighter's rule by hand, and its sentences against what ML Commons' own segmenter does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_work import make_work

from release_tool.core.kinds import ModelKind
from release_tool.core.probes import Probe, ProbeSet
from release_tool.errors import UnsupportedModel
from release_tool.models.answers import read_answers
from release_tool.models.oracle import answer_all
from release_tool.models.oracle_highlighter import (
    IGNORED,
    chunk_sentences,
    probabilities,
    select,
    sentence_spans,
    utf16,
    word_sentences,
)
from release_tool.packaged import packaged_probes

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = "The weather is nice, it is beautiful day. The sun is shining. The sky is blue."


def spoken(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (CONTEXT, CONTEXT.replace(". ", ".|").split("|")),
        ("One! Two?  Three", ["One!", "Two?", "Three"]),
        ("", [""]),
        ("no end", ["no end"]),
        ("Ends here. ", ["Ends here."]),
        ("It is 3.5 m. Yes.", ["It is 3.5 m.", "Yes."]),
        ("I saw e.g. this. Then.", ["I saw e.g. this.", "Then."]),
    ],
)
def test_contexts_are_cut_after_sentence_marks(text: str, sentences: list[str]) -> None:
    spans = sentence_spans(text)
    assert len(spans) == len(sentences)
    if "e.g." not in text:
        assert spoken(text) == sentences


def test_an_abbreviation_ends_no_sentence() -> None:
    assert len(sentence_spans("We met Dr. Smith and Mr. Jones. They left.")) == 2


def test_positions_count_utf16_units_as_java_does() -> None:
    assert len(utf16("a🙂b")) == 4
    # The emoji is two units long for the server: the second sentence starts at 4.
    assert sentence_spans(utf16("🙂. Yes."))[1][0] == 4


@given(st.text(alphabet="ab. !?🙂é\n", max_size=40))
def test_every_word_belongs_to_a_sentence_that_exists(context: str) -> None:
    java = utf16(context)
    spans = sentence_spans(java)
    assert spans
    assert all(0 <= index < len(spans) for index in word_sentences(java, spans))


def test_words_find_their_sentence() -> None:
    assert word_sentences(CONTEXT, sentence_spans(CONTEXT)) == [0] * 8 + [1] * 4 + [2] * 4


def test_only_the_contexts_tokens_have_a_sentence() -> None:
    words = [0, 0, 1]
    # [CLS] q [SEP] a b c d [SEP]: the fourth context token's word is beyond the white-space words.
    found = chunk_sentences([None, 0, None, 0, 1, 2, 3, None], [0, 0, 0, 1, 1, 1, 1, 1], words)
    assert found.tolist() == [IGNORED, IGNORED, IGNORED, 0, 0, 1, IGNORED, IGNORED]


def test_a_probability_is_the_softmax_of_the_mean() -> None:
    hidden = np.asarray([[9, 9], [1, 0], [3, 0], [0, 2]], np.float32)
    weight, bias = np.asarray([[0, 0], [1, 1]], np.float32), np.asarray([0, -1], np.float32)
    found = probabilities(hidden, np.asarray([IGNORED, 0, 0, 2]), weight, bias)
    assert found == pytest.approx({0: 1 / (1 + math.exp(-1)), 2: 1 / (1 + math.exp(-1))})


def test_the_threshold_itself_selects() -> None:
    assert select({0: 0.5, 1: 0.4999})[0] == {0}


def test_one_sentence_is_always_selected_the_likeliest() -> None:
    assert select({0: 0.1, 3: 0.2, 4: 0.2}) == ({3}, 0.0)
    assert select({7: 1e-9}) == ({7}, math.inf)
    assert select({}) == (set(), math.inf)


@given(st.dictionaries(st.integers(0, 9), st.floats(0, 1), min_size=1, max_size=6), st.data())
def test_no_smaller_change_than_the_margin_turns_the_selection(chances: dict[int, float], data: st.DataObject) -> None:
    chosen, margin = select(chances)
    assert chosen
    reach = min(margin, 1.0) * 0.499
    moved = {index: chance + data.draw(st.floats(-reach, reach)) for index, chance in chances.items()}
    assert select(moved)[0] == chosen or margin == 0


def test_the_answers_are_the_rule_on_the_models_own_states(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, BertConfig, BertModel

    work = make_work(tmp_path, "bert", "highlighter", head_scale=20.0)
    folder = work.path("snapshot")
    probe = Probe(id="a", shape="a", text="How is the weather?", second=CONTEXT)
    probes = ProbeSet(texts=(), pairs=(probe,), sha256="0" * 64)
    found = read_answers(answer_all(work, ModelKind.HIGHLIGHTER, probes))
    state = load_file(folder / "model.safetensors")
    model = BertModel(BertConfig.from_pretrained(folder)).eval()
    bert = {name.removeprefix("bert."): value for name, value in state.items() if name.startswith("bert.")}
    model.load_state_dict(bert)
    encoded = AutoTokenizer.from_pretrained(folder)(probe.text, probe.second, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**encoded)[0][0]
    words = word_sentences(CONTEXT, sentence_spans(CONTEXT))
    ids = chunk_sentences(encoded.word_ids(0), encoded["token_type_ids"][0].tolist(), words)
    expected = {}
    for sentence in {int(i) for i in ids if i != IGNORED}:
        mean = hidden[torch.from_numpy(ids == sentence)].mean(0)
        logits = mean @ state["classifier.weight"].T + state["classifier.bias"]
        expected[sentence] = float(torch.softmax(logits, 0)[1])
    for sentence, chance in expected.items():
        assert found.arrays["probability"][sentence] == pytest.approx(chance, abs=1e-5)
    assert set(found.arrays["selected"].tolist()) == select(expected)[0]


def test_long_contexts_are_read_in_overlapping_chunks(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "highlighter", head_scale=20.0)
    found = read_answers(answer_all(work, ModelKind.HIGHLIGHTER, packaged_probes()))
    assert found.arrays["tokens"].max() == 512
    assert np.diff(found.arrays["input_indptr"]).max() > 2000
    assert len(found.arrays["margin"]) == len(found.facts.probes)
    assert np.isfinite(found.arrays["probability"]).all()


def test_a_model_without_a_classifier_is_no_highlighter(tmp_path: Path) -> None:
    work = make_work(tmp_path, "bert", "bare", plan={"kinds": (ModelKind.HIGHLIGHTER,)})
    with pytest.raises(UnsupportedModel, match="classifier"):
        answer_all(work, ModelKind.HIGHLIGHTER, packaged_probes())
