from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.emulator.sentences import (
    IGNORE,
    SPACES,
    Sentence,
    segment,
    split,
    token_sentences,
    units,
    word_sentences,
)
from release_tool.emulator.tokens import Encoded


@pytest.mark.parametrize(
    ("context", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("no full stop at all", ["no full stop at all"]),
        ("", [""]),
        ("Ends here. ", ["Ends here."]),
        ("U.S.A. is long. Yes.", ["U.S.A. is long.", "Yes."]),
        ("At 5 p.m. on Monday. Then.", ["At 5 p.m. on Monday.", "Then."]),
        ("Dr. Lane came. He left.", ["Dr@@@ Lane came.", "He left."]),
        ('He said "no." Then left.', ['He said "no".', "Then left."]),
        ("東京。 雨です。", ["東京。 雨です。"]),
        ("Wide\u00a0space.\u00a0Not a boundary.", ["Wide\u00a0space.\u00a0Not a boundary."]),
    ],
)
def test_contexts_are_cut_as_the_servers_pattern_cuts_them(context, sentences):
    assert [sentence.text for sentence in segment(context)] == sentences


def test_positions_count_utf16_units():
    assert segment("\U0001f642 yes. No.") == [Sentence("\U0001f642 yes.", 0, 7), Sentence("No.", 8, 11)]


def test_a_marked_abbreviation_makes_the_sentence_two_units_longer():
    assert segment("Dr. Lane came. He left.") == [Sentence("Dr@@@ Lane came.", 0, 16), Sentence("He left.", 16, 24)]


def test_words_drift_where_there_are_two_spaces():
    context = "One  two. Three."
    assert word_sentences(segment(context), context) == [0, 0, 0]
    context = "One two. Three."
    assert word_sentences(segment(context), context) == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "words"), [("", [""]), (" ", []), (" a b ", ["", "a", "b"]), ("a\u00a0b", ["a\u00a0b"])]
)
def test_words_are_split_as_java_splits_them(text, words):
    assert split(SPACES, text) == words


def test_tokens_of_the_question_and_special_tokens_belong_to_no_sentence():
    encoded = Encoded(
        ids=[2, 9, 3, 9, 9, 9, 3], mask=[1] * 7, types=[0, 0, 0, 1, 1, 1, 1], words=[-1, 0, -1, 0, 1, 5, -1], tokens=[]
    )
    assert token_sentences(encoded, [0, 1]) == [IGNORE, IGNORE, IGNORE, 0, 1, IGNORE, IGNORE]


def test_without_a_second_type_the_whole_input_counts_as_context():
    encoded = Encoded(ids=[2, 9, 3], mask=[1] * 3, types=[0, 0, 0], words=[-1, 0, -1], tokens=[])
    assert token_sentences(encoded, [4]) == [IGNORE, 4, IGNORE]


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_units_are_those_of_utf16(text):
    assert units(text) == len(text.encode("utf-16-le")) // 2


@given(st.lists(st.from_regex(r"[a-z]{2,5}( [a-z]{2,5}){0,3}[.!?]", fullmatch=True), min_size=1, max_size=6))
def test_plain_sentences_joined_by_one_space_are_found_again(parts):
    context = " ".join(parts)
    found = segment(context)
    assert [sentence.text for sentence in found] == parts
    assert [context[sentence.start : sentence.end] for sentence in found] == parts
    words = word_sentences(found, context)
    assert words == [index for index, part in enumerate(parts) for _ in part.split()]
