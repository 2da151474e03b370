"""lineage.json of a model folder: how the model was fine-tuned, what it gained by measurement, and who accepted what.

``finetune hand-over`` writes it; plan, certificate and ledger carry it as the JSON object that it is, so that one of an
older or another tool is carried, too. Whatever it holds was written by somebody else: it is bounded and shown escaped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from release_tool.core.codec import DocumentFault, decode
from release_tool.core.digest import tree_digest
from release_tool.core.escape import one_line
from release_tool.core.page import Fact
from release_tool.core.page_parts import pairs
from release_tool.core.quantity import clip, plural

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "lineage.json"
CARD = "README.md"
MAX_BYTES = 64 * 1024
"""A recipe, ten stages and a dozen sets take a tenth of it; every row of the ledger carries it."""
MAX_DEPTH = 6
MIN_REASON, MAX_REASON = 10, 500
"""Characters of a reason to accept a model that is not better."""
MAX_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLineage:
    """What was measured on one set of queries; nDCG@10 from 0 to 1."""

    role: str
    sha256: str
    queries: int
    documents: int
    before: float
    after: float
    low: float
    """Of the gain, 95 % of the resamples."""
    high: float
    p: float
    flops_before: float | None = None
    flops_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLineage:
    """One stage."""

    digest: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """lineage.json."""

    SCHEMA: ClassVar[str] = "release-tool/lineage@1"

    schema: str = "release-tool/lineage@1"
    tool_version: str
    name: str
    kind: str
    model_sha256: str
    """Over all files of the folder but this one and the card: what was measured."""
    base: str
    """Id and revision."""
    teachers: tuple[str, ...]
    queries_by: str
    """The provider, and its model where it has one."""
    licences: dict[str, str]
    """Pin of a model → what its card declares."""
    dollars: float
    before: str
    """What the numbers before are of: ``base`` or ``untrained``."""
    metrics: dict[str, SetLineage]
    verdict: str
    """``better`` or ``not better``."""
    reasons: tuple[str, ...]
    """Why not."""
    accepted: str | None
    """Why it was handed over all the same, in a person's words; null where the gate was green."""
    recipe: dict[str, Any]
    """Full names of the keys that are not at their defaults; paths as the recipe has them."""
    recipe_sha256: str
    """Over these keys."""
    pins: dict[str, str]
    stages: dict[str, StageLineage] = field(default_factory=dict)


def problem_of(data: dict[str, Any], size: int) -> str | None:
    """Say why a lineage can't be carried; null where it can.

    Args:
        data: the object.
        size: of its file, in bytes.
    """
    if size > MAX_BYTES:
        return f"it has {size:,} bytes, more than {MAX_BYTES:,}"
    if _depth(data, MAX_DEPTH + 1) > MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH}"
    return None


def _depth(value: Any, most: int) -> int:
    """Return how deep a value is nested, looking no deeper than asked."""
    if most == 0 or not isinstance(value, (dict, list)):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(one, most - 1) for one in inside), default=0)


def read(data: dict[str, Any] | None) -> Lineage | None:
    """Return a lineage of this tool; null for another's."""
    if data is None or data.get("schema") != Lineage.SCHEMA:
        return None
    try:
        return decode(Lineage, data)
    except DocumentFault:
        return None


def warnings(data: dict[str, Any] | None, files: Iterable[tuple[str, str]] | None = None) -> tuple[str, ...]:
    """Return what a person who approves a release must know of a lineage.

    Args:
        data: of the folder.
        files: path and sha256 of every file of the folder; null where they are not known.
    """
    if data is None:
        return ()
    lineage = read(data)
    if lineage is None:
        if data.get("schema") == Lineage.SCHEMA:
            return (f"{FILE} is not what its schema says; nothing of it was checked.",)
        return ()
    found = []
    if lineage.verdict != "better":
        why = clip(one_line("; ".join(lineage.reasons)) or "no reason is given", 400)
        accepted = clip(one_line(lineage.accepted or "nobody said why"), MAX_REASON)
        found.append(
            f"The fine-tuned model was not found better ({why}) and was handed over for this reason: {accepted}"
        )
    if files is not None and digest_of(files) != lineage.model_sha256:
        found.append(f"The files of the model are not those that {FILE} tells of: they were changed after hand-over.")
    return tuple(found)


def digest_of(files: Iterable[tuple[str, str]]) -> str:
    """Return the digest over (path, sha256) of a model's files; lineage and card don't count."""
    return tree_digest((path, sha256) for path, sha256 in files if path not in (FILE, CARD))


def facts(data: dict[str, Any] | None) -> tuple[Fact, ...]:
    """Return a lineage as lines of the review page: in words where this tool wrote it, else as its pairs."""
    lineage = read(data)
    if lineage is None:
        return pairs(data)
    rows = [
        Fact(label="Fine-tuned from", value=_shown(lineage.base), mono=True),
        Fact(label="Teachers", value=_shown(", ".join(lineage.teachers) or "none")),
        Fact(label="Queries by", value=_shown(lineage.queries_by)),
        Fact(label="Verdict", value=_shown(lineage.verdict), note=_shown("; ".join(lineage.reasons))),
    ]
    if lineage.accepted is not None:
        rows.append(Fact(label="Accepted because", value=_shown(lineage.accepted)))
    rows += [_set_fact(name, one) for name, one in list(lineage.metrics.items())[:MAX_SHOWN]]
    if lineage.before != "base":
        rows.append(Fact(label="Before", value="what training started from: the base encodes nothing sparse"))
    keys = "; ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in lineage.recipe.items())
    licences = "; ".join(f"{name}: {licence}" for name, licence in lineage.licences.items())
    return (
        *rows,
        Fact(label="Licences", value=_shown(licences or "none declared that can be read")),
        Fact(label="Paid", value=f"{lineage.dollars:,.2f} dollars"),
        Fact(label="Recipe", value=_shown(keys), note=f"sha256 {_shown(lineage.recipe_sha256)}"),
        Fact(label="Pinned", value=_shown("; ".join(f"{name} {value}" for name, value in lineage.pins.items()))),
        Fact(
            label="Stages",
            value=_shown("; ".join(f"{name} {one.digest[:12]}" for name, one in lineage.stages.items())),
            note=f"release-tool {_shown(lineage.tool_version)}",
            mono=True,
        ),
    )


def _set_fact(name: str, one: SetLineage) -> Fact:
    gain = (
        f"{100 * (one.after - one.before):+.2f} points, {100 * one.low:+.2f} to {100 * one.high:+.2f}, p = {one.p:.4f}"
    )
    flops = ""
    if one.flops_before is not None and one.flops_after is not None:
        flops = f"; FLOPS {one.flops_before:.2f} → {one.flops_after:.2f}"
    size = f"{plural(one.queries, 'query', 'queries')}, {plural(one.documents, 'document')}{flops}"
    value = f"nDCG@10 {one.before:.4f} → {one.after:.4f} ({gain})"
    return Fact(label=clip(one_line(f"{one.role}: {name}" if name != one.role else name), 80), value=value, note=size)


def _shown(text: str) -> str:
    return clip(one_line(text), 600)
