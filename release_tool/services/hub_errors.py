"""What a hub means when it refuses: its status and its X-Error-Code, as named errors.

The codes are the hub's own; 401 stands for several things, told apart by the code and by whether a token was
sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from release_tool.errors import BadToken, GatedModel, ModelNotFound, RevisionNotFound, SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A hub's answer that is an error."""

    status: int
    code: str | None
    """X-Error-Code: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo, DisabledRepo."""
    said: str
    """X-Error-Message; hostile text."""
    about: str
    """What was asked for."""
    with_token: bool


class EntryNotFound(SourceError):
    """The revision has no such file; becomes ``None`` or a named error where it is caught."""

    default_hint = "The hub no longer has a file of this revision; run release-tool plan again."


def refusal(refused: Refusal) -> SourceError:  # noqa: PLR0911 - a table
    """Return the error that says what a refusal means."""
    about, said = refused.about, refused.said or f"HTTP {refused.status}"
    match refused:
        case Refusal(code="GatedRepo"):
            return _gated(refused)
        case Refusal(code="RevisionNotFound"):
            return RevisionNotFound(f"The hub has no such revision: {about}.")
        case Refusal(code="EntryNotFound"):
            return EntryNotFound(f"The hub does not have {about}.")
        case Refusal(code="RepoNotFound", with_token=True) | Refusal(status=404, with_token=True):
            return ModelNotFound(
                f"The hub has no {about} that this token may see.",
                hint="Check the spelling, and that the account of HF_TOKEN may read the model.",
            )
        case Refusal(code="RepoNotFound") | Refusal(status=404) | Refusal(status=401, with_token=False):
            return ModelNotFound(f"The hub has no {about}, or it is private.")
        case Refusal(status=401):
            return BadToken(f"The hub refused the token: {said}")
        case Refusal(status=403):
            return SourceError(
                f"The hub refuses {about}: {said}",
                hint="The model is disabled, or HF_TOKEN lacks the right to read it (fine-grained tokens).",
            )
        case _:
            return SourceError(f"The hub refuses {about}: {said}", hint="Check HF_ENDPOINT and the model id.")


def _gated(refused: Refusal) -> GatedModel:
    if refused.with_token:
        return GatedModel(
            f"{refused.about} is gated, and the account of HF_TOKEN has no access to it.",
            hint="Accept the terms on the model's page with that account, or use the token of one that has.",
        )
    return GatedModel(f"{refused.about} is gated: it asks for consent before it may be read.")
