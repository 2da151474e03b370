"""Batches of Bedrock: a double plays the service, its files lie in a real S3 server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from aws.bedrock import Bedrock as Double
from aws.bedrock import Script

from release_tool.core.finetune.money import Spending
from release_tool.core.finetune.records import Document
from release_tool.core.finetune.sections import QueriesSection
from release_tool.core.finetune.writing import Question, record_id
from release_tool.errors import Refused, RemoteFailed, StillRunning, Unreachable, UsageError
from release_tool.services.clock import Clock
from release_tool.services.finetune.bedrock import Bedrock
from release_tool.services.finetune.paid import PaidAnswers

ROLE = "arn:aws:iam::123456789012:role/batch"


class Fast(Clock):
    """Does not wait; ``elapsed`` says how long it would have."""

    def __init__(self):
        self.slept = 0.0

    def elapsed(self):
        return self.slept

    def sleep(self, seconds):
        self.slept += seconds


@pytest.fixture
def service(s3, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a kill loses nothing that was written; only a power cut does
    with Double(s3.client()) as double:
        for name, value in double.environment().items():
            monkeypatch.setenv(name, value)
        yield double


@pytest.fixture
def section(s3):
    return QueriesSection(
        provider="bedrock",
        batch_s3=f"s3://{s3.make_bucket()}/batches",
        batch_role=ROLE,
        dollars_in=0.5,
        dollars_out=2.5,
        max_dollars=10,
        per_document=2,
        retries=2,
    )


def questions(count):
    documents = [Document(id=f"a/b {place}.html", text=f"text of {place}") for place in range(count)]
    return [Question(id=record_id(one.id), document=one, n=2, system="be brief", prompt=one.text) for one in documents]


def provider(section, folder, **over):
    said = []
    made = Bedrock(
        section=section,
        paid=PaidAnswers(folder / "bedrock"),
        spending=Spending(section),
        clock=over.pop("clock", Fast()),
        say=said.append,
    )
    made.said = said
    return made


def changed(section, **keys):
    from dataclasses import replace

    return replace(section, **keys)


def test_a_batch_is_answered_in_the_order_of_the_questions_although_its_output_is_shuffled(service, section, tmp_path):
    asked = questions(120)
    made = provider(section, tmp_path)
    answers = list(made.answers(asked))
    assert [answer.id for answer in answers] == [question.id for question in asked]
    assert all(json.loads(answer.raw)["queries"][0] == f"what is {answer.id}" for answer in answers)
    (job,) = service.jobs
    assert job.request["roleArn"] == ROLE
    assert job.request["timeoutDurationInHours"] == 24
    assert len(job.request["clientRequestToken"]) == 32
    assert (made.spending.tokens_in, made.spending.tokens_out) == (120 * 50, 120 * 20)
    first = service.lines(job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])[0]
    assert first["modelInput"] == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "system": "be brief",
        "temperature": 0.7,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "text of 0"}]}],
    }


def test_a_second_run_pays_for_nothing(service, section, tmp_path):
    asked = questions(110)
    first = list(provider(section, tmp_path).answers(asked))
    second = provider(section, tmp_path)
    assert list(second.answers(asked)) == first
    assert service.creations == 1
    assert second.spending.tokens_in == 110 * 50


@pytest.mark.parametrize("end", ["Completed", "PartiallyCompleted", "Stopped", "Expired", "Failed"])
def test_what_a_job_left_out_is_asked_again_whatever_its_end(service, section, tmp_path, end):
    service.scripts = [Script(states=("Validating", "Scheduled", "InProgress", "Stopping", end), answers=0.5)]
    answers = list(provider(section, tmp_path).answers(questions(300)))
    assert all(answer.raw for answer in answers)
    assert [len(job.records) for job in service.jobs] == [300, 150]
    assert not set(service.jobs[0].records[:150]) & set(service.jobs[1].records)


def test_errors_and_unreadable_answers_are_asked_again(service, section, tmp_path):
    service.scripts = [Script(errors=100, unreadable=50)]
    made = provider(section, tmp_path)
    answers = list(made.answers(questions(300)))
    assert len(service.jobs[1].records) == 150
    assert all("queries" in answer.raw for answer in answers)
    assert [answer.attempts for answer in answers[:200]] == [1] * 100 + [2] * 50 + [1] * 50
    assert answers[120].tokens_in == 100


def test_an_answer_that_stays_unreadable_is_given_up(service, section, tmp_path):
    service.scripts = [Script(unreadable=1000)] * 3
    answers = list(provider(section, tmp_path).answers(questions(150)))
    assert {answer.attempts for answer in answers} == {3}
    assert len(service.jobs) == 3


def test_few_that_are_missing_are_left_and_named_with_the_error(service, section, tmp_path):
    service.scripts = [Script(errors=7)]
    answers = list(provider(changed(section, max_error_rate=0.05), tmp_path).answers(questions(150)))
    assert len(service.jobs) == 1
    assert [answer.error for answer in answers[:7]] == ["the model \N{REPLACEMENT CHARACTER}[31mbroke"] * 7
    assert [answer.attempts for answer in answers[:8]] == [0] * 7 + [1]


def test_too_few_to_make_a_job_are_filled_up_where_the_stage_would_fail_without_them(service, section, tmp_path):
    service.scripts = [Script(errors=60)]
    answers = list(provider(section, tmp_path).answers(questions(150)))
    assert [len(job.records) for job in service.jobs] == [150, 100]
    assert all(answer.raw for answer in answers)
    assert [answer.attempts for answer in answers] == [1] * 150


def test_a_corpus_below_the_least_number_of_records_is_refused_before_anything_is_paid(service, section, tmp_path):
    with pytest.raises(UsageError, match="99 questions are too few for a batch: Bedrock takes 100 at least"):
        list(provider(section, tmp_path).answers(questions(99)))
    assert not service.jobs


def test_a_batch_over_the_budget_is_refused_before_anything_is_paid(service, section, tmp_path):
    with pytest.raises(UsageError, match="would cost about"):
        list(provider(changed(section, max_dollars=0.000_1), tmp_path).answers(questions(200)))
    assert not service.creations


def test_the_accounts_quotas_divide_the_questions(service, section, tmp_path):
    service.quotas = (("Records per batch inference job for Claude Haiku 4.5", 130.0),)
    list(provider(section, tmp_path).answers(questions(300)))
    assert [len(job.records) for job in service.jobs] == [100, 100, 100]


def test_without_the_right_to_read_quotas_the_usual_limits_hold(service, section, tmp_path):
    service.quotas = ()
    made = provider(section, tmp_path)
    assert len(list(made.answers(questions(150)))) == 150
    assert any("The usual limits of a job are taken" in one for one in made.said)


def test_a_job_that_fails_is_told_in_bedrocks_words_and_the_next_run_starts_another(service, section, tmp_path):
    service.scripts = [Script(states=("Failed",), message="role can't\nread", answers=0)]
    with pytest.raises(RemoteFailed, match=r"none of 150 questions in turn 1: Failed: role can't read"):
        list(provider(section, tmp_path).answers(questions(150)))
    assert all(answer.raw for answer in provider(section, tmp_path).answers(questions(150)))
    assert len({job.request["clientRequestToken"] for job in service.jobs}) == 2


def test_who_lost_the_notes_finds_the_job_again(service, section, tmp_path):
    service.scripts = [Script(states=("InProgress", "Completed"))]
    with pytest.raises(StillRunning):
        list(provider(changed(section, wait_hours=0), tmp_path / "lost").answers(questions(150)))
    assert all(answer.raw for answer in provider(section, tmp_path / "other").answers(questions(150)))
    assert service.creations == 1


def test_jobs_that_run_are_not_waited_for_where_the_recipe_says_so(service, section, tmp_path):
    service.scripts = [Script(states=("Submitted", "InProgress", "InProgress", "Completed"))]
    short = changed(section, wait_hours=0)
    for _ in range(3):
        with pytest.raises(StillRunning, match=r"1 batch job of Bedrock not finished yet: 000000000000 \("):
            list(provider(short, tmp_path).answers(questions(150)))
    assert len(list(provider(short, tmp_path).answers(questions(150)))) == 150
    assert service.creations == 1


def test_a_job_that_stays_under_way_meets_the_deadline(service, section, tmp_path):
    service.scripts = [Script(states=("Stopping",))]
    clock = Fast()
    with pytest.raises(StillRunning):
        list(provider(changed(section, wait_hours=2), tmp_path, clock=clock).answers(questions(150)))
    assert 7200 <= clock.slept <= 7320


def test_a_service_that_is_away_for_a_while_ends_nothing(service, section, tmp_path):
    service.busy = 3
    assert len(list(provider(section, tmp_path).answers(questions(150)))) == 150


def test_a_full_account_is_waited_for(service, section, tmp_path):
    service.refusals = [(400, "ServiceQuotaExceededException")] * 3
    clock = Fast()
    assert len(list(provider(section, tmp_path, clock=clock).answers(questions(150)))) == 150
    assert clock.slept >= 180


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_a_refusal_says_what_is_missing(service, section, tmp_path, code):
    service.refusals = [(403 if code.startswith("Access") else 400, code)]
    with pytest.raises(Refused, match=f"A batch job of Bedrock was refused .{code}") as caught:
        list(provider(section, tmp_path).answers(questions(150)))
    assert ("iam:PassRole" in caught.value.hint) == code.startswith("Access")


def test_hostile_lines_of_output_are_nobodys_answers(service, section, tmp_path):
    strange = (
        b"no JSON", b"[]", b"7", b'{"recordId": 7}', b'{"recordId": "UNKNOWN"}', b"[" * 100_000, b"\xff\xfe",
        b'{"recordId": "X", "modelOutput": {"content": "text"}}',
    )  # fmt: skip
    service.scripts = [Script(extra=strange)]
    assert all(answer.raw for answer in provider(section, tmp_path).answers(questions(150)))


def test_a_missing_bucket_is_told_before_a_job(service, section, tmp_path):
    with pytest.raises((Refused, Unreachable), match="batches"):
        list(provider(changed(section, batch_s3="s3://no-such-bucket/batches"), tmp_path).answers(questions(150)))
    assert not service.creations


@pytest.mark.parametrize(
    "where",
    [
        "provider.jobs._create = die",
        "found = provider.jobs._create\nprovider.jobs._create = lambda note: (found(note), die())",
        "provider.jobs._looked = die",
        "provider.paid.__class__.put = die",
        "write = provider.jobs._write\nprovider.jobs._write = lambda note: die() if note.is_over else write(note)",
    ],
    ids=["before it is created", "before its ARN is kept", "before it is polled", "at the first answer", "at the end"],
)
def test_a_run_that_was_killed_starts_no_second_job(service, section, tmp_path, where):
    program = f"""
import os, signal
from pathlib import Path
from release_tool.core.finetune.money import Spending
from release_tool.core.finetune.sections import QueriesSection
from release_tool.core.finetune.records import Document
from release_tool.core.finetune.writing import Question, record_id
from release_tool.services.finetune import bedrock_jobs
from release_tool.services.finetune.bedrock import Bedrock
from release_tool.services.finetune.paid import PaidAnswers
bedrock_jobs.POLL_SECONDS = 0.01
section = QueriesSection(provider="bedrock", batch_s3={section.batch_s3!r}, batch_role={ROLE!r}, dollars_in=0.5,
                         dollars_out=2.5, max_dollars=10, per_document=2, retries=2)
provider = Bedrock(section=section, paid=PaidAnswers(Path({str(tmp_path / "bedrock")!r})), spending=Spending(section))
documents = [Document(id=f"a/b {{place}}.html", text=f"text of {{place}}") for place in range(150)]
asked = [Question(id=record_id(one.id), document=one, n=2, system="be brief", prompt=one.text) for one in documents]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
{where}
list(provider.answers(asked))
"""
    done = subprocess.run([sys.executable, "-c", program], env=dict(os.environ), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    answers = list(provider(section, tmp_path).answers(questions(150)))
    assert all(answer.raw for answer in answers)
    assert len(service.jobs) == service.creations == 1
