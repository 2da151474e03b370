"""How an int8 archive is judged: near to the source, as far as eight bits allow; that it still ranks, the quality says.

Vectors by their direction and their length, logits by a share of how far the source's own lie apart: what a search
sorts by. Refusals, numbers that are not finite and inputs of another length are judged as of any archive.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind

if TYPE_CHECKING:
    from release_tool.core.comparison import Comparison
    from release_tool.core.plan import Tolerances


def by_cosine(kind: ModelKind) -> bool:
    """Tell whether a kind's answers are vectors."""
    return kind is not ModelKind.CROSS_ENCODER


def difference(item: Comparison, kind: ModelKind) -> float | None:
    """Return what is judged: 1 less the cosine of vectors, the difference of logits; null where it was not measured."""
    if not by_cosine(kind):
        return item.max_abs
    return None if item.cosine is None else 1 - item.cosine


def limit(kind: ModelKind, tolerances: Tolerances, spread: float | None) -> float:
    """Return the largest difference allowed; nothing where the plan or the proof does not say.

    Args:
        kind: of the archive.
        tolerances: of the plan.
        spread: the oracle's largest logit less its smallest, over all probes.
    """
    if by_cosine(kind):
        return 0.0 if tolerances.int8_cosine is None else 1 - tolerances.int8_cosine
    return max(tolerances.logit, (tolerances.int8_logit or 0.0) * (spread or 0.0))


def reasons(item: Comparison, kind: ModelKind, tolerances: Tolerances, spread: float | None) -> list[tuple[float, str]]:
    """Return (how bad, why) where a comparison is outside: see ``proof.judge``."""
    found, most = difference(item, kind), limit(kind, tolerances, spread)
    measured = math.nan if found is None else found
    outside = []
    # "not <=" and not ">": NaN must fail.
    if not measured <= most:
        bad = measured / most if most > 0 and math.isfinite(measured) else math.inf
        if by_cosine(kind):
            words = f"its cosine to the source is {1 - measured:.4f}, at least {1 - most:g} is asked of int8"
        else:
            words = f"differs by {measured:.3g}, allowed {most:.3g} of the spread {spread or 0.0:.3g} in int8"
        outside.append((bad, words))
    if item.norm is not None and item.norm_reference:
        off, may = abs(item.norm / item.norm_reference - 1), tolerances.int8_norm or 0.0
        if not off <= may:
            words = f"its length is {item.norm:.4g}, the source's {item.norm_reference:.4g}"
            outside.append((off / may if may > 0 else math.inf, words))
    return outside
