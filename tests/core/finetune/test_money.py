"""Tokens before they are counted, and a budget that is kept."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Thread

import pytest

from release_tool.core.finetune.money import (
    BudgetReached,
    Spending,
    answer_tokens,
    check_estimate,
    cost_of,
    first_tokens,
    tokens_of,
)
from release_tool.core.finetune.sections import QueriesSection
from release_tool.errors import UsageError

PRICED = QueriesSection(provider="openai", dollars_in=1.0, dollars_out=4.0, max_dollars=1.0)


def test_tokens_follow_from_bytes():
    assert tokens_of("") == 0
    assert tokens_of("abcde") == 2
    assert tokens_of("日本語") == 3


def test_a_text_without_spaces_is_cut_between_characters():
    assert first_tokens("日本語" * 100, 16) == "日本語" * 7


def test_more_queries_are_longer_answers_and_never_longer_than_allowed():
    assert answer_tokens(10, 1024) > answer_tokens(5, 1024) > answer_tokens(1, 1024)
    assert answer_tokens(10, 16) == 16


def test_both_directions_have_their_price():
    assert cost_of(PRICED, 1_000_000, 0).dollars == 1
    assert cost_of(PRICED, 0, 500_000).dollars == 2


def test_an_estimate_above_the_dollars_is_refused_with_the_figures():
    with pytest.raises(UsageError, match=r"about 1\.40 dollars \(2,000 questions.*allows 1\.00"):
        check_estimate(PRICED, cost_of(PRICED, 1_000_000, 100_000), 2000)


def test_a_price_without_a_budget_is_refused():
    with pytest.raises(UsageError, match=r"allows 0\.00"):
        check_estimate(replace(PRICED, max_dollars=0.0), cost_of(PRICED, 1000, 10), 1)


def test_a_service_without_a_price_is_bounded_by_tokens():
    free = QueriesSection(provider="openai", max_total_tokens=1000)
    check_estimate(free, cost_of(free, 900, 100), 1)
    with pytest.raises(UsageError, match="about 1,001 tokens"):
        check_estimate(free, cost_of(free, 901, 100), 1)


def test_spending_stops_before_a_question_that_would_go_over_the_budget():
    spending = Spending(PRICED)
    spending.add(900_000, 0)
    spending.check(100_000, 0)
    with pytest.raises(BudgetReached, match=r"0\.9000 of 1\.0000 dollars"):
        spending.check(100_001, 0)


def test_questions_on_their_way_count():
    spending = Spending(PRICED)
    with spending.reserved(600_000, 0), pytest.raises(BudgetReached), spending.reserved(600_000, 0):
        pass
    with spending.reserved(600_000, 0):
        pass


def test_many_threads_at_once_do_not_go_over_it():
    spending, passed, together = Spending(replace(PRICED, max_dollars=0.5)), [], Barrier(8)

    def ask():
        together.wait()
        try:
            with spending.reserved(100_000, 0):
                spending.add(100_000, 0)
                passed.append(1)
        except BudgetReached:
            pass

    threads = [Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert spending.cost.dollars <= 0.5
    assert len(passed) * 100_000 == spending.tokens_in
