"""What becomes of one query: a row with exactly as many documents as all others, or a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.recipe import parse_recipe
from release_tool.core.finetune.records import Mined
from release_tool.core.finetune.selecting import ALIKE, FEW, RANK, Selection, choose
from release_tool.errors import RequestError


def mined(count):
    return Mined(
        query="q",
        positive="p",
        split="train",
        documents=tuple(f"d{number}" for number in range(count)),
        scores=tuple(float(count - number) for number in range(count)),
    )


def rules(**changes):
    given = {"negatives": 2, "max_positive_share": 0.95, "min_positive_rank": 5, "sampling": "top", "seed": 1}
    return Selection(**(given | changes))


def test_the_hardest_that_are_no_answers_become_negatives_with_their_labels():
    chosen = choose(mined(4), [(10.0, 9.9, 5.0, 0.0, 8.0)], rules())
    assert chosen.row.documents == ("p", "d3", "d1")
    assert chosen.row.labels == (1.0, 0.8, 0.5)
    assert (chosen.row.query, chosen.row.split) == ("q", "train")
    assert chosen.answers == 1


def test_a_share_of_1_leaves_what_is_as_good_as_the_positive_and_nothing_better():
    logits = [(8.0, 10.0, 8.0, 0.0, 2.0)]
    assert choose(mined(4), logits, rules(max_positive_share=1.0)).row.documents == ("p", "d1", "d3")


@pytest.mark.parametrize(("rank", "reason"), [(1, RANK), (2, "")])
def test_a_positive_that_teachers_put_too_far_down_goes(rank, reason):
    assert choose(mined(4), [(8.0, 10.0, 1.0, 0.0, 2.0)], rules(min_positive_rank=rank)).reason == reason


def test_what_no_teacher_tells_apart_teaches_nothing():
    assert choose(mined(2), [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0)], rules()).reason == ALIKE


def test_a_query_with_too_few_negatives_goes_and_is_not_filled_up():
    chosen = choose(mined(3), [(10.0, 9.9, 9.8, 0.0)], rules())
    assert (chosen.row, chosen.reason, chosen.answers) == (None, FEW, 2)
    assert choose(mined(1), [(1.0, 0.0)], rules()).reason == FEW
    assert choose(mined(0), [(1.0,)], rules()).reason == FEW
    assert choose(mined(1), [], rules()).reason == FEW


def test_without_a_teacher_the_first_of_the_search_are_taken_without_labels():
    chosen = choose(mined(5), [], rules())
    assert chosen.row.documents == ("p", "d0", "d1")
    assert chosen.row.labels is None


@given(st.integers(0, 20), st.sampled_from(["top", "random"]), st.integers(1, 6), st.data())
def test_every_row_has_as_many_documents_and_only_those_that_were_scored(count, sampling, negatives, data):
    scored = data.draw(st.integers(0, count))
    logits = [
        tuple(data.draw(st.lists(st.integers(-50, 50), min_size=scored + 1, max_size=scored + 1)))
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    asked = rules(negatives=negatives, sampling=sampling)
    row = mined(count)
    chosen = choose(row, logits, asked)
    assert (chosen.row is None) == bool(chosen.reason)
    assert choose(row, logits, asked) == chosen
    if chosen.row is None:
        return
    assert chosen.row.documents[0] == "p"
    assert len(set(chosen.row.documents)) == 1 + negatives
    assert set(chosen.row.documents[1:]) <= set(row.documents[: scored if logits else count])
    if logits:
        assert len(chosen.row.labels) == 1 + negatives
        assert max(chosen.row.labels[1:]) <= 0.95 * chosen.row.labels[0]
        assert list(chosen.row.labels[1:]) == sorted(chosen.row.labels[1:], reverse=True)


def test_random_takes_others_than_the_hardest():
    logits = [(20.0, *(float(number) for number in range(18)))]
    drawn = {choose(mined(18), logits, rules(sampling="random", seed=seed)).row.documents for seed in range(20)}
    assert len(drawn) > 15


RECIPE = """[model]
name = "acme"
base = "base"
[corpus]
path = "a.jsonl"
"""


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("[teach]\nnegatives = 7", True),
        ("[teach]\nnegatives = 8", False),
        ("[mine]\ndepth = 7", True),
        ("[teach]\nnegatives = 1\nmodels = []", False),
        ("[teach]\nmodels = []\n[mine]\ndepth = 7", True),
    ],
)
def test_more_negatives_than_candidates_are_refused_before_anything_runs(more, wrong):
    if not wrong:
        assert parse_recipe((RECIPE + more).encode()).select.negatives == 8
        return
    with pytest.raises(RequestError, match=r"select\.negatives: is above 7"):
        parse_recipe((RECIPE + more).encode())
