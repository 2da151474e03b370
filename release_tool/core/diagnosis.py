"""Turn the pattern of a proof's failures into words: what differs, and what most likely causes it.

Pure: it looks at measured numbers only, and claims no more than the pattern shows. Each rule names the numbers that
it saw; the first rules are the most specific. Tests seed each fault into answers of a real model.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from release_tool.core import diagnosis_inputs, diagnosis_numbers
from release_tool.core.diagnosis_case import Case, Diagnosis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from release_tool.core.plan import Tolerances
    from release_tool.core.proof import Proof

RULES: tuple[Callable[[Case], Diagnosis | None], ...] = (
    diagnosis_inputs.refused,
    diagnosis_inputs.not_finite,
    diagnosis_numbers.dimension,
    diagnosis_inputs.lengths,
    diagnosis_numbers.norms,
    diagnosis_numbers.sparse_pattern,
    diagnosis_numbers.answer_text,
    diagnosis_inputs.long,
    diagnosis_inputs.row,
    diagnosis_numbers.precision,
    diagnosis_numbers.pooling,
)

INT8_RULES = (
    diagnosis_inputs.refused,
    diagnosis_inputs.not_finite,
    diagnosis_numbers.dimension,
    diagnosis_inputs.lengths,
    diagnosis_numbers.norms,
    diagnosis_inputs.long,
    diagnosis_numbers.quantised,
)
"""What can be told of an archive whose every number is a little off."""


def diagnose(
    proof: Proof,
    tolerances: Tolerances,
    *,
    inputs: Mapping[str, frozenset[int]] | None = None,
    special_ids: Iterable[int] = (),
    max_length: int | None = None,
) -> Diagnosis | None:
    """Return the most specific explanation of a proof's failures; null when nothing failed.

    One only: what a second rule would see is mostly the first one's doing.

    Args:
        proof: the measurements.
        tolerances: of the plan.
        inputs: probe id → token ids of its input, from the oracle's answers.
        special_ids: token ids that no sparse answer holds.
        max_length: tokens the plan allows.
    """
    ranked = [item for item, _ in proof.ranked(tolerances)]
    failed_ids = {id(item) for item in ranked}
    case = Case(
        proof=proof,
        tolerances=tolerances,
        failed=tuple(ranked),
        passed=tuple(item for item in proof.comparisons if id(item) not in failed_ids),
        inputs=inputs or {},
        special_ids=frozenset(special_ids),
        max_length=max_length,
    )
    if not case.failed:
        return None
    rules = INT8_RULES if proof.int8 else RULES
    return next((made for rule in rules if (made := rule(case)) is not None), None) or _unexplained(case)


def _unexplained(case: Case) -> Diagnosis:
    shapes = Counter(item.shape for item in case.failed)
    named = ", ".join(f"{shape} ({count})" for shape, count in shapes.most_common(3))
    return Diagnosis(
        fault="weights",
        saw=f"{case.of(len(case.failed))} fail, most of shape {named}",
        cause="no pattern that is known; compare the weights, then the inputs of the worst probe",
    )
