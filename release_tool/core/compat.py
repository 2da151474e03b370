"""On which OpenSearch versions an archive registers, deploys and answers, why not, and what to do.

The rules derive; a proof of exactly these bytes measures. A measurement outweighs a rule, and what no rule covers is
unknown, never a guess. ``verdicts`` answers version by version, ``summary`` folds neighbours with equal answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from release_tool.core.opensearch import KNOWN_VERSIONS, Stack, number
from release_tool.core.proof import LEGACY, NODE, RUNTIME
from release_tool.core.rules import RULES
from release_tool.core.verdicts import Basis, Finding, Range, Severity, Verdict, target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.operators import OperatorTables
    from release_tool.core.proof import Proof
    from release_tool.core.verdicts import Target

_ORDER = (Severity.FATAL, Severity.UNKNOWN, Severity.WARNING, Severity.NOTE)


def verdicts(
    facts: ArchiveFacts,
    target_versions: tuple[str, ...] = KNOWN_VERSIONS,
    *,
    tables: OperatorTables,
    proofs: Iterable[Proof] = (),
) -> tuple[Verdict, ...]:
    """Return one verdict a version, in the order asked.

    Args:
        facts: of the archive and its register request.
        target_versions: of ``KNOWN_VERSIONS``; KeyError for another.
        tables: which operators the servers' libraries know.
        proofs: any; those of other bytes are left aside.
    """
    own = tuple(proof for proof in proofs if proof.archive_sha256 == facts.sha256)
    return tuple(_verdict(facts, target(version, tables), own) for version in target_versions)


def _verdict(facts: ArchiveFacts, asked: Target, proofs: tuple[Proof, ...]) -> Verdict:
    found = [finding for rule in RULES for finding in rule(facts, asked)]
    measured = [_measured(proof, asked) for proof in proofs]
    answers = {answer for answer, _ in measured if answer is not None}
    found += [finding for _, finding in measured if finding is not None]
    if False in answers:
        return Verdict(version=asked.version, deploys=False, basis=Basis.MEASURED, findings=_sorted(found))
    if True in answers:
        mild = [_outweighed(finding) for finding in found]
        return Verdict(version=asked.version, deploys=True, basis=Basis.MEASURED, findings=_sorted(mild))
    return replace(_derived(found), version=asked.version)


def _derived(found: list[Finding]) -> Verdict:
    fatal = [finding for finding in found if finding.severity is Severity.FATAL]
    if fatal:
        seen = any(finding.basis is Basis.MEASURED for finding in fatal)
        basis, deploys = Basis.MEASURED if seen else Basis.DERIVED, False
    elif any(finding.severity is Severity.UNKNOWN for finding in found):
        basis, deploys = Basis.UNKNOWN, False
    else:
        basis, deploys = Basis.DERIVED, True
    return Verdict(version="", deploys=deploys, basis=basis, findings=_sorted(found))


def _sorted(found: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))


def _outweighed(finding: Finding) -> Finding:
    """What a measurement has refuted, or answered, stays on the page as a warning."""
    if finding.severity in (Severity.FATAL, Severity.UNKNOWN):
        return replace(
            finding,
            severity=Severity.WARNING,
            why=f"The rules expect: {finding.why} A proof of these bytes shows that it answers nevertheless.",
        )
    return finding


def _measured(proof: Proof, asked: Target) -> tuple[bool | None, Finding | None]:
    """Return what a proof says about a version: it answered, it refused every probe, or nothing about this version."""
    answered = sum(1 for item in proof.comparisons if item.error is None)
    if proof.ring == NODE:
        if _minor(proof.versions.get("opensearch", "")) != asked.version:
            return None, None
        where = f"OpenSearch {proof.versions['opensearch']}"
    elif proof.ring == LEGACY and proof.pinned and _same_libraries(proof, asked.stack):
        where = "the libraries of the version, outside of the server"
    else:
        return None, _runtime_note(proof, asked.stack, answered)
    if not proof.comparisons:
        return None, None
    what = f"{answered} of {len(proof.comparisons)} probes were answered by {where}."
    if answered:
        why = "A proof of exactly these bytes says so."
        return True, Finding(
            rule="proof", severity=Severity.NOTE, what=what, why=why, fix="Nothing to do.", basis=Basis.MEASURED
        )
    words = next((item.error for item in proof.comparisons if item.error), "")
    return False, Finding(
        rule="proof",
        severity=Severity.FATAL,
        what=what,
        why=words[:300],
        fix="Look at the errors in the proof.",
        basis=Basis.MEASURED,
    )


def _runtime_note(proof: Proof, stack: Stack, answered: int) -> Finding | None:
    """A pinned runtime is the server's library without the server: worth a note, no measurement of the server."""
    if proof.ring not in (RUNTIME, LEGACY) or not answered or not proof.pinned:
        return None
    shared = [name for name in _LIBRARIES if _plain(proof.versions.get(name, "")) == _library(stack, name)]
    if not shared:
        return None
    return Finding(
        rule="proof",
        severity=Severity.NOTE,
        what=f"{answered} of {len(proof.comparisons)} probes were answered by {' and '.join(shared)} of this version.",
        why="Measured outside of the server, with not all of its libraries.",
        fix="Validate with --on node for a measurement of the server itself.",
    )


_LIBRARIES = ("onnxruntime", "torch", "tokenizers")


def _library(stack: Stack, name: str) -> str:
    return {"torch": stack.libtorch, "onnxruntime": stack.onnxruntime, "tokenizers": stack.tokenizers}[name]


def _same_libraries(proof: Proof, stack: Stack) -> bool:
    """Tell whether the tokenizers and the engine that answered are those of the version."""
    engines = [name for name in ("torch", "onnxruntime") if name in proof.versions]
    names = [*engines, "tokenizers"]
    return bool(engines) and all(_plain(proof.versions.get(name, "")) == _library(stack, name) for name in names)


def _plain(version: str) -> str:
    """Return a version without its build: ``1.13.1+cu117`` is 1.13.1."""
    return version.partition("+")[0]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def summary(found: Iterable[Verdict]) -> tuple[Range, ...]:
    """Fold neighbouring versions with equal verdicts for equal reasons; notes make no difference.

    Versions count as neighbours only when no known version lies between them, so that a range never speaks about a
    version that was not judged.
    """
    ranges: list[Range] = []
    for verdict in sorted(found, key=lambda one: number(one.version)):
        one = Range(
            first=verdict.version,
            last=verdict.version,
            deploys=verdict.deploys,
            basis=verdict.basis,
            reasons=tuple(_line(f) for f in verdict.findings if f.severity is not Severity.NOTE),
            findings=verdict.findings,
        )
        if ranges and _alike(ranges[-1], one):
            ranges[-1] = replace(ranges[-1], last=one.last)
        else:
            ranges.append(one)
    return tuple(ranges)


def affected(found: Iterable[Verdict]) -> tuple[tuple[Finding, str], ...]:
    """Return each finding once with the versions that it is about, such as ``2.4 - 2.18, 3.6``; worst first."""
    versions: dict[Finding, list[str]] = {}
    for verdict in sorted(found, key=lambda one: number(one.version)):
        for finding in verdict.findings:
            # Whether a node of one version said so or the code: it is the same finding.
            versions.setdefault(replace(finding, basis=Basis.DERIVED), []).append(verdict.version)
    ordered = sorted(versions.items(), key=lambda item: _ORDER.index(item[0].severity))
    return tuple((finding, _spans(names)) for finding, names in ordered)


def _spans(versions: list[str]) -> str:
    spans: list[list[str]] = []
    for version in versions:
        if spans and _neighbours(spans[-1][1], version):
            spans[-1][1] = version
        else:
            spans.append([version, version])
    return ", ".join(first if first == last else f"{first} - {last}" for first, last in spans)


def _neighbours(older: str, newer: str) -> bool:
    return KNOWN_VERSIONS.index(newer) - KNOWN_VERSIONS.index(older) == 1


def _alike(left: Range, right: Range) -> bool:
    same = (left.deploys, left.basis, left.reasons) == (right.deploys, right.basis, right.reasons)
    return same and _neighbours(left.last, right.first)


def _line(finding: Finding) -> str:
    return f"{finding.what} {finding.why} {finding.fix}"
