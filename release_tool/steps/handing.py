"""Hand on what a command made: the outputs of a step of a workflow, which no later job can change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from release_tool.core.environments import Purpose, environment_name
from release_tool.core.handover import MAKES, files_text, makes
from release_tool.core.kinds import Format
from release_tool.core.quality import QUALITY_KINDS
from release_tool.steps.settings import read_settings, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context

OUTPUT = "GITHUB_OUTPUT"


def hand_over(context: Context, command: str, *, done: bool) -> None:
    """Write the outputs of the step that ran this command; nothing outside a workflow.

    ``files`` is what the command has made; a failed command hands on what it left, such as how a build ended, and
    decides nothing: its documents are not read, since what is wrong with them may be why it failed.
    """
    from release_tool.documents import WorkFolder

    if command not in MAKES or not context.console.env.get(OUTPUT):
        return
    work = WorkFolder(context.work)
    found = {path: work.sha256(path) for path in files_in(work) if makes(command, path)}
    more = _more(context, work, command) if done else {}
    context.console.outputs({"files": files_text(found), **more})


def files_in(work: WorkFolder) -> tuple[str, ...]:
    """Return every file of a work folder, POSIX and relative; links are not followed, one to a folder is a file."""
    found = []
    for folder, folders, names in os.walk(work.folder):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118 - as below
        for name in [*names, *links]:
            path = os.path.relpath(os.path.join(folder, name), work.folder)  # noqa: PTH118 - as os.walk gives it
            found.append(path.replace(os.sep, "/"))
    return tuple(sorted(found))


def _more(context: Context, work: WorkFolder, command: str) -> Mapping[str, str]:
    """Return the outputs that decide which jobs run, where, and what was reviewed."""
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.review import REVIEW_NAME, Review

    if command in {"plan", "check"} and work.has("plan.json"):
        return _of_plan(context.repo, work.read(ReleasePlan, "plan.json", made_by="plan"))
    if command == "finetune":
        return _of_run(context)
    if command == "review" and work.has(REVIEW_NAME):
        return {"digest": work.read(Review, REVIEW_NAME, made_by="review").digest or ""}
    return {}


def _of_run(context: Context) -> Mapping[str, str]:
    """Return the revision that the release of a fine-tuned model has to show; nothing before it is handed over."""
    from release_tool.core.finetune.stages import Stage
    from release_tool.run_folder import STATE, RunFolder
    from release_tool.steps.finetune.hand_over import MODEL

    folder = RunFolder.below(context.work).folder(Stage.HAND_OVER)
    if not (folder / STATE).is_file():
        return {}
    from release_tool.services.open_source import open_source

    revision = open_source(folder / MODEL, revision=None).pin().revision
    context.console.summary(f"The model that was tuned: `{revision}`. Its release shows this revision.")
    return {"revision": revision}


def _of_plan(repo: Path, plan: ReleasePlan) -> Mapping[str, str]:
    artifacts = {
        f"{fmt.value.lower()}_artifacts": " ".join(item.id for item in plan.artifacts if item.format is fmt)
        for fmt in Format
    }
    searches = any(item.kind in QUALITY_KINDS for item in plan.artifacts)
    artifacts["searches"] = "true" if searches else "false"
    target = plan.request.upload_target
    if target is None:
        return {**artifacts, "jenkins": "false"}
    settings = read_settings(repo)
    serves = target_of(settings, target, "--upload-target").serves
    purpose = Purpose.OVERWRITE if plan.request.overwrite else Purpose.PUBLISH
    return {
        **artifacts,
        "target": target,
        "serves": "true" if serves else "false",
        "jenkins": "true" if serves and settings.jenkins else "false",
        "publish_environment": environment_name(purpose, target),
    }
