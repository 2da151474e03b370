"""Which archives are measured: those that were named, or those of the work folder; all of one kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from release_tool.core.speed import SPEED_KINDS
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.bundle import Bundle
    from release_tool.global_options import Context
    from release_tool.services.speed_rounds import Candidate
    from release_tool.steps.release_reading import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One archive of the run."""

    candidate: Candidate
    sha256: str
    size: int
    bundle: Bundle | None = None
    """Where it is one of the work folder's."""


def chosen(
    context: Context, archives: tuple[Path, ...], against: Path | None
) -> tuple[Release | None, list[Subject], Subject | None]:
    """Return the work folder's documents, where there are any, the archives, and the one that they are held against.

    Raises:
        UsageError: an archive or its register request can't be read, or they are of different kinds.
        IntegrityError: the work folder's bytes are not those that its documents name.
    """
    release = _release(context, named=bool(archives))
    if not archives and release is not None:
        subjects = [found for bundle in release.bundles if (found := _own(context, release, bundle)) is not None]
        if not subjects:
            kinds = ", ".join(kind.value for kind in SPEED_KINDS)
            raise UsageError("The release has no archive whose speed is measured.", hint=f"Kinds that are: {kinds}.")
    else:
        subjects = [_known(release, _read(path)) for path in archives]
    other = None if against is None else _read(against)
    _check_kinds([*subjects, *([other] if other else [])])
    return release, subjects, other


def _release(context: Context, *, named: bool) -> Release | None:
    """Return the work folder's documents; null where archives were named and nothing was traced there."""
    from release_tool.packaged import packaged_probes
    from release_tool.steps.release_reading import read_release

    if named and not (context.work / "plan.json").is_file():
        return None
    try:
        return read_release(context, (), packaged_probes(), None)
    except UsageError as error:
        if not named:
            raise
        context.console.warning(f"Nothing of the work folder is measured: {error}")
        return None


def _own(context: Context, release: Release, bundle: Bundle) -> Subject | None:
    if bundle.kind not in SPEED_KINDS:
        context.console.info(f"{bundle.artifact} is not timed: it is a {bundle.kind.value} model.")
        return None
    subject = _read(release.work.path(bundle.archive.path), release.work.path(bundle.config.path))
    return replace(subject, bundle=bundle)


def _known(release: Release | None, subject: Subject) -> Subject:
    """Return an archive with its bundle, where it is one of the work folder's."""
    bundles = () if release is None else release.bundles
    own = next((bundle for bundle in bundles if bundle.archive.sha256 == subject.sha256), None)
    return replace(subject, bundle=own)


def _read(path: Path, config: Path | None = None) -> Subject:
    from release_tool.archives.reading import read_archive
    from release_tool.core.kinds import Format
    from release_tool.services.speed_rounds import Candidate
    from release_tool.steps.compat import find_config

    if not path.is_file():
        raise UsageError(f"There is no archive {path}.", hint="Name a .zip that trace made, or leave ARCHIVE out.")
    config = config or find_config(path)
    if config is None:
        raise UsageError(
            f"No register request lies beside {path.name}.",
            hint="Put its config.json there: the server needs it to feed the model.",
        )
    facts = read_archive(path, config)
    if facts.kind not in SPEED_KINDS or facts.config is None:
        kinds = ", ".join(kind.value for kind in SPEED_KINDS)
        named = "of an unknown kind" if facts.kind is None else f"a {facts.kind.value} model"
        raise UsageError(f"The speed of {path.name} is not measured: it is {named}.", hint=f"Kinds that are: {kinds}.")
    asked = str(facts.config.get("model_format", "")).lower()
    return Subject(
        candidate=Candidate(
            archive=path,
            config_path=config,
            config=facts.config,
            kind=facts.kind,
            torch_script=asked == Format.TORCH_SCRIPT.value,
        ),
        sha256=facts.sha256,
        size=facts.size,
    )


def _check_kinds(subjects: list[Subject]) -> None:
    first = subjects[0].candidate
    for subject in subjects[1:]:
        if subject.candidate.kind is not first.kind:
            raise UsageError(
                f"{first.archive.name} is a {first.kind.value} model and {subject.candidate.archive.name} a "
                f"{subject.candidate.kind.value} model: their times can't be compared.",
                hint="Name archives of one kind.",
            )
