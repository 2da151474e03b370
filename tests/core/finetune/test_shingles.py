"""Words and triples in every script, and bands that miss none of the pairs that matter."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.shingles import MISSED, PERMUTATIONS, bands_of, shingles_of, similarity_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick-brown FOX_2!", ["the", "quick", "brown", "fox", "2"]),
        ("Straße É\u0301", ["strasse", "é"]),
        ("\ufb01ne \uff21\uff42\uff43 \uff11", ["fine", "abc", "1"]),
        ("日本語のtext です", ["日", "本", "語", "の", "text", "で", "す"]),
        ("ภาษา", ["ภ", "า", "ษ", "า"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("𠀀𠀁a", ["𠀀", "𠀁", "a"]),
        ("!!  ?", ["!! ?"]),
        ("😀", ["😀"]),
        ("", [""]),
    ],
)
def test_words_are_runs_of_letters_and_single_characters_of_scripts_without_spaces(text, words):
    assert words_of(text) == words


def test_a_text_of_fewer_than_three_words_is_one_shingle():
    assert shingles_of(["a"]) == {("a",)}
    assert shingles_of(["a", "b"]) == {("a", "b")}
    assert shingles_of(["a", "b", "c", "d"]) == {("a", "b", "c"), ("b", "c", "d")}


@given(st.text(alphabet=string.printable))
def test_ascii_has_the_words_that_the_longer_way_gives(text):
    # A letter outside of ASCII leads to the way through Unicode.
    assert words_of(text) == words_of(f"{text} ж")[:-1] or words_of(text) == [" ".join(text.lower().split())]


@given(st.text(), st.text())
def test_similarity_is_that_of_sets(one, other):
    assert similarity_of(one, one) == 1
    assert similarity_of(one, other) == similarity_of(other, one)
    assert 0 <= similarity_of(one, other) <= 1


@given(st.text())
def test_case_and_white_space_and_punctuation_make_no_other_text(text):
    words = words_of(text)
    assert words_of(" ".join(words)) == words or not any(char.isalnum() for char in text)


@pytest.mark.parametrize("similarity", [0.5, 0.55, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0])
def test_bands_use_the_signature_and_miss_fewer_than_one_of_a_thousand_at_the_threshold(similarity):
    bands, rows = bands_of(similarity)
    assert 1 <= bands * rows <= PERMUTATIONS
    assert (1 - similarity**rows) ** bands <= MISSED
    longer = rows + 1
    assert longer > PERMUTATIONS or (1 - similarity**longer) ** (PERMUTATIONS // longer) > MISSED
