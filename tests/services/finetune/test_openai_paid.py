"""What answers of a service cost: none is paid for twice, and the budget of the recipe holds."""

from __future__ import annotations

import pytest
from chat_asking import CHAT, questions

from release_tool.core.finetune.money import BudgetReached


def test_a_stored_answer_is_not_asked_for_again(asker):
    before = asker.ask(5)
    spent = asker.spending.cost
    assert asker.ask(5) == before
    assert len(asker.service.asked) == 5
    assert asker.spending.cost == spent


def test_an_unreadable_answer_is_stored_and_not_paid_for_again(asker):
    asker.service.fault(CHAT, said="nothing useful")
    before = asker.ask(1)
    assert asker.ask(1) == before
    assert len(asker.service.asked) == 2
    assert before[0].attempts == 2
    assert before[0].tokens_out == 40


def test_another_model_temperature_or_prompt_is_asked_anew(asker):
    asker.ask(1)
    asker.ask(1, temperature=0.1)
    asker.ask(1, max_tokens=99)
    assert len(asker.service.asked) == 3


def test_the_budget_ends_the_stage_and_what_was_answered_is_kept(asker):
    asker.service.usage = {"prompt_tokens": 100_000, "completion_tokens": 0}
    keys = {"dollars_in": 1.0, "dollars_out": 1.0, "max_dollars": 0.55, "parallel": 1}
    with pytest.raises(BudgetReached, match=r"0\.\d+ of 0\.5500 dollars"):
        asker.ask(50, **keys)
    asked = len(asker.service.asked)
    assert asked == 6  # 0.5 leaves room for one more by its estimate, and its true cost is known only afterwards
    with pytest.raises(BudgetReached):
        asker.ask(50, **keys)
    assert len(asker.service.asked) == asked
    assert len(asker.ask(50, **keys | {"max_dollars": 6.0})) == 50
    assert len(asker.service.asked) == 50


def test_what_was_paid_for_late_questions_counts_before_the_first_one_is_asked(asker):
    asker.service.usage = {"prompt_tokens": 100_000, "completion_tokens": 0}
    provider = asker.provider()
    list(provider.answers(questions(9)[6:]))
    with pytest.raises(BudgetReached, match="300,000 of 300,050"):
        asker.ask(9, max_total_tokens=300_050)
    assert len(asker.service.asked) == 3


def test_many_at_once_do_not_go_over_the_budget_by_more_than_themselves(asker):
    asker.service.usage = {"prompt_tokens": 100_000, "completion_tokens": 0}
    asker.service.slow = 0.02
    with pytest.raises(BudgetReached):
        asker.ask(50, max_total_tokens=500_000, parallel=4)
    assert len(asker.service.asked) <= 5 + 4


def test_tokens_are_reckoned_where_the_service_does_not_count(asker):
    asker.service.usage = {"prompt_tokens": "many", "completion_tokens": -3}
    asker.ask(1)
    assert asker.spending.tokens_in > 0
    assert asker.spending.tokens_out > 0
