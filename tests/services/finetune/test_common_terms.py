"""What is found without the commonest terms is what would be found with them, as far as it says so."""

from __future__ import annotations

import pytest
from chance import seeded

from release_tool.services.finetune.common_terms import divide, to_complete


def test_only_terms_that_most_documents_have_and_that_give_little_are_common():
    held = {"the": 990, "of": 600, "river": 30, "mouth": 500}
    gives = {"the": 0.01, "of": 0.5, "mouth": 0.6}
    divided = divide(["the", "river", "of", "the", "mouth"], 1000, held.__getitem__, gives.__getitem__)
    # "mouth" would give 0.6 more, which is too much; "river" is in too few documents to be asked about.
    assert (divided.others, divided.common) == (("river", "mouth"), ("the", "of", "the"))
    assert divided.given == pytest.approx(0.52, rel=1e-4)


def test_a_query_of_common_terms_alone_is_searched_whole():
    divided = divide(["the"], 1000, lambda _: 990, lambda _: 0.01)
    assert (divided.others, divided.common, divided.given) == (("the",), (), 0.0)


@pytest.mark.parametrize(
    ("scores", "count", "least"),
    [
        ([9.0, 8.0, 7.5, 6.9, 6.0, 2.0], 3, 8.0),  # of the second place, 7 is out of reach
        ([9.0, 8.0, 7.5, 7.4, 7.3, 7.2], 6, 8.2),  # what was left out may reach 8.2
        ([9.0, 8.0, 3.0], 2, 8.0),  # nothing was left out but what has common terms alone
        ([9.0], 1, 1.0),
        ([], 0, 1.0),
    ],
)
def test_only_documents_that_can_still_be_among_the_best_are_completed(scores, count, least):
    assert to_complete(scores, 2, 6, 1.0) == (count, least)


@pytest.mark.parametrize("given", [0.01, 0.3, 1.0])
def test_what_is_certain_is_what_all_terms_find(given):
    draw = seeded(7)
    shortened = 0
    for _ in range(300):
        others = sorted((draw.choice([0.0, draw.expovariate(0.4)]) for _ in range(120)), reverse=True)
        whole = [score + draw.uniform(0, given * 0.999) for score in others]
        found = [score for score in others if score > 0][:60]
        count, least = to_complete(found, 10, 60, given)
        shortened += count < len(found)
        assert sorted(one for one in whole[:count] if one > least) == sorted(one for one in whole if one > least)
    assert shortened > 100
