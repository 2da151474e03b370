"""Batch jobs of Bedrock: each started once, whatever is killed when; waited for; their answers kept before all else.

The order of writing is the promise: the input lies in S3 before the note, the note before the job, the job's ARN in the
note before the first question about its state, the answers on disk before the note says that the job is over. A note
without an ARN is a job that may have been started: its token and its name find it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import encode_text
from release_tool.core.escape import one_line
from release_tool.core.finetune.bedrock_batch import BatchRecord, JobNote, JobStatus, job_name, job_token, read_answer
from release_tool.core.quantity import clip
from release_tool.documents import WorkFolder, write_atomic
from release_tool.errors import Refused, Unreachable
from release_tool.part_files import part_path, read_rows, write_part
from release_tool.services.boto import code_of
from release_tool.services.clock import Clock
from release_tool.services.finetune.aws import asked, split_s3
from release_tool.services.finetune.paid import PaidAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from release_tool.core.finetune.sections import QueriesSection
    from release_tool.services.finetune.paid import PaidAnswers

NOTE = "job.json"
POLL_SECONDS = 60.0
LOST_POLLS = 10
"""Questions about states, one after the other, that may stay without an answer."""
FULL = frozenset({"ServiceQuotaExceededException", "LimitExceededException"})
TAKEN = frozenset({"ConflictException"})
MAX_MESSAGE = 300


@dataclass
class BatchJobs:
    """The jobs of one run of stage queries."""

    section: QueriesSection
    folder: Path
    """Of the notes: a folder a job, named by its token."""
    paid: PaidAnswers
    control: Any
    """boto3's client of ``bedrock``."""
    store: Any
    """boto3's client of ``s3``."""
    clock: Clock = field(default_factory=Clock)
    say: Callable[[str], None] = lambda _: None
    count: Callable[[int, int], None] = lambda _in, _out: None
    """Told the tokens of every answer that came, kept or not."""
    errors: dict[str, str] = field(default_factory=dict, init=False)
    """Record → what a job said instead of an answer."""

    def notes(self) -> list[JobNote]:
        """Return the notes of all jobs, of earlier runs too."""
        return [
            WorkFolder(path.parent).read(JobNote, NOTE, made_by="finetune queries")
            for path in sorted(self.folder.glob(f"*/{NOTE}"))
        ]

    def open(self) -> list[JobNote]:
        """Return the notes of the jobs that are not over."""
        return [note for note in self.notes() if not note.is_over]

    def records(self, token: str) -> dict[str, str]:
        """Return record → key of a job's answers."""
        return {row.record: row.key for row in read_rows(self.folder / token, BatchRecord)}

    def start(self, path: Path, records: Iterable[BatchRecord]) -> JobNote:
        """Start a job of an input file, or find the one that was started of it.

        Args:
            path: the lines of the input, on this machine.
            records: of it, in order.

        Raises:
            Refused: Bedrock or S3 says no.
            Unreachable: neither yes nor no.
        """
        rows = list(records)
        token = self._token(rows)
        base = self.section.batch_s3.rstrip("/")
        note = JobNote(
            token=token,
            input=f"{base}/{token}/input.jsonl",
            output=f"{base}/{token}/output/",
            records=len(rows),
        )
        bucket, key = split_s3(note.input)
        with asked(f"Writing {note.input}", "s3:PutObject"):
            self.store.upload_file(str(path), bucket, key)
        write_part(part_path(self.folder / token, BatchRecord.STEM, 0), rows)
        self._write(note)
        return self._started(note)

    def _token(self, rows: list[BatchRecord]) -> str:
        """Return the token of a job that is not over: one that failed is known under its own for good."""
        over = {note.token for note in self.notes() if note.is_over}
        turn = 0
        while True:
            token = job_token(f"{self.section.model} {turn}", (f"{row.record} {row.key}" for row in rows))
            if token not in over:
                return token
            turn += 1

    def _started(self, note: JobNote) -> JobNote:
        """Return a note with the ARN of its job: started before, or now."""
        arn = self._found(note) or self._create(note)
        started = replace(note, arn=arn, status=JobStatus.SUBMITTED.value)
        self._write(started)
        self.say(f"Bedrock's job {arn.rpartition('/')[2]}: {note.records:,} records")
        return started

    def _found(self, note: JobNote) -> str:
        """Return the ARN of a job with the note's name; "" where there is none."""
        name = job_name(note.token)
        with asked("The list of Bedrock's batch jobs", "bedrock:ListModelInvocationJobs"):
            for page in self.control.get_paginator("list_model_invocation_jobs").paginate(nameContains=name):
                for one in page["invocationJobSummaries"]:
                    if one["jobName"] == name:
                        return str(one["jobArn"])
        return ""

    def _create(self, note: JobNote) -> str:
        """Create a job; waits while the account has as many as it may."""
        until = self.clock.elapsed() + self.section.wait_hours * 3600
        with asked("A batch job of Bedrock", "bedrock:CreateModelInvocationJob and iam:PassRole"):
            while True:
                try:
                    made = self.control.create_model_invocation_job(
                        jobName=job_name(note.token),
                        clientRequestToken=note.token,
                        roleArn=self.section.batch_role,
                        modelId=self.section.model,
                        inputDataConfig={"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": note.input}},
                        outputDataConfig={"s3OutputDataConfig": {"s3Uri": note.output}},
                        timeoutDurationInHours=self.section.batch_hours,
                    )
                    return str(made["jobArn"])
                except self.control.exceptions.ClientError as error:
                    code = code_of(error)
                    found = self._found(note) if code in TAKEN else ""
                    if found:
                        return found
                    if code not in FULL or self.clock.elapsed() >= until:
                        raise
                self.say("The account has as many batch jobs as it may: wait for one to end")
                self.clock.sleep(POLL_SECONDS)

    def wait(self, notes: list[JobNote]) -> tuple[list[JobNote], list[JobNote]]:
        """Wait until all jobs are over, or as long as the recipe says.

        Returns:
            Those that are over, their answers kept, and those that still run.

        Raises:
            Refused: Bedrock or S3 says no.
            Unreachable: nobody answered for a long time.
        """
        until = self.clock.elapsed() + self.section.wait_hours * 3600
        running = [note if note.arn else self._started(note) for note in notes]
        over: list[JobNote] = []
        lost = 0
        while running:
            try:
                seen = [self._looked(note) for note in running]
                lost = 0
            except Unreachable:
                lost += 1
                if lost >= LOST_POLLS:
                    raise
                seen = running
            over += [self._collected(note) for note in seen if note.is_over]
            running = [note for note in seen if not note.is_over]
            if running and self.clock.elapsed() >= until:
                break
            if running:
                self.clock.sleep(POLL_SECONDS)
        return over, running

    def _looked(self, note: JobNote) -> JobNote:
        """Return a note with its job's state of now."""
        with asked(f"The state of {note.arn}", "bedrock:GetModelInvocationJob"):
            found = self.control.get_model_invocation_job(jobIdentifier=note.arn)
        status, message = str(found["status"]), clip(one_line(str(found.get("message") or "")), MAX_MESSAGE)
        if status not in set(JobStatus):
            raise Refused(f"{note.arn} is {clip(one_line(status), 60)!r}, a state that is not known.")
        if status != note.status:
            done, total = found.get("processedRecordCount"), found.get("totalRecordCount")
            self.say(f"{note.arn.rpartition('/')[2]} is {status}" + (f", {done:,} of {total:,}" if done else ""))
        return replace(note, status=status, message=message)

    def _collected(self, note: JobNote) -> JobNote:
        """Keep the answers of a job that is over, whatever its end was, and write down that it is."""
        keys, answered = self.records(note.token), set()
        bucket, prefix = split_s3(note.output)
        with asked(f"The output of {note.arn}", "s3:ListBucket and s3:GetObject"):
            for page in self.store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
                for item in page.get("Contents", ()):
                    if not item["Key"].endswith(".jsonl.out"):
                        continue
                    for line in self.store.get_object(Bucket=bucket, Key=item["Key"])["Body"].iter_lines():
                        record = self._keep(line, keys)
                        answered.add(record)
        answered.discard("")
        over = replace(note, answered=len(answered))
        self._write(over)
        self.say(f"{note.arn.rpartition('/')[2]} gave {len(answered):,} of {len(keys):,} answers")
        return over

    def _keep(self, line: bytes, keys: dict[str, str]) -> str:
        """Keep the answer of a line and return its record; "" where it is none of this job's."""
        answer = read_answer(line)
        if answer is None or answer.record not in keys:
            return ""
        self.count(answer.tokens_in, answer.tokens_out)
        if answer.text is None:
            self.errors[answer.record] = answer.error
            return ""
        key = keys[answer.record]
        if key:
            self.paid.put(
                key,
                PaidAnswer(
                    raw=answer.text,
                    tokens_in=answer.tokens_in,
                    tokens_out=answer.tokens_out,
                    model=self.section.model,
                ),
            )
        return answer.record

    def _write(self, note: JobNote) -> None:
        write_atomic(self.folder / note.token / NOTE, encode_text(note))
