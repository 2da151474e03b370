"""Read the documents of a work folder that was traced, and hold its bytes against them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from release_tool.core.plan import ReleasePlan
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.bundle import Bundle
    from release_tool.core.kinds import ModelKind
    from release_tool.core.probes import ProbeSet
    from release_tool.global_options import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The documents of the work folder, checked."""

    work: WorkFolder
    plan: ReleasePlan
    source: SourceSnapshot
    bundles: tuple[Bundle, ...]
    probes: ProbeSet
    probes_file: Path | None

    @property
    def kinds(self) -> tuple[ModelKind, ...]:
        """The kinds of the wanted artifacts, each once."""
        return tuple(dict.fromkeys(bundle.kind for bundle in self.bundles))


def read_source(context: Context, probes: ProbeSet) -> Release:
    """Read plan and source; there may be no archive yet."""
    work = WorkFolder(context.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    work.check_chain(source, "source.json")
    return Release(work=work, plan=plan, source=source, bundles=(), probes=probes, probes_file=None)


def read_release(context: Context, artifacts: tuple[str, ...], probes: ProbeSet, probes_file: Path | None) -> Release:
    """Read plan, source and bundles and hash the archives again: a changed byte or a foreign config.json ends here."""
    from release_tool.steps.review_reading import read_bundle

    release = read_source(context, probes)
    work, plan = release.work, release.plan
    known = [artifact.id for artifact in plan.artifacts]
    for name in artifacts:
        if name not in known:
            raise UsageError(f"The plan has no artifact {name!r}.", hint="It has " + ", ".join(sorted(known)) + ".")
    bundles = []
    for name in known:
        if artifacts and name not in artifacts:
            continue
        bundles.append(read_bundle(work, plan, plan.artifact(name)))
    return replace(release, bundles=tuple(bundles), probes_file=probes_file)
