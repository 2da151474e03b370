"""The provider openai by batch files: every end that a batch can have, and servers without batches."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from chat_asking import questions
from chat_double import KEY, MODEL, ChatDouble

from release_tool.core.finetune.answers import parse_answer
from release_tool.core.finetune.money import Spending
from release_tool.core.finetune.sections import QueriesSection
from release_tool.core.finetune.writing import record_id
from release_tool.errors import RemoteFailed, StillRunning, Unreachable, UsageError
from release_tool.services.finetune import batch_files
from release_tool.services.finetune.openai import open_service
from release_tool.services.finetune.paid import PaidAnswers

TOLD: list[str] = []


@pytest.fixture
def service():
    TOLD.clear()
    with ChatDouble(batches=True) as found:
        yield found


@pytest.fixture
def ask(service, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def asked(count=5, **keys):
        section = replace(
            QueriesSection(provider="openai", mode="batch", endpoint=service.endpoint, model=MODEL, per_document=2),
            **keys,
        )
        provider = open_service(section, PaidAnswers(tmp_path), Spending(section), tell=TOLD.append)
        provider.poll_seconds, provider.pauses = 0.01, (0.01, 0.01)
        return list(provider.answers(questions(count)))

    return asked


def left(folder):
    return sorted(path.name for path in folder.glob("batch-*"))


def test_answers_come_in_the_order_of_the_questions_whatever_that_of_the_file(ask, service, tmp_path):
    answers = ask()
    assert [one.id for one in answers] == [one.id for one in questions(5)]
    assert all(one.raw and one.tokens_out == 20 for one in answers)
    assert [prompt.split()[-1] for prompt in service.prompts()] == ["4.", "3.", "2.", "1.", "0."]
    assert left(tmp_path) == []
    assert [line.rpartition(": ")[2] for line in TOLD] == ["validating", "in_progress", "finalizing"]


def test_the_file_is_what_the_api_and_vllm_read(ask, service):
    ask(1)
    row = json.loads(service.files["file-0"])
    assert sorted(row) == ["body", "custom_id", "method", "url"]
    assert (row["method"], row["url"], row["custom_id"]) == ("POST", "/v1/chat/completions", record_id("0"))
    assert row["body"]["response_format"]["type"] == "json_schema"


def test_nothing_is_sent_twice(ask, service):
    before = ask()
    assert ask() == before
    assert service.started == 1
    ask(7)
    assert service.started == 2
    assert len(service.asked) == 7


@pytest.mark.parametrize("end", ["expired", "cancelled", "completed"])
def test_what_a_batch_answered_is_kept_and_the_rest_asked_by_the_next_run(ask, service, end):
    service.script, service.leaves_out = ["in_progress", end], 2
    answers = ask()
    assert [one.error for one in answers] == ["batch_expired", "batch_expired", "", "", ""]
    service.script, service.leaves_out = ["completed"], 0
    assert all(one.raw for one in ask())
    assert len(service.asked) == 5


def test_a_batch_that_failed_says_why(ask, service, tmp_path):
    service.script = ["validating", "failed"]
    with pytest.raises(RemoteFailed, match="line 3 is too long"):
        ask()
    assert left(tmp_path) == []


def test_a_batch_that_takes_longer_is_waited_for_by_a_later_run(ask, service):
    service.script = ["in_progress"]
    with pytest.raises(StillRunning, match="in_progress"):
        ask(wait_hours=0)
    service.script = ["completed"]
    assert all(one.raw for one in ask())
    assert service.started == 1


def test_a_batch_whose_id_could_not_be_written_down_is_found_again(ask, service, tmp_path):
    service.script = ["in_progress"]
    with pytest.raises(StillRunning):
        ask(wait_hours=0)
    note = next(tmp_path.glob("batch-*.json"))
    note.write_text(json.dumps({"file_id": "file-0", "batch_id": ""}))
    service.script = ["completed"]
    ask()
    assert service.started == 1


@pytest.mark.parametrize("path", ["POST /v1/files", "GET /v1/batches", "GET /v1/batches/batch_1", "GET /v1/files"])
def test_a_server_that_can_not_just_now_is_asked_again(ask, service, path):
    service.fault(f"^{path}", times=2, status=503)
    assert all(one.raw for one in ask())
    assert service.started == 1


def test_answers_that_are_cut_are_read_again(ask, service):
    service.fault("GET /v1/files", times=1, status=500)
    assert all(one.raw for one in ask())


def test_starting_a_batch_is_not_tried_twice(ask, service):
    service.fault("POST /v1/batches", status=500)
    with pytest.raises(Unreachable):
        ask()
    assert all(one.raw for one in ask())
    assert (service.started, len(service.files) - 1) == (1, 1)  # the same file, and its answers


def test_large_batches_are_divided(ask, service, monkeypatch):
    monkeypatch.setattr(batch_files, "MAX_QUESTIONS", 2)
    answers = ask(5)
    assert all(one.raw for one in answers)
    assert service.started == 3


@pytest.mark.parametrize(
    "spoilt", [b"no json\n", b'["a"]\n', b'{"custom_id": ["x"]}\n', b'{"custom_id": "other"}\n', b"\n"]
)
def test_lines_that_are_no_answers_are_passed_over(ask, service, spoilt):
    finish = service.finish

    def spoiling(batch):
        finish(batch)
        service.files[batch["output_file_id"]] = spoilt + service.files[batch["output_file_id"]]

    service.finish = spoiling
    assert all(one.raw for one in ask())


def test_without_batches_the_file_is_left_and_answers_beside_it_are_taken(ask, service, tmp_path):
    service.batches = None
    with pytest.raises(UsageError, match="has no batches") as caught:
        ask()
    path = next(tmp_path.glob("batch-*.jsonl"))
    assert f"vllm run-batch -i {path.name} -o {path.stem}.answers.jsonl" in caught.value.hint
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    out = [
        {"custom_id": row["custom_id"], "response": {"status_code": 200, "body": service.answer(row["body"])}}
        for row in rows
    ]
    out[0]["response"]["status_code"] = 500
    path.with_suffix(".answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in out))
    answers = ask(max_error_rate=0.2)
    assert [one.error for one in answers] == ["status 500", "", "", "", ""]
    with pytest.raises(UsageError, match="has no batches"):
        ask()
    assert len(next(tmp_path.glob("batch-*.jsonl")).read_text().splitlines()) == 1


def test_a_file_that_nobody_answered_yet_is_the_same_one(ask, service, tmp_path):
    service.batches = None
    for _ in range(2):
        with pytest.raises(UsageError):
            ask()
    assert len(left(tmp_path)) == 1


@pytest.fixture
def unreadable(service):
    """Let the model answer questions about the documents 0 and 1 in words that nobody can read."""
    answer = service.answer

    def answered(body, said=None):
        about = body["messages"][-1]["content"]
        return answer(body, "I would rather not." if about.endswith((" 0.", " 1.")) else said)

    service.answer = answered
    yield
    service.answer = answer


def test_what_nobody_can_read_is_asked_again_by_the_next_run_and_counted_as_paid(ask, service, unreadable, tmp_path):
    first = ask(retries=1)
    assert [bool(parse_answer(one.raw, 2).queries) for one in first] == [False, False, True, True, True]
    second = ask(retries=1)
    assert service.started == 2
    assert sorted(prompt[-2:] for prompt in service.prompts()[5:]) == ["0.", "1."]
    assert [one.attempts for one in second] == [2, 2, 1, 1, 1]
    assert second[0].tokens_in == 2 * first[0].tokens_in
    ask(retries=1)
    assert service.started == 2  # as often as the recipe says, and no more


def test_few_that_nobody_can_read_are_not_worth_another_batch(ask, service, unreadable):
    before = ask(max_error_rate=0.5)
    assert ask(max_error_rate=0.5) == before
    assert service.started == 1


def test_answers_that_were_stored_when_it_was_killed_are_not_stored_as_further_ones(
    ask, service, unreadable, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(batch_files.BatchFiles, "done", killed)
        with pytest.raises(KeyboardInterrupt):
            ask()
    answers = ask(max_error_rate=0.5)
    assert [one.attempts for one in answers] == [1] * 5
    assert service.started == 1


def test_a_second_batch_is_held_against_what_the_first_one_cost(ask, service):
    keys = {"dollars_in": 1000.0, "dollars_out": 0.0}
    service.usage = {"prompt_tokens": 1000, "completion_tokens": 1}
    service.leaves_out = 2
    assert sum(bool(one.raw) for one in ask(**keys, max_dollars=3.5)) == 3
    with pytest.raises(UsageError, match=r"the recipe allows 3\.00"):
        ask(**keys, max_dollars=3.0)
    assert service.started == 1
    ask(**keys, max_dollars=3.5)
    assert service.started == 2


@pytest.mark.parametrize("status", [400, 410])
def test_answers_that_are_not_handed_out_are_an_error_with_a_hint(ask, service, status, tmp_path):
    service.fault("GET /v1/files", times=9, status=status)
    with pytest.raises(RemoteFailed, match=f"refuses the answers of a batch: status {status}"):
        ask()
    assert left(tmp_path)  # the next run looks at the same batch


@pytest.mark.parametrize(("called", "found"), [
    ("AB2", ("AB2", 0)), ("AB2-1", ("AB2", 1)), ("AB2-20", ("AB2", 20)),
    ("AB2-0", ("", 0)), ("AB2-01", ("", 0)), ("AB2-x", ("", 0)), ("AB2-\u0661", ("", 0)), ("AB2-1-1", ("", 0)),
    (7, ("", 0)), (None, ("", 0)), ("AB2-" + "9" * 5000, ("", 0)),
])  # fmt: skip
def test_a_question_of_a_batch_is_known_by_its_name_and_by_nothing_like_it(called, found):
    assert batch_files.asked_as(called) == found
