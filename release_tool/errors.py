"""Every error that a user can meet, with its exit code and its hint.

The codes are kept together so that they stay unique. A message says what happened; the hint says what to do
about it and names the flag where one helps. Library exceptions are translated into these classes in
``services`` and ``models`` and nowhere else; ``cli.main`` is the one place that prints them.
"""

from __future__ import annotations

from dataclasses import dataclass


class ReleaseError(Exception):
    """Base of all errors that are not a defect of this tool."""

    exit_code = 1
    default_hint = "Run again with --debug and report the trace."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: the input it belongs to, what is wrong, and what would be right."""

    field: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        """Render as one line for a list of faults."""
        return f"{self.field}: {self.problem}" + (f" ({self.hint})" if self.hint else "")


class UsageError(ReleaseError):
    """The request, a flag or a file that a person wrote is wrong."""

    exit_code = 2
    default_hint = "See the command's --help."


class RequestError(UsageError):
    """A release request has faults; all of them are listed at once."""

    default_hint = "Correct the inputs named above and run the command again."

    def __init__(self, faults: tuple[Fault, ...], *, hint: str | None = None) -> None:
        self.faults = faults
        noun = "fault" if len(faults) == 1 else "faults"
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"The request has {len(faults)} {noun}:\n{lines}", hint=hint)


def install_line(extra: str) -> str:
    """Return the hint that installs one extra, or several: ``trace,quality``."""
    return f"Install the extra: pip install 'release-tool[{extra}]'"


class MissingExtra(UsageError):
    """A part of the tool is not installed."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f"This command needs the package {module!r}, which is not installed.",
            hint=install_line(extra),
        )
        self.extra = extra


class WorkFolderBusy(UsageError):
    """Another command is writing into the same work folder."""

    default_hint = "Wait until it has ended, or name another folder with --work."


class AlreadyReleased(ReleaseError):
    """The version is taken."""

    exit_code = 3
    default_hint = "Release a new version."


class SourceError(ReleaseError):
    """The model could not be had: absent, gated, moved, refused, or not what it must be."""

    exit_code = 4
    default_hint = "Check the model id, the revision and the token (HF_TOKEN)."


class ModelNotFound(SourceError):
    """No such model, or it is private and the token does not see it."""

    default_hint = "Check the spelling; for a private model set HF_TOKEN to a token that may read it."


class RevisionNotFound(SourceError):
    """The model exists, the revision does not."""

    default_hint = "Give a branch, a tag or a commit that exists with --revision."


class GatedModel(SourceError):
    """The model asks for consent before it may be read."""

    default_hint = "Accept the terms on the model's page, then set HF_TOKEN to a token of that account."


class BadToken(SourceError):
    """The hub refused the token."""

    default_hint = "HF_TOKEN holds a token that the hub does not know; renew it or unset it."


class UnsafeModel(SourceError):
    """The model asks for something that runs code: pickle weights or remote code."""

    default_hint = "Prefer a safetensors revision; otherwise name the risk with --allow-pickle or --trust-remote-code."


class UnsupportedModel(SourceError):
    """The snapshot holds nothing that this tool can load."""

    default_hint = "Use a PyTorch model in the transformers or sentence-transformers layout."


class ExportError(ReleaseError):
    """The model can't be exported."""

    exit_code = 5
    default_hint = "Ask for another --format, or look at the cause with --debug."


class ValidationFailed(ReleaseError):
    """The archive and the source differ, or the archive can't be served."""

    exit_code = 6
    default_hint = "Look at the worst probe in the proof; nothing of this may be published."


class IntegrityError(ReleaseError):
    """Bytes are not those that were planned, proven or approved: the chain of digests is broken."""

    exit_code = 7
    default_hint = "Run again from the step named."


class PublishError(ReleaseError):
    """The bucket refused, or only a part was sent, or nothing is there that the plan could replace."""

    exit_code = 8
    default_hint = "Run again: what is already there is kept and checked."


class RecordError(ReleaseError):
    """The ledger or the changelog can't be read, or they disagree."""

    exit_code = 9
    default_hint = "Repair the file and the line named."


class RemoteFailed(ReleaseError):
    """A server did what was asked and said no: a task, a deployment, a build."""

    exit_code = 10
    default_hint = "The server's own words are above; look at its log."


class Refused(RemoteFailed):
    """A server answered a request with a status that says no; 0 where none is known."""

    def __init__(self, message: str, *, hint: str | None = None, status: int = 0, said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.said = said
        """The server's own words, one line, no credential."""


class Unreachable(ReleaseError):
    """No answer after retries: network, time-out, rate limit."""

    exit_code = 11
    default_hint = "Safe to run again: what is complete is kept."


class ServiceUnable(Unreachable):
    """A server answers and can't do its work now: a circuit breaker, a full queue, or it has died."""

    exit_code = 13
    default_hint = "Nothing about the model follows from this: free memory, or wait, and run again."


class MachineError(ReleaseError):
    """This machine lacks something: a JDK, Maven, memory, disk."""

    exit_code = 12
    default_hint = "Run release-tool doctor: it says what is missing and how to get it."


class StillRunning(ReleaseError):
    """Something that was started on a service is not finished yet."""

    exit_code = 14
    default_hint = "Run the same command again later: it goes on waiting, and starts nothing a second time."
