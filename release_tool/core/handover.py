"""What each command makes in the work folder, and how the jobs of a workflow hand it on.

A job gives ``files`` as its output: path → sha256 of what its command made. Outputs can't be changed by a later job,
as an artifact can; so a later job holds every file that it downloaded against the outputs of the jobs before it. A job
that ran a model's code is trusted with nothing: it may name what its own command makes, and no more.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from release_tool.core.codec import DocumentFault, parse_text
from release_tool.core.digest import SHA256_HEX
from release_tool.core.escape import one_line
from release_tool.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID = r"[a-z0-9_-]+"
_STAGES = r"(?:0[1-9]|10)-[a-z-]+"
_BELOW = r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+"
_PACKAGES = r"packages/(?:finetune-lambda\.zip|finetune-training\.tar\.gz|template\.yml)"
"""By scripts/build-finetune, before any command runs."""
_CERTIFIED = (rf"proof-[a-z]+-{_ID}\.json", rf"certificate-{_ID}\.json")
MAKES: Mapping[str, tuple[re.Pattern[str], ...]] = {
    maker: tuple(re.compile(pattern) for pattern in patterns)
    for maker, patterns in {
        "plan": (r"plan\.json", r"inputs/idf\.json"),
        "check": (r"plan\.json",),
        "fetch": (r"source\.json",),
        "answer": (r"answers-[a-z-]+\.safetensors",),
        "trace": (rf"bundle-{_ID}\.json", r"archives/[A-Za-z0-9._-]+"),
        "validate": _CERTIFIED,
        "node": _CERTIFIED,
        # Its certificates stay behind: the model's own code may run in its job, and a later one certifies.
        "quality": (rf"quality-{_ID}\.json",),
        "bench": (rf"speed-{_ID}\.json",),
        "review": (r"review\.(?:json|md|html)",),
        "publish": (r"receipt\.json",),
        "notify": (r"notice\.json",),
        "propose": (r"proposal\.json",),
        "finetune": (r"finetune/plan\.json", rf"finetune/{_STAGES}{_BELOW}", _PACKAGES),
    }.items()
}
"""Command → what it writes into the work folder. ``node`` is a later ``validate``, which may certify once more."""

PAID = re.compile(rf"finetune/paid{_BELOW}\.jsonl?")
"""What was paid for while a model is tuned: texts and ids of services, which are read as such and run nothing."""

OUTPUTS = (
    ("plan", "files", "plan"),
    ("check", "files", "check"),
    ("fetch", "files", "fetch"),
    ("answer", "files", "answer"),
    ("trace-torch-script", "files", "trace"),
    ("trace-onnx", "files", "trace"),
    ("trace", "files", "trace"),
    ("trace-torch-script", "proofs", "validate"),
    ("trace-onnx", "proofs", "validate"),
    ("quality", "files", "quality"),
    ("node", "files", "node"),
    ("review", "files", "review"),
    ("publish", "files", "publish"),
    ("notify", "files", "notify"),
    ("packages", "files", "finetune"),
    ("prepare", "files", "finetune"),
    ("queries", "files", "finetune"),
    ("train", "files", "finetune"),
    ("hand-over", "files", "finetune"),
)
"""Job of the workflows, its output, and what made the files that it names; in the order in which they are made."""
LIMITS: Mapping[str, re.Pattern[str]] = {
    "prepare": re.compile(r"finetune/(?:plan\.json|01-corpus/.+|02-split/.+)"),
    "queries": re.compile(r"finetune/03-queries/.+"),
    "train": re.compile(r"finetune/(?:04-filter|05-mine|06-teach|07-select|08-train)/.+"),
    "packages": re.compile(_PACKAGES),
    "hand-over": re.compile(r"finetune/(?:09-evaluate|10-hand-over)/.+"),
}
"""Job → what it alone may make, where one command runs in several jobs. What else it names is of the jobs before it,
unchanged."""
JOBS = frozenset({*(job for job, _, _ in OUTPUTS), "approval", "second-approval", "record"})

HINT = "Run the whole workflow again; look into the job that made the file, if this repeats."


def makes(maker: str, path: str) -> bool:
    """Tell whether a command writes this file."""
    return any(pattern.fullmatch(path) for pattern in MAKES.get(maker, ()))


def files_text(files: Mapping[str, str]) -> str:
    """Return the output of a job: one line of JSON without a space, sorted by path."""
    return json.dumps(dict(sorted(files.items())), separators=(",", ":"))


def expected(*needs: str) -> dict[str, tuple[str, str]]:
    """Return path → (sha256, maker) of every file that the jobs before have made.

    Args:
        needs: what GitHub's ``toJSON(needs)`` says of the jobs before: id → result and outputs. More than one where a
            workflow was called by another. Nothing in an output can pass for that of another job: it is JSON in JSON.

    Raises:
        IntegrityError: a job is unknown, an output is none, names what its maker does not make, or contradicts one of
            the same maker.
    """
    outputs: dict[tuple[str, str], str] = {}
    for text in needs:
        for job, found in _jobs(text).items():
            for name, value in found.items():
                if outputs.setdefault((job, name), value) != value:
                    raise _broken(f"{job} is given twice, with different outputs")
    made: dict[str, tuple[str, str]] = {}
    said: dict[tuple[str, str], str] = {}
    for job, name, maker in OUTPUTS:
        for path, sha256 in _files(job, outputs.get((job, name), "")).items():
            if said.setdefault((maker, path), sha256) != sha256:
                raise _broken(f"two jobs that {maker} disagree about {path}")
            if path in made and made[path][0] == sha256:
                continue
            if not makes(maker, path) or (job in LIMITS and not LIMITS[job].fullmatch(path)):
                raise _broken(f"a job that can only {job if job in LIMITS else maker} names {one_line(path)[:120]}")
            made[path] = (sha256, maker)
    return made


def _jobs(text: str) -> dict[str, dict[str, str]]:
    """Return job → its outputs; of one that was skipped there are none."""
    try:
        jobs = parse_text(text)
    except DocumentFault as fault:
        raise _broken(f"what is said of the jobs is {fault}") from fault
    if jobs is None:  # a job that needs none
        return {}
    if not isinstance(jobs, dict):
        raise _broken("what is said of the jobs is no map")
    found: dict[str, dict[str, str]] = {}
    for job, about in jobs.items():
        outputs = about.get("outputs") if isinstance(about, dict) else ""
        outputs = {} if outputs is None else outputs
        if job not in JOBS:
            raise _broken(f"{one_line(job)[:40]!r} is no job of a release")
        if not isinstance(outputs, dict) or not all(isinstance(value, str) for value in outputs.values()):
            raise _broken(f"{job} has something else than outputs")
        found[job] = outputs
    return found


def _files(job: str, text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        files = parse_text(text)
    except DocumentFault as fault:
        raise _broken(f"the output of {job} is {fault}") from fault
    if not isinstance(files, dict) or not all(
        isinstance(sha256, str) and SHA256_HEX.fullmatch(sha256) for sha256 in files.values()
    ):
        raise _broken(f"the output of {job} is no map of path to sha256")
    return files


def _broken(problem: str) -> IntegrityError:
    return IntegrityError(f"What the jobs handed on is not to be trusted: {problem}.", hint=HINT)
