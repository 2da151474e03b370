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
from release_tool.core.escape import one_line
from release_tool.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ID = r"[a-z0-9_-]+"
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
        "review": (r"review\.(?:json|md|html)",),
        "publish": (r"receipt\.json",),
        "notify": (r"notice\.json",),
        "propose": (r"proposal\.json",),
    }.items()
}
"""Command → what it writes into the work folder. ``node`` is a later ``validate``, which may certify once more."""

SHA256 = re.compile(r"[0-9a-f]{64}")
HINT = "Run the whole workflow again; look into the job that made the file, if this repeats."


def makes(maker: str, path: str) -> bool:
    """Tell whether a command writes this file."""
    return any(pattern.fullmatch(path) for pattern in MAKES.get(maker, ()))


def files_text(files: Mapping[str, str]) -> str:
    """Return the output of a job: one line of JSON without a space, sorted by path."""
    return json.dumps(dict(sorted(files.items())), separators=(",", ":"))


def expected(outputs: Iterable[str]) -> dict[str, str]:
    """Return path → sha256 of every file that the jobs before have made.

    Args:
        outputs: ``maker:`` and the output of its job, in the order of the jobs; nothing behind the colon where the
            job did not run. A later maker may replace what it makes itself.

    Raises:
        IntegrityError: an output is none, names what its maker does not make, or contradicts one of the same maker.
    """
    found: dict[str, str] = {}
    said: dict[tuple[str, str], str] = {}
    for output in outputs:
        maker, _, text = output.partition(":")
        if maker not in MAKES:
            raise _broken(f"{one_line(maker)[:40]!r} is no maker of files")
        for path, sha256 in _files(maker, text).items():
            if said.setdefault((maker, path), sha256) != sha256:
                raise _broken(f"two jobs that {maker} disagree about {path}")
            if found.get(path) == sha256:
                continue
            if not makes(maker, path):
                raise _broken(f"a job that can only {maker} names {one_line(path)[:120]}")
            found[path] = sha256
    return found


def _files(maker: str, text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        files = parse_text(text)
    except DocumentFault as fault:
        raise _broken(f"the output of {maker} is {fault}") from fault
    if not isinstance(files, dict) or not all(
        isinstance(sha256, str) and SHA256.fullmatch(sha256) for sha256 in files.values()
    ):
        raise _broken(f"the output of {maker} is no map of path to sha256")
    return files


def _broken(problem: str) -> IntegrityError:
    return IntegrityError(f"What the jobs handed on is not to be trusted: {problem}.", hint=HINT)
