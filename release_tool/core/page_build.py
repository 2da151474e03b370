"""Fold the documents of a release into the review page.

Pure: equal documents give an equal page, without a time and without a path of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core import page_parts, page_pictures, page_proofs, page_quality, page_speed, page_variants
from release_tool.core.bars import SizeBar, size_plot
from release_tool.core.bundle import bundle_name
from release_tool.core.lineage import facts as lineage_facts
from release_tool.core.page import SIGN, CompatRow, Fact, FileRow, Level, Notice, Page, Picture
from release_tool.core.proof import NODE, RUNTIME
from release_tool.core.quantity import clip, plural, size_text
from release_tool.core.review import recompute_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.bundle import Bundle
    from release_tool.core.certificate import Certificate
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.review import Review
    from release_tool.core.source import SourceSnapshot

EIGHT = 8
MAX_SOURCE_FILES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """Everything that the page is made of, read and checked by the step."""

    plan: ReleasePlan
    source: SourceSnapshot
    bundles: Mapping[str, Bundle]
    certificates: Mapping[str, Certificate]
    configs: Mapping[str, str]
    """Artifact id → text of config.json."""
    review: Review
    """Manifest and digest; its ``pages`` are not looked at."""
    compat: tuple[CompatRow, ...] = ()
    shipped_probes: str
    """The sha256 of this project's probe set."""
    overridden: Mapping[str, str] = field(default_factory=dict)
    """Template → sha256 where the repository's own took the place of the packaged one."""


def make_page(given: Reviewed) -> Page:
    """Return the page."""
    plan, review = given.plan, given.review
    certificates = [given.certificates[a.id] for a in plan.artifacts if a.id in given.certificates]
    rings = _rings(certificates)
    found = notices(given)
    level = Level.STOP if review.reasons else _level(found)
    return Page(
        title=clip(f"{plan.source.model_id} {plan.request.version}", 200),
        headline=headline(given, level),
        level=level,
        sign=SIGN[level],
        digest=review.digest,
        digest_groups=_groups(review.digest),
        reasons=page_parts.some(review.reasons, "review.json"),
        notices=found,
        identity=page_parts.identity(plan),
        settings=page_parts.settings(plan),
        variants=tuple(
            page_variants.variant_row(a, plan, given.bundles[a.id], given.certificates.get(a.id))
            for a in plan.artifacts
        ),
        rings=rings,
        proofs=tuple(
            page_proofs.proof_row(certificate, proof)
            for certificate in certificates
            for proof in page_proofs.in_order(certificate.proofs)
        ),
        shapes=tuple(row for certificate in certificates for row in page_proofs.shape_rows(certificate, rings)),
        quality=tuple(row for certificate in certificates for row in page_quality.quality_rows(certificate)),
        speed=tuple(row for certificate in certificates for row in page_speed.speed_rows(certificate)),
        pictures=tuple(picture for certificate in certificates for picture in page_pictures.pictures(certificate)),
        artifacts=tuple(
            page_parts.card(artifact, given.bundles[artifact.id], given.configs[artifact.id])
            for artifact in plan.artifacts
        ),
        sizes=_sizes(given),
        compat=given.compat,
        left_out=tuple(Fact(label=clip(item.id, 60), value=clip(item.reason, 600)) for item in plan.left_out),
        warnings=page_parts.some(plan.warnings, "plan.json"),
        lineage=lineage_facts(plan.lineage),
        replaces=page_parts.pairs(dict(plan.replaces or {}), mono=True),
        budgets=page_parts.pairs(dict(plan.budgets or {})),
        tolerances=page_parts.tolerances(plan.tolerances, plan),
        source_files=_source_files(given.source),
        source_total=_source_total(given.source),
        manifest=page_parts.file_rows(review.files),
        recompute=recompute_command(review.files) if review.digest else (),
        footer=_footer(given),
    )


def headline(given: Reviewed, level: Level) -> str:
    """Return the first line of the page: may it be approved; whose code ran, or could have."""
    reasons = given.review.reasons
    if reasons:
        more = f" (and {plural(len(reasons) - 1, 'more reason')})" if len(reasons) > 1 else ""
        first = f"NOT RELEASABLE: {clip(reasons[0], 400)}{more}."
    elif level is Level.OK:
        first = "Ready for approval."
    else:
        first = "Ready for approval, after a look at the points below."
    ran = []
    if given.plan.source.remote_code:
        ran.append("ran code that the model brings along")
    if reads_pickle(given.plan):
        ran.append("read weights that can run code")
    return f"{first} The oracle {' and '.join(ran)}." if ran else first


def reads_pickle(plan: ReleasePlan) -> bool:
    """Tell whether weights are read that can run code: pickle was allowed, and is what the model has."""
    return plan.request.allow_pickle and plan.source.model.weights_format == "pickle"


def notices(given: Reviewed) -> tuple[Notice, ...]:
    """Return what an approver should know first, gravest first."""
    found = [*_danger(given), *_missing_proofs(given), *_compat_notices(given)]
    found += page_quality.not_measured(given.certificates.values())
    warned: dict[str, list[str]] = {}
    for artifact in given.plan.artifacts:
        for warning in page_parts.some(given.bundles[artifact.id].warnings, bundle_name(artifact.id)):
            warned.setdefault(warning, []).append(clip(artifact.id, 60))
    found.extend(
        Notice(level=Level.ATTENTION, title=f"Warning, {', '.join(names)}", text=warning)
        for warning, names in warned.items()
    )
    found.extend(
        Notice(level=Level.ATTENTION, title="Warning of the plan", text=warning)
        for warning in page_parts.some(given.plan.warnings, "plan.json")
    )
    if given.plan.left_out:
        names = ", ".join(clip(item.id, 60) for item in given.plan.left_out)
        found.append(Notice(level=Level.NOTE, title="Left out", text=f"{names}: the reasons stand below."))
    return tuple(sorted(found, key=lambda notice: -list(Level).index(notice.level)))


def _danger(given: Reviewed) -> list[Notice]:
    plan, found = given.plan, []
    licence = plan.source.licence
    if plan.source.remote_code:
        files = plan.source.remote_code
        names = ", ".join(f"{clip(f.repo, 80)}@{f.revision[:12]}:{clip(f.path, 80)}" for f in files[:5])
        more = f" and {plural(len(files) - 5, 'more file')}" if len(files) > 5 else ""
        found.append(Notice(level=Level.ATTENTION, title="Runs the model's own code", text=f"{names}{more}."))
    if plan.request.tune_run_id is not None:
        run, name = clip(plan.request.tune_run_id, 60), clip(plan.source.model_id, 200)
        text = f"The weights come from the fine-tuning run {run}, not from what the hub has under the name {name}."
        found.append(Notice(level=Level.ATTENTION, title="Weights of a fine-tuning run", text=text))
    if plan.request.allow_pickle:
        text = "The plan allows weights in pickle files; reading such a file can run code."
        if reads_pickle(plan):
            text = "The model's weights are pickle files, and were read; reading such a file can run code."
        found.append(Notice(level=Level.ATTENTION, title="Pickle allowed", text=text))
    if plan.replaces:
        text = f"{plural(len(plan.replaces), 'object')} that users may already have will be overwritten."
        found.append(Notice(level=Level.ATTENTION, title="Replaces a released version", text=text))
    mismatch = (
        licence.accepted is not None
        and licence.declared is not None
        and licence.accepted.lower() != licence.declared.lower()
    )
    if not licence.listed and (licence.accepted is None or mismatch):
        text = f"{page_parts.licence_value(licence)}: {page_parts.licence_note(licence)}."
        found.append(Notice(level=Level.ATTENTION, title="Licence", text=text))
    return found


def _missing_proofs(given: Reviewed) -> list[Notice]:
    """Return what was measured less well than it could be: one notice a topic, naming the archives."""
    no_node, stand_in, own_probes = [], [], []
    for artifact in given.plan.artifacts:
        certificate = given.certificates.get(artifact.id)
        if certificate is None:
            continue
        name = clip(artifact.id, 60)
        if NODE not in {proof.ring for proof in certificate.proofs}:
            no_node.append(name)
        for proof in certificate.proofs:
            if proof.ring == RUNTIME and not proof.pinned:
                stand_in.append(name)
            if proof.ring != RUNTIME and proof.probes_sha256 != given.shipped_probes:
                own_probes.append(f"{name} in the {clip(proof.ring, 40)} ring")
    found = []
    if no_node:
        text = f"{', '.join(no_node)}: measured in the runtime ring only; no real OpenSearch answered."
        found.append(Notice(level=Level.ATTENTION, title="Not served by a real node", text=text))
    if own_probes:
        text = f"{', '.join(own_probes)}: the probes are not the set that this release-tool ships."
        found.append(Notice(level=Level.ATTENTION, title="Other probes", text=text))
    if stand_in:
        text = f"{', '.join(stand_in)}: installed libraries stood in for the server's own in the runtime ring."
        found.append(Notice(level=Level.NOTE, title="Stand-in: versions not pinned", text=text))
    return found


def _compat_notices(given: Reviewed) -> list[Notice]:
    return [
        Notice(
            level=Level.ATTENTION,
            title=f"{row.artifact}: {row.verdict} on OpenSearch {row.versions}",
            text="; ".join(row.reasons) or "The plan names a version of this range as a target.",
        )
        for row in given.compat
        if row.target and row.level in (Level.ATTENTION, Level.STOP)
    ]


def _level(found: tuple[Notice, ...]) -> Level:
    return Level.ATTENTION if any(notice.level is Level.ATTENTION for notice in found) else Level.OK


def _rings(certificates: list[Certificate]) -> tuple[str, ...]:
    order = (proof.ring for c in certificates for proof in page_proofs.in_order(c.proofs))
    seen = dict.fromkeys(order)
    known = [ring for ring in page_proofs.RING_ORDER if ring in seen]
    return (*known, *sorted(ring for ring in seen if ring not in known))


def _groups(digest: str | None) -> tuple[str, ...]:
    return tuple(digest[at : at + EIGHT] for at in range(0, len(digest), EIGHT)) if digest else ()


def _sizes(given: Reviewed) -> Picture | None:
    bars = tuple(
        SizeBar(
            label=clip(artifact.id, 60), size=given.bundles[artifact.id].archive.size, expected=artifact.expected_bytes
        )
        for artifact in given.plan.artifacts
    )
    if not bars:
        return None
    heading = "Size of each archive"
    caption = "The tick is what the plan expected from the weights."
    return Picture(heading=heading, caption=caption, svg=size_plot("sizes", heading, bars))


def _source_files(source: SourceSnapshot) -> tuple[FileRow, ...]:
    files = sorted(source.files, key=lambda file: file.path)[:MAX_SOURCE_FILES]
    return tuple(FileRow(path=clip(f.path), size=size_text(f.size), sha256=f.sha256) for f in files)


def _source_total(source: SourceSnapshot) -> str:
    total = f"{plural(len(source.files), 'file')}, {size_text(sum(file.size for file in source.files))}"
    return f"{total}; the first {MAX_SOURCE_FILES} are listed" if len(source.files) > MAX_SOURCE_FILES else total


def _footer(given: Reviewed) -> str:
    words = "Made from the documents listed above; the same documents give the same page."
    for name, digest in sorted(given.overridden.items()):
        words += f" Rendered with the repository's own {name} (sha256 {digest[:12]}…)."
    return words
