"""A double of Bedrock's batch jobs and of Service Quotas, on loopback; inputs and outputs lie in a real S3 server.

Each job follows a script: the states that it shows, one a question, and what becomes of its records. It keeps to the
service's documentation where that says something: a token asked twice starts one job, a job has a least number of
records, output lies in a folder named by the job's id, lines in any order.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from chance import seeded
from http_double import AnswersAll, Double

ACCOUNT = "123456789012"
QUOTAS = (
    ("Minimum number of records per batch inference job for Claude Haiku 4.5", 100.0),
    ("Records per batch inference job for Claude Haiku 4.5", 50_000.0),
    ("Records per input file per batch inference job for Claude Haiku 4.5", 50_000.0),
    ("Batch inference input file size (in GB) for Claude Haiku 4.5", 1.0),
    ("Minimum number of records per batch inference job for Claude 3 Opus", 1000.0),
)


@dataclass
class Script:
    """What becomes of one job."""

    states: tuple[str, ...] = ("Submitted", "InProgress", "Completed")
    """One a question; the last one stays."""
    message: str = ""
    answers: float = 1.0
    """Share of the records, in the order of the input, that have a line of output."""
    errors: int = 0
    """Of these, the first so many are errors."""
    unreadable: int = 0
    """And the next so many hold no queries."""
    extra: tuple[bytes, ...] = ()
    """Further lines of output."""


@dataclass
class Job:
    """A job that was created."""

    id: str
    request: dict
    script: Script
    records: list[str]
    asked: int = 0
    written: bool = False

    @property
    def arn(self):
        return f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-invocation-job/{self.id}"

    @property
    def status(self):
        return self.script.states[min(self.asked, len(self.script.states)) - 1 if self.asked else 0]


class Bedrock(Double):
    """Running; ``jobs`` are those that were created, in order."""

    def __init__(self, store, *, minimum=100):
        super().__init__(Handler)
        self.store = store
        self.minimum = minimum
        self.quotas = QUOTAS
        self.scripts = []
        """For the jobs to come; then the default."""
        self.refusals = []
        """(status, code) that the next creations are answered with."""
        self.jobs = []
        self.creations = 0
        """Requests to create, answered by an old job ones included."""
        self.busy = 0
        """Questions about states that are answered by 500."""

    def environment(self):
        return {"AWS_ENDPOINT_URL_BEDROCK": self.address, "AWS_ENDPOINT_URL_SERVICE_QUOTAS": self.address}

    def create(self, request):
        """Return status and answer of CreateModelInvocationJob."""
        self.creations += 1
        if self.refusals:
            status, code = self.refusals.pop(0)
            return status, {"__type": code, "message": f"no: {code}"}
        for job in self.jobs:
            if job.request["clientRequestToken"] == request["clientRequestToken"]:
                return 200, {"jobArn": job.arn}
        lines = self.lines(request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        records = [line["recordId"] for line in lines]
        if len(records) < self.minimum or len(set(records)) < len(records):
            return 400, {"__type": "ValidationException", "message": f"{len(records)} records"}
        wrong = [one for one in records if not re.fullmatch(r"[a-zA-Z0-9]+", one)]
        if wrong:
            return 400, {"__type": "ValidationException", "message": f"{wrong[0]} is no record id"}
        script = self.scripts.pop(0) if self.scripts else Script()
        self.jobs.append(Job(id=f"{len(self.jobs):012}", request=request, script=script, records=records))
        return 200, {"jobArn": self.jobs[-1].arn}

    def lines(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body = self.store.get_object(Bucket=bucket, Key=key)["Body"].read()
        return [json.loads(line) for line in body.splitlines()]

    def look(self, job):
        """Return the answer of GetModelInvocationJob, one step further."""
        job.asked += 1
        if job.status not in ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping") and not job.written:
            self.write(job)
        return {
            **self.summary(job),
            "message": job.script.message,
            "totalRecordCount": len(job.records),
            "processedRecordCount": len(job.records) if job.written else 0,
        }

    def summary(self, job):
        asked = job.request
        return {
            "jobArn": job.arn,
            "jobName": asked["jobName"],
            "modelId": asked["modelId"],
            "status": job.status,
            "roleArn": asked["roleArn"],
            "submitTime": "2026-01-01T00:00:00Z",
            "inputDataConfig": asked["inputDataConfig"],
            "outputDataConfig": asked["outputDataConfig"],
        }

    def write(self, job):
        """Write the output of a job, shuffled, into two files."""
        job.written = True
        answered = job.records[: round(len(job.records) * job.script.answers)]
        lines = [self.line(job.script, place, record) for place, record in enumerate(answered)]
        lines += job.script.extra
        seeded(job.id).shuffle(lines)
        uri = job.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        base = f"{prefix.rstrip('/')}/{job.id}"
        half = len(lines) // 2
        for name, part in (("input.jsonl.out", lines[:half]), ("input-1.jsonl.out", lines[half:])):
            self.store.put_object(Bucket=bucket, Key=f"{base}/{name}", Body=b"".join(one + b"\n" for one in part))
        self.store.put_object(Bucket=bucket, Key=f"{base}/manifest.json.out", Body=b'{"totalRecordCount": 1}')

    @staticmethod
    def line(script, place, record):
        data = {"recordId": record, "modelInput": {}}
        if place < script.errors:
            data["error"] = {"errorCode": 500, "errorMessage": "the model \x1b[31mbroke"}
        else:
            text = json.dumps({"queries": [f"what is {record}", f"who is {record}"]})
            if place < script.errors + script.unreadable:
                text = "I can't help with that."
            data["modelOutput"] = {
                "content": [{"type": "text", "text": text}],
                "usage": {"input_tokens": 50, "output_tokens": 20},
            }
        return json.dumps(data).encode()


class Handler(AnswersAll):
    """Its requests."""

    def answer(self):
        double, where = self.double, urlsplit(self.path)
        path, body = unquote(where.path), self.body()
        if self.headers.get("X-Amz-Target", "").endswith("ListServiceQuotas"):
            quotas = [{"QuotaName": name, "Value": value} for name, value in double.quotas]
            return self.reply(200, {"Quotas": quotas}) if quotas else self.reply(400, {"__type": "AccessDenied"})
        if path == "/model-invocation-job":
            return self.reply(*double.create(json.loads(body)))
        if path == "/model-invocation-jobs":
            name = parse_qs(where.query)["nameContains"][0]
            found = [double.summary(job) for job in double.jobs if name in job.request["jobName"]]
            return self.reply(200, {"invocationJobSummaries": found})
        if double.busy > 0:
            double.busy -= 1
            return self.reply(500, {"__type": "InternalServerException", "message": "later"})
        for job in double.jobs:
            if path == f"/model-invocation-job/{job.arn}":
                return self.reply(200, double.look(job))
        return self.reply(404, {"__type": "ResourceNotFoundException", "message": "no such job"})

    def reply(self, status, data):
        kind = data.get("__type")
        headers = {"x-amzn-ErrorType": kind} if kind else {}
        self.send(status, json.dumps(data).encode(), "application/json", headers)
