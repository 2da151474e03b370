"""The provider openai, live, against a service with faults."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from chat_asking import CHAT, questions
from chat_double import KEY, MODEL

from release_tool.core.finetune.money import Spending
from release_tool.errors import RemoteFailed, Unreachable, UsageError
from release_tool.services.finetune import openai
from release_tool.services.finetune.openai import open_service
from release_tool.services.finetune.paid import PaidAnswers
from release_tool.services.finetune.replies import pause_of


def test_every_question_is_answered_once_and_in_order(asker):
    answers = asker.ask(20)
    assert [one.id for one in answers] == [one.id for one in questions(20)]
    assert sorted(asker.service.prompts()) == sorted(one.prompt for one in questions(20))
    assert all(one.raw and not one.error for one in answers)
    assert asker.spending.tokens_out == 20 * 20


def test_what_is_sent_is_what_the_recipe_says(asker):
    asker.ask(1, temperature=0.3, max_tokens=77)
    body = asker.service.asked[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == (MODEL, 0.3, 77)
    assert [one["role"] for one in body["messages"]] == ["system", "user"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["queries"]["minItems"] == 2


def test_order_does_not_follow_from_who_is_quickest(asker):
    asker.service.fault(CHAT, wait=0.3)
    answers = asker.ask(8)
    assert [one.id for one in answers] == [one.id for one in questions(8)]


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_are_on_their_way_than_the_recipe_says(asker, parallel):
    asker.service.slow = 0.02
    asker.ask(12, parallel=parallel)
    assert asker.service.most_at_once == parallel


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429},
        {"status": 500, "body": "<html>"},
        {"status": 503},
        {"cut": True},
        {"whole": {"nothing": 1}},
        {"whole": {"choices": []}},
        {"whole": {"choices": [None]}},
        {"whole": {"choices": [{"message": {"content": None, "refusal": "no"}}]}},
        {"said": "1. first\n2. second"},
        {"said": '{"queries": ["cut'},
    ],
    ids=str,
)
def test_a_fault_that_passes_is_asked_again(asker, fault):
    asker.service.fault(CHAT, times=2, **fault)
    answers = asker.ask(3)
    assert [one.error for one in answers] == ["", "", ""]
    assert all("query" in one.raw for one in answers)


def test_a_question_is_not_asked_more_often_than_the_recipe_says(asker):
    asker.service.fault(CHAT, times=99, said="nothing useful")
    answer = asker.ask(1, retries=3)[0]
    assert len(asker.service.asked) == 4
    assert (answer.raw, answer.attempts) == ("nothing useful", 4)


def test_faults_and_unreadable_answers_share_the_retries(asker):
    asker.service.fault(CHAT, times=2, status=500)
    asker.service.fault(CHAT, times=99, said="nothing useful")
    asker.ask(1, retries=3)
    assert len(asker.service.asked) == 2


def test_an_answer_that_takes_too_long_is_given_up(asker):
    asker.service.fault(CHAT, times=1, wait=1.0)
    provider = asker.provider()
    provider.service.read_seconds = 0.2
    answers = list(provider.answers(questions(1)))
    assert "query" in answers[0].raw


def test_retry_after_is_kept_and_holds_for_all(asker):
    asker.service.fault(CHAT, status=429, headers={"Retry-After": "1"})
    started = time.monotonic()
    assert all(one.raw for one in asker.ask(4, parallel=1))
    assert 1 <= time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3), ("0.5", 0.5), ("-1", 0), ("1e9", 600), ("nan", None), ("soon", None), (None, None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 70), ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date_and_bounded(header, seconds):
    assert pause_of(header, now=lambda: 30.0) == seconds


def test_a_question_that_is_refused_is_counted_and_the_others_go_on(asker):
    asker.service.fault(CHAT, status=400, body='{"error": {"message": "too long", "code": "context_length_exceeded"}}')
    answers = asker.ask(3, parallel=1)
    assert [one.error for one in answers] == ["status 400, context_length_exceeded", "", ""]


@pytest.mark.parametrize("name", ["max_tokens", "temperature", "response_format"])
def test_a_parameter_that_the_service_does_not_take_is_left_out_from_then_on(asker, name):
    asker.service.refuses = (name,)
    answers = asker.ask(4, parallel=1)
    assert all(one.raw for one in answers)
    assert all(name not in body for body in asker.service.asked)
    assert all(("max_completion_tokens" in body) == (name == "max_tokens") for body in asker.service.asked)
    assert len(asker.service.headers) == 5


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"status": 402}, RemoteFailed, "no credit"),
        ({"status": 429, "body": '{"error": {"code": "insufficient_quota"}}'}, RemoteFailed, "no credit"),
        ({"status": 403}, UsageError, "refuses the key"),
        ({"status": 404}, UsageError, "does not know the model"),
        ({"status": 307, "headers": {"Location": "https://elsewhere.example/"}}, RemoteFailed, "another address"),
    ],
    ids=str,
)
def test_what_concerns_all_questions_ends_the_stage(asker, fault, error, words):
    asker.service.fault(CHAT, times=99, **fault)
    with pytest.raises(error, match=words):
        asker.ask(50)
    assert len(asker.service.headers) <= 10


def test_a_service_that_is_not_there_ends_the_stage_and_soon(asker):
    asker.service.fault(CHAT, times=10_000, status=503)
    with pytest.raises(Unreachable, match="none of 8 questions in a row: status 503"):
        asker.ask(500, retries=1)
    assert len(asker.service.headers) < 40


def test_nobody_at_the_address_is_told(asker, tmp_path):
    section = replace(asker.section, endpoint="http://127.0.0.1:9/v1", retries=0)
    provider = open_service(section, PaidAnswers(tmp_path), Spending(section), tell=lambda _: None)
    with pytest.raises(Unreachable, match="no connection"):
        list(provider.answers(questions(20)))


def test_the_key_is_in_the_header_and_nowhere_else(asker, caplog):
    asker.service.key = "another"
    with pytest.raises(UsageError) as caught:
        asker.ask(1)
    assert KEY not in str(caught.value)
    assert "Bearer ***" in str(caught.value)
    assert "WRITER_KEY" in caught.value.hint
    asker.service.key = KEY
    asker.ask(2)
    assert asker.service.headers[-1]["authorization"] == f"Bearer {KEY}"
    written = b"".join(path.read_bytes() for path in asker.folder.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in caplog.text
    assert KEY not in repr(asker.provider())


def test_no_key_is_sent_where_there_is_none_nor_one_of_a_netrc_file(asker, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password MARKED-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("WRITER_KEY")
    asker.service.key = None
    assert asker.ask(1)[0].raw
    assert "authorization" not in asker.service.headers[0]


@pytest.mark.parametrize(
    ("endpoint", "key", "words"),
    [
        ("ftp://host/v1", KEY, "neither http"),
        ("https://user:secret@host/v1", KEY, "more than a place"),
        ("http://llm.example.org/v1", KEY, "unencrypted"),
        ("https://llm.example.org/v1", "two words", "no key has"),
    ],
)
def test_an_address_or_a_key_that_can_not_be_is_refused(asker, monkeypatch, endpoint, key, words):
    monkeypatch.setenv("WRITER_KEY", key)
    with pytest.raises(UsageError, match=words) as caught:
        asker.provider(endpoint=endpoint)
    assert "secret" not in str(caught.value)


def test_stopping_does_not_wait_for_pauses(asker, monkeypatch):
    monkeypatch.setattr(openai, "FIRST_PAUSE", 60.0)
    asker.service.fault(CHAT, after=1, times=99, status=429, headers={"Retry-After": "500"})
    answers = asker.provider(parallel=1).answers(questions(9))
    assert next(answers).raw
    started = time.monotonic()
    answers.close()
    assert time.monotonic() - started < 5
