"""Batch files: all questions in one file, answered within a day, at half the price where a service has a price.

Services with ``/files`` and ``/batches`` are sent the file; its id, and the batch's, are written down before anything
is waited for, and a killed run goes on waiting for the same batch. For servers without them (vLLM) the file is left
for ``vllm run-batch``, whose output is taken from beside it. Answers are joined by the id of the question; the files
come in any order, and a batch that expired or was cancelled has some of them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.finetune.answers import parse_answer
from release_tool.core.finetune.money import answer_tokens, check_estimate, cost_of, tokens_of
from release_tool.errors import RemoteFailed, StillRunning, Unreachable, UsageError
from release_tool.services.finetune.batch_files import MAX_LINE, BatchFiles, Sent, asked_as, custom_id
from release_tool.services.finetune.chat import CHAT
from release_tool.services.finetune.earlier_answers import EarlierAnswers
from release_tool.services.finetune.replies import Declined, Passing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from release_tool.core.finetune.money import Spending
    from release_tool.core.finetune.writing import Answer, Question, Questions
    from release_tool.services.finetune.chat import ChatService
    from release_tool.services.finetune.paid import PaidAnswers

POLL_SECONDS = 30.0
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
NO_BATCHES = frozenset({404, 405, 501})


@dataclass(slots=True)
class _Asked:
    """What is held in memory of a question."""

    keys: list[str]
    """Of the answers that are there, in order, and of the one that would come next."""
    tokens: int
    is_readable: bool = False
    """Whether the last answer holds queries."""

    @property
    def attempt(self) -> int:
        """Number of the answer that would come next: of how many are there."""
        return len(self.keys) - 1


@dataclass
class Batches:
    """Asks by batch files."""

    service: ChatService
    paid: PaidAnswers
    spending: Spending
    tell: Callable[[str], None]
    poll_seconds: float = POLL_SECONDS
    pauses: tuple[float, ...] = PAUSES
    had: EarlierAnswers = field(init=False)
    _errors: dict[str, str] = field(default_factory=dict, init=False)
    """Question → why the service did not answer it."""

    def __post_init__(self) -> None:
        """Look among what was paid for."""
        self.had = EarlierAnswers(section=self.service.section, paid=self.paid, parameters=self.service.parameters())

    def answers(self, questions: Questions) -> Generator[Answer]:
        """Yield the answers; see ``Provider``.

        Raises:
            UsageError: the server has no batches: what to do is said; or the budget is reached.
            RemoteFailed: the service refuses a batch.
            StillRunning: a batch is under way and ``queries.wait_hours`` have passed.
            Unreachable: it does not answer.
        """
        files = BatchFiles(self.paid.folder)
        asked = {one.id: self._asked(one) for one in questions}
        fetched = files.open()
        for sent in fetched:
            self._finish(files, sent, asked)
        if fetched:
            asked = {one.id: self._asked(one) for one in questions}
        missing = self._missing(asked, is_later=bool(fetched))
        if missing:
            self._check_money(questions, asked, missing)
            for sent in files.write(questions, missing, self.service.body_of, f"/v1/{CHAT}"):
                self._finish(files, sent, asked)
        for question in questions:
            answer = self.had.last(question, self._errors.get(question.id, "not in the answers of the batch"))
            self.spending.add(answer.tokens_in, answer.tokens_out)
            yield answer

    def _asked(self, question: Question) -> _Asked:
        had = self.had.of(question)
        return _Asked(
            keys=[self.had.key(question, attempt) for attempt in range(len(had) + 1)],
            tokens=tokens_of(question.system) + tokens_of(question.prompt),
            is_readable=bool(had) and bool(parse_answer(had[-1].raw, question.n).queries),
        )

    def _missing(self, asked: dict[str, _Asked], *, is_later: bool) -> dict[str, str]:
        """Return question → what it is called in the next batch, of those that have no answer or one that nobody reads.

        Few enough to go without are not worth another day of waiting, where all were asked before.

        Args:
            asked: all questions.
            is_later: whether a batch was fetched just now.
        """
        most = self.service.section.retries
        missing = {
            name: custom_id(name, one.attempt)
            for name, one in asked.items()
            if not one.is_readable and one.attempt <= most
        }
        is_later = is_later or all(asked[name].attempt for name in missing)
        is_enough = is_later and len(missing) <= self.service.section.max_error_rate * len(asked)
        return {} if is_enough else missing

    def _check_money(self, questions: Questions, asked: dict[str, _Asked], missing: dict[str, str]) -> None:
        """Refuse a batch that would go over the budget together with what was spent before.

        Raises:
            UsageError: with the figures.
        """
        section = self.service.section
        tokens_in = sum(asked[name].tokens for name in missing)
        tokens_out = len(missing) * answer_tokens(section.per_document, section.max_tokens)
        if any(one.attempt for one in asked.values()):
            for had in (one for question in questions for one in self.had.of(question)):
                tokens_in += had.tokens_in
                tokens_out += had.tokens_out
        check_estimate(section, cost_of(section, tokens_in, tokens_out), len(asked))

    def _finish(self, files: BatchFiles, sent: Sent, asked: dict[str, _Asked]) -> None:
        """Bring one batch to its end, from wherever it stands, and keep its answers."""
        answers = files.answers_beside(sent)
        if answers is not None:
            self._keep(files.lines(answers), asked)
            files.done(sent)
            return
        if not sent.file_id:
            sent = self._upload(files, sent)
        if not sent.batch_id:
            sent = self._start(files, sent)
        batch = self._wait(sent)
        for word in ("output_file_id", "error_file_id"):
            if isinstance(batch.get(word), str) and batch[word]:
                self._keep_file(batch[word], asked)
        files.done(sent)
        if batch["status"] == "failed":
            raise RemoteFailed(f"The batch failed: {self._causes(batch)}", hint="What was answered is kept.")
        if batch["status"] != "completed":
            self.tell(f"The batch {one_line(batch['status'])}: what it had answered is kept, the rest has no answer.")

    def _upload(self, files: BatchFiles, sent: Sent) -> Sent:
        name = sent.path.name
        with sent.path.open("rb") as stream:
            status, headers, data = self._patiently(
                "POST", "files", files={"file": (name, stream, "application/jsonl")}, data={"purpose": "batch"}
            )
        if status in NO_BATCHES:
            raise UsageError(
                f"{self.service.address} has no batches. The questions are in {sent.path}",
                hint=f"Have them answered, such as by vllm run-batch -i {name} -o {sent.answers.name} --model MODEL in "
                "that folder, then run the stage again: answers beside the file are taken.",
            )
        if status != 200 or not _id_of(data):
            self._refuse(status, headers, data)
        return files.note(sent, file_id=_id_of(data))

    def _start(self, files: BatchFiles, sent: Sent) -> Sent:
        """Start a batch, unless a killed run did so and could not write down its id."""
        status, headers, data = self._patiently("GET", "batches?limit=100")
        if status == 200 and isinstance(data, dict) and isinstance(data.get("data"), list):
            for one in data["data"]:
                if isinstance(one, dict) and one.get("input_file_id") == sent.file_id and _id_of(one):
                    return files.note(sent, file_id=sent.file_id, batch_id=_id_of(one))
        body = {"input_file_id": sent.file_id, "endpoint": f"/v1/{CHAT}", "completion_window": "24h"}
        status, headers, data = self._once("POST", "batches", body)
        if status != 200 or not _id_of(data):
            self._refuse(status, headers, data)
        return files.note(sent, file_id=sent.file_id, batch_id=_id_of(data))

    def _wait(self, sent: Sent) -> dict[str, Any]:
        """Return the batch after it has ended, whichever way."""
        until, before = time.monotonic() + self.service.section.wait_hours * 3600, ""
        while True:
            status, headers, data = self._patiently("GET", f"batches/{sent.batch_id}")
            if status != 200 or not isinstance(data, dict) or not isinstance(data.get("status"), str):
                self._refuse(status, headers, data)
            if data["status"] in ENDED:
                return dict(data)
            if data["status"] != before:
                before = data["status"]
                self.tell(f"Batch {one_line(sent.batch_id)}: {one_line(before)}")
            if time.monotonic() >= until:
                raise StillRunning(f"The batch {one_line(sent.batch_id)} is not finished yet: {one_line(before)}.")
            time.sleep(max(0.0, min(self.poll_seconds, until - time.monotonic())))

    def _keep(self, lines: Iterable[bytes], asked: dict[str, _Asked]) -> None:
        """Store what a file of answers holds, line by line."""
        for line in lines:
            try:
                data: Any = json.loads(line)
            except (ValueError, RecursionError):
                continue
            name, attempt = asked_as(data.get("custom_id") if isinstance(data, dict) else None)
            one = asked.get(name)
            # An answer that was stored before is stored in its own place again: a kill came between it and the end.
            if one is not None and attempt < len(one.keys):
                self._keep_one(name, one.keys[attempt], one.tokens, data)

    def _keep_one(self, name: str, key: str, tokens: int, data: dict[str, Any]) -> None:
        response = data.get("response")
        response = response if isinstance(response, dict) else {}
        if data.get("error") or response.get("status_code", 200) != 200:
            self._errors[name] = _problem(data.get("error"), response)
            return
        try:
            self.paid.put(key, self.service.answer_in(response.get("body"), tokens))
        except Passing as error:
            self._errors[name] = error.reason

    def _keep_file(self, file_id: str, asked: dict[str, _Asked]) -> None:
        """Store what a file of the service holds; one that is cut is read again from its beginning."""
        for pause in (*self.pauses, None):
            try:
                self._keep(self.service.download(f"files/{file_id}/content", MAX_LINE), asked)
            except Passing as error:
                if pause is None:
                    raise Unreachable(
                        f"{self.service.address} does not hand out the answers: {error.reason}."
                    ) from error
                time.sleep(pause)
            except Declined as error:
                raise RemoteFailed(
                    f"{self.service.address} refuses the answers of a batch: {error.reason}.",
                    hint="Run the stage again: it looks at the same batch, and nothing is asked twice.",
                ) from error
            else:
                return

    def _causes(self, batch: dict[str, Any]) -> str:
        errors = batch.get("errors")
        rows = errors.get("data") if isinstance(errors, dict) else None
        said = [str(one.get("message")) for one in rows or () if isinstance(one, dict)]
        return self.service.words("; ".join(said[:3]) or "the service says no cause")

    def _patiently(self, method: str, path: str, **how: Any) -> tuple[int, dict[str, str], Any]:
        """Send a request that does no harm twice, and again while the service can't answer."""
        for pause in self.pauses:
            try:
                status, headers, data = self.service.send(method, path, **how)
            except Passing:
                pass
            else:
                if status < 500 and status not in (408, 429):
                    return status, headers, data
                if status in NO_BATCHES:
                    return status, headers, data
            for stream in (one[1] for one in how.get("files", {}).values()):
                stream.seek(0)
            time.sleep(pause)
        return self._once(method, path, **how)

    def _once(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, dict[str, str], Any]:
        try:
            return self.service.send(method, path, body, **how)
        except Passing as error:
            raise Unreachable(f"{self.service.address} does not answer: {error.reason}.") from error

    def _refuse(self, status: int, headers: dict[str, str], data: Any) -> None:
        try:
            self.service.refuse(status, headers, data)
        except Passing as error:
            raise Unreachable(f"{self.service.address} can't do it now: {error.reason}.") from error
        except Declined as error:
            raise RemoteFailed(f"{self.service.address} refuses the batch: {error.reason}.") from error


def _id_of(data: Any) -> str:
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else ""


def _problem(error: Any, response: dict[str, Any]) -> str:
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str):
        return one_line(code)[:80]
    return (
        f"status {response['status_code']}" if isinstance(response.get("status_code"), int) else "an error in the batch"
    )
