"""What is said about an archive on an OpenSearch version: findings, verdicts, and ranges of equal verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from release_tool.core.opensearch import Stack, number, stack_of
from release_tool.core.operators import OperatorTables


class Severity(StrEnum):
    """What follows from a finding."""

    FATAL = "fatal"
    """The server refuses it, or every answer is wrong."""
    UNKNOWN = "unknown"
    """No rule covers it: nobody can say without trying."""
    WARNING = "warning"
    """It deploys, but some texts, some nodes or some clients meet a defect."""
    NOTE = "note"


class Basis(StrEnum):
    """How a verdict is known."""

    MEASURED = "measured"
    """Seen on that version: a proof of exactly these bytes, or a server that refused exactly this shape."""
    DERIVED = "derived"
    """Follows from the server's source, or from its libraries run outside of it."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about an archive on one version."""

    rule: str
    """Stable id, such as ``onnx-ir``."""
    severity: Severity
    what: str
    """What is so."""
    why: str
    """What the server does with it, in its own words where it has some."""
    fix: str
    """What to do."""
    basis: Basis = Basis.DERIVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The version that is asked about, with what the rules need."""

    version: str
    stack: Stack
    tables: OperatorTables

    def before(self, version: str) -> bool:
        """Tell whether the target is older."""
        return number(self.version) < number(version)

    def since(self, version: str) -> bool:
        """Tell whether the target is this version or newer."""
        return not self.before(version)


def target(version: str, tables: OperatorTables) -> Target:
    """Return the target of a version of ``KNOWN_VERSIONS``; KeyError for another."""
    return Target(version=version, stack=stack_of(version), tables=tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether an archive registers, deploys and answers on one version."""

    version: str
    deploys: bool
    """True only where a measurement or the rules say so; False where nobody knows, too (see ``basis``)."""
    basis: Basis
    findings: tuple[Finding, ...]
    """Worst first."""

    @property
    def word(self) -> str:
        """``deploys``, ``refused`` or ``unknown``."""
        return word_of(deploys=self.deploys, basis=self.basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Neighbouring versions with the same verdict for the same reasons."""

    first: str
    last: str
    deploys: bool
    basis: Basis
    reasons: tuple[str, ...]
    """One line a finding that is more than a note: what, why, fix."""
    findings: tuple[Finding, ...]

    @property
    def word(self) -> str:
        """``deploys``, ``refused`` or ``unknown``."""
        return word_of(deploys=self.deploys, basis=self.basis)

    @property
    def versions(self) -> str:
        """``3.6``, or ``2.15 - 2.19``."""
        return self.first if self.first == self.last else f"{self.first} - {self.last}"


def word_of(*, deploys: bool, basis: Basis) -> str:
    """Return the verdict as one word."""
    if deploys:
        return "deploys"
    return "unknown" if basis is Basis.UNKNOWN else "refused"
