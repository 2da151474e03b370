"""The form of a release as a fine-tuning run fills it, and what speaks against filling it.

A run of its own is started with these inputs, so that everything that a release asks of a form is asked of this one,
too: its check looks at the tuning run, its plan holds the folder against the revision, its gates wait for people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.inputs import parse_inputs
from release_tool.core.lineage import FILE, MAX_REASON, digest_of, read
from release_tool.core.quantity import clip
from release_tool.core.request import check
from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RELEASE_WORKFLOW = "release-model.yml"
FIELDS = ("model", "version", "upload_target", "kind", "format", "name", "description")
"""What a person says of the release; the rest of the form stays as it is."""
NAMED = ("model", "version", "upload_target")
BETTER = "better"
TITLE = "Release {model} {version} to {upload_target} from run {tune_run_id}, {revision}"
ANEW = "Hand it over again: release-tool finetune hand-over."
ENDED_BADLY = frozenset({"failure", "cancelled", "timed_out", "startup_failure", "stale", "action_required"})


def form_faults(said: Mapping[str, str]) -> list[Fault]:
    """Return what is wrong with what a person said of the release; the target's name is looked up elsewhere.

    Args:
        said: ``FIELDS`` that are not blank.
    """
    lacking = [Fault(_flag(name), "is needed to start a release") for name in NAMED if name not in said]
    inputs = {**said, "model_id": said.get("model", "tuned/model"), "model": "tuned"}
    request, faults = parse_inputs({"version": "1", **inputs})
    # A field that is lacking stands filled with something that is right.
    found = (*faults, *check(request, is_folder=True))
    return [*lacking, *(replace(one, field="--model") if one.field == "--model-id" else one for one in found)]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def title_of(form: Mapping[str, str]) -> str:
    """Return how GitHub calls the run of a form; ``run-name`` of the workflow says the same."""
    return TITLE.format_map(form)


def under_way(runs: Iterable[Mapping[str, Any]], title: str) -> Mapping[str, Any] | None:
    """Return the run that was started with the same form and may still publish, or has; null where there is none."""
    return next(
        (run for run in runs if run.get("display_title") == title and run.get("conclusion") not in ENDED_BADLY), None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a folder can't be released."""

    words: str
    """The end of a sentence."""
    hint: str
    is_verdict: bool = False
    """Whether it is the model that is not good enough, and not its files that are not what they must be."""


def objection(data: dict[str, Any] | None, files: Iterable[tuple[str, str]], reason: str | None) -> Objection | None:
    """Return what speaks against releasing a folder; null where nothing does.

    Args:
        data: its lineage; null where it has none.
        files: path and sha256 of each file of the folder.
        reason: why the person who tuned it accepts a model that is not better; null where nothing was said.
    """
    lineage = read(data)
    if lineage is None:
        return Objection(words=f"it has no {FILE} of this tool", hint=ANEW)
    if digest_of(files) != lineage.model_sha256:
        return Objection(words=f"its files are not those that {FILE} tells of", hint=ANEW)
    if lineage.verdict == BETTER:
        return None
    given = one_line(reason or "")
    if not given or lineage.accepted is None:
        why = clip(one_line("; ".join(lineage.reasons)) or "no reason is given", MAX_REASON)
        return Objection(
            words=f"it was not found better than its base ({why}), and nobody accepted that",
            hint="Say with --accept-worse why, as it was said to hand-over; or tune it better.",
            is_verdict=True,
        )
    if lineage.accepted != given:
        return Objection(
            words=f"it was accepted for another reason than this one: {clip(one_line(lineage.accepted), MAX_REASON)}",
            hint="Give --accept-worse as it was given to hand-over.",
            is_verdict=True,
        )
    return None
