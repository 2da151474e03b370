"""Bedrock's batch inference as data: records, states, limits, names of jobs; what is asked and read stands in services.

A record is a line of JSON: ``recordId`` and ``modelInput``, the body that the model takes by itself. The output holds
the same lines with ``modelOutput`` or ``error``, in any order; nothing but the id says which is which.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from release_tool.core.finetune.writing import Question

ANTHROPIC_VERSION = "bedrock-2023-05-31"
TOKEN_CHARACTERS = 32
MAX_ERROR = 200


class JobStatus(StrEnum):
    """Every state of a job."""

    SUBMITTED = "Submitted"
    VALIDATING = "Validating"
    SCHEDULED = "Scheduled"
    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    PARTIALLY_COMPLETED = "PartiallyCompleted"
    EXPIRED = "Expired"
    FAILED = "Failed"

    @property
    def is_over(self) -> bool:
        """Whether it stays so."""
        return self in {
            JobStatus.STOPPED,
            JobStatus.COMPLETED,
            JobStatus.PARTIALLY_COMPLETED,
            JobStatus.EXPIRED,
            JobStatus.FAILED,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnswer:
    """What a line of output says."""

    record: str
    text: str | None = None
    """Null where there was an error."""
    error: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A row of ``records``, beside a job's note."""

    STEM: ClassVar[str] = "records"

    record: str
    key: str
    """Under which its answer is kept; "" for one that only fills the job up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNote:
    """What is written of a job before it is started, and again before it is waited for."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-batch-job@1"

    schema: str = "release-tool/finetune-batch-job@1"
    token: str
    """By which Bedrock knows the request again; names the job, too."""
    input: str
    output: str
    records: int
    arn: str = ""
    """"" where it is not known yet whether it was started."""
    status: str = ""
    """The last one; the answers of a job that is over are kept before it is written."""
    message: str = ""
    answered: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in set(JobStatus) and JobStatus(self.status).is_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may hold."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-batch-limits@1"

    schema: str = "release-tool/finetune-batch-limits@1"
    min_records: int = 100
    max_records: int = 50_000
    max_bytes: int = 1 << 30
    """Of its one file."""


def record_line(question: Question, *, max_tokens: int, temperature: float) -> bytes:
    """Return the line of a question, in the form of Anthropic's messages."""
    body: dict[str, Any] = {"anthropic_version": ANTHROPIC_VERSION, "max_tokens": max_tokens}
    if question.system:
        body["system"] = question.system
    body |= {
        "temperature": temperature,
        "messages": [{"role": "user", "content": [{"type": "text", "text": question.prompt}]}],
    }
    return json.dumps({"recordId": question.id, "modelInput": body}, separators=(",", ":")).encode() + b"\n"


def read_answer(line: bytes) -> BatchAnswer | None:
    """Read a line of output; null where it names no record, so that the record stays without an answer."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    record = data.get("recordId") if isinstance(data, dict) else None
    if not isinstance(record, str):
        return None
    error = data.get("error")
    output = data.get("modelOutput")
    usage = output.get("usage") if isinstance(output, dict) else None
    text = None if error else _text_of(output)
    return BatchAnswer(
        record=record,
        text=text,
        error="" if text is not None else _error_text(error) if error else "the answer holds no text",
        tokens_in=_count(usage, "input_tokens"),
        tokens_out=_count(usage, "output_tokens"),
    )


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _error_text(error: Any) -> str:
    words = error.get("errorMessage") or error.get("errorCode") if isinstance(error, dict) else error
    return clip(one_line(str(words)), MAX_ERROR)


def _text_of(output: Any) -> str | None:
    content = output.get("content") if isinstance(output, dict) else None
    if not isinstance(content, list):
        return None
    texts = [
        one["text"]
        for one in content
        if isinstance(one, dict) and one.get("type") == "text" and isinstance(one.get("text"), str)
    ]
    text = "".join(texts)
    return text if _is_text(text) and text else None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a half of a surrogate pair, which JSON may hold and no file can
        return False
    return True


def job_token(model: str, keys: Iterable[str]) -> str:
    """Return the token of a job: first 32 digits of the fingerprint of what it asks. Asked twice, it starts once."""
    digest = hashlib.sha256(model.encode())
    for key in keys:
        digest.update(f"\n{key}".encode())
    return digest.hexdigest()[:TOKEN_CHARACTERS]


def job_name(token: str) -> str:
    """Return the name of a job: at most 63 letters, digits and hyphens."""
    return f"finetune-{token}"


def limits_of(quotas: Iterable[tuple[str, float]], model: str, default: Limits) -> Limits:
    """Return the limits that an account's quotas set for a model.

    A quota's name ends with the model's, in words ("... for Claude Haiku 4.5"); where none does, the strictest of the
    others holds: a job that is refused costs a day, a second job costs nothing.

    Args:
        quotas: (name, value) of Service Quotas for Bedrock.
        model: id that the recipe names.
        default: where no quota speaks of batches.
    """
    found = [(name, value) for name, value in quotas if "batch inference" in name.lower()]
    mine = [(name, value) for name, value in found if _is_of(name, model)]
    return Limits(
        min_records=int(_strictest(mine, found, r"minimum number of records", max, default.min_records)),
        max_records=int(_strictest(mine, found, r"^records per (input file per )?batch", min, default.max_records)),
        max_bytes=int(_strictest(mine, found, r"^batch inference (input file|job) size", min, 0) * 2**30)
        or default.max_bytes,
    )


def _strictest(
    mine: Sequence[tuple[str, float]], others: Sequence[tuple[str, float]], pattern: str, choose: Any, default: float
) -> float:
    for group in (mine, others):
        values = [value for name, value in group if re.search(pattern, name, re.IGNORECASE) and value > 0]
        if values:
            return float(choose(values))
    return default


def _is_of(name: str, model: str) -> bool:
    _, said, words = name.rpartition(" for ")
    wanted = re.findall(r"[a-z]+|\d+", words.lower())
    held = re.findall(r"[a-z]+|\d+", model.lower())
    # "Claude 3.5 Haiku" and claude-3-5-haiku, "Claude Haiku 4.5" and claude-haiku-4-5: the same words, side by side.
    return bool(said) and any(held[at : at + len(wanted)] == wanted for at in range(len(held)))


def divide(sizes: Sequence[int], limits: Limits) -> list[range]:
    """Divide records into jobs of about the same number, none beyond its limits.

    Args:
        sizes: bytes of each record's line, in order.
        limits: of a job.

    Returns:
        The positions of each job's records; every job but a single one has at least ``min_records`` where the sizes
        let it.
    """
    if not sizes:
        return []
    jobs = max(-(-len(sizes) // limits.max_records), -(-sum(sizes) // limits.max_bytes))
    while True:
        ranges = [range(len(sizes) * one // jobs, len(sizes) * (one + 1) // jobs) for one in range(jobs)]
        if jobs >= len(sizes) or all(sum(sizes[at] for at in one) <= limits.max_bytes for one in ranges):
            return ranges
        jobs += 1
