"""Rules of filter and mine: laws that hold for every query, document and hit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.filtering import Doubles, Reason, copy_ratio, length_reason, normal
from release_tool.core.finetune.mining import DECIMALS, Rules, choose, ranked

WORDS = st.lists(st.sampled_from("abc"), max_size=12)
SPLITS = st.sampled_from(["train", "dev", "test"])


def longest_run(query, document):
    """Return the length of the longest run of the query that stands in the document, by trying all of them."""
    return max(
        (
            end - start
            for start in range(len(query))
            for end in range(start + 1, len(query) + 1)
            if any(document[at : at + end - start] == query[start:end] for at in range(len(document)))
        ),
        default=0,
    )


@given(WORDS, WORDS)
def test_the_copy_ratio_is_the_longest_run_of_all(query, document):
    assert copy_ratio(query, document) == (longest_run(query, document) / len(query) if query else 0)


@given(WORDS, WORDS, WORDS)
def test_a_part_of_the_document_is_a_whole_copy_and_more_text_makes_none_less(before, query, after):
    whole = [*before, *query, *after]
    assert copy_ratio(query, whole) == (1 if query else 0)
    assert copy_ratio(before, query) <= copy_ratio(before, [*query, *after])


def test_frequent_words_count_in_long_documents_too():
    # difflib drops them by default from texts of two hundred words on.
    assert copy_ratio(["the", "the", "end"], ["the"] * 300 + ["end"]) == 1


@given(st.text(max_size=30), st.integers(0, 3))
def test_texts_that_differ_in_case_and_spaces_are_doubles(text, spaces):
    # Not every letter has one upper case: ß becomes two, which fold to the same.
    assert normal(normal(text)) == normal(text)
    assert normal(f"{' ' * spaces}{text}!") == normal(text)
    assert normal(text.casefold()) == normal(text)


@given(st.lists(st.tuples(st.sampled_from(["red apple", "Red, apple", "pear", "pears"]), SPLITS), max_size=12))
def test_each_text_is_kept_once_in_the_most_held_out_split(queries):
    doubles = Doubles()
    for number, (text, split) in enumerate(queries):
        doubles.see(number, text, split)
    kept = [
        (normal(text), split, number)
        for number, (text, split) in enumerate(queries)
        if doubles.keeps(number, text, split)
    ]
    texts = {normal(text) for text, _ in queries}
    assert sorted(text for text, _, _ in kept) == sorted(texts)
    for text, split, number in kept:
        same = [(other, at) for at, (one, other) in enumerate(queries) if normal(one) == text]
        order = ["test", "dev", "train"]
        assert (order.index(split), number) == min((order.index(other), at) for other, at in same)


@given(st.integers(0, 50), st.integers(1, 10), st.integers(10, 40))
def test_lengths_are_inclusive(words, least, most):
    found = length_reason(words, least=least, most=most)
    assert found == (Reason.SHORT if words < least else Reason.LONG if words > most else None)


def test_no_word_at_all_is_too_short():
    assert length_reason(0, least=0, most=5) is Reason.SHORT


HITS = st.lists(
    st.tuples(st.integers(0, 40), st.floats(0, 30, allow_nan=False)), max_size=30, unique_by=lambda hit: hit[0]
)


@given(HITS)
def test_hits_are_in_one_order_whatever_order_they_came_in(hits):
    found = ranked(hits)
    assert found == ranked(reversed(hits)) == ranked(found)
    assert [(-score, place) for place, score in found] == sorted((-score, place) for place, score in found)
    assert all(score > 0 and score == round(score, DECIMALS) for _, score in found)


@given(HITS, st.integers(1, 10), st.integers(0, 5), st.floats(0.1, 2), st.floats(0, 30), st.sets(st.integers(0, 40)))
def test_candidates_are_allowed_below_the_share_and_what_was_left_out_is_not_needed(
    hits, depth, skip, share, own, forbidden
):
    rules = Rules(depth=depth, skip=skip, max_share=share)
    order = ranked(hits)
    found = choose(order, rules, is_allowed=lambda place: place not in forbidden, own=own)
    allowed = [hit for hit in order if hit[0] not in forbidden]
    assert list(found) == [hit for hit in allowed[skip:] if hit[1] <= share * own][:depth]
    without = choose(order, rules, is_allowed=lambda place: place not in forbidden)
    assert list(without) == allowed[skip : skip + depth]
    # More hits behind change nothing once there are enough.
    if len(found) == depth:
        last = order.index(found[-1]) + 1
        assert choose(order[:last], rules, is_allowed=lambda place: place not in forbidden, own=own) == found


@pytest.mark.parametrize("word", ["klingon", "English", ""])
def test_an_analysis_that_is_none_is_refused_with_the_nearest(word):
    from release_tool.core.finetune.recipe import parse_recipe
    from release_tool.errors import RequestError

    recipe = f'[model]\nname = "a"\n[corpus]\npath = "x"\n[mine]\nanalysis = "{word}"\n'
    with pytest.raises(RequestError, match=r"mine\.analysis"):
        parse_recipe(recipe.encode())
