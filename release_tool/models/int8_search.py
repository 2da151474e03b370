"""Find which layers of a graph may stand in eight bits, and which stay in float32.

First everything is quantised and measured. Where that holds the budgets, nothing else is tried. Else each layer is
quantised alone, and the layers are ordered by how far the answers then move. The most sensitive ones stay in float32,
twice as many each round until the budgets hold, and then as few as halving the distance finds. What was kept is
recorded: an archive is rebuilt from the record, since another machine may measure other last digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from release_tool.core.bundle import QuantisationRound, Quantised, QuantisedWeight
from release_tool.core.quality import KEPT_PER_CENT
from release_tool.errors import ExportError, IntegrityError
from release_tool.models.int8_answers import Reader, figures
from release_tool.models.int8_ranking import Judge
from release_tool.models.quantisation import closed, layers, quantise
from release_tool.packaged import packaged_probes
from release_tool.workers import report

if TYPE_CHECKING:
    from release_tool.core.probes import Probe
    from release_tool.models.onnx_weights import Graph

UNUSED = 0.1
"""Share of each tolerance that the search leaves unused: the server's onnxruntime is another version."""
SHORT_TOKENS = 64
MOST_PROBES = 20
"""Sensitivity is measured on so many probes up to this length: a layer that errs does so on every text, and each layer
is a graph of its own."""
DIGITS = 6
KEPT = "kept_per_cent"
HINT = "Release the model without --variant int8."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """The graph in float32, measured once."""

    probes: tuple[Probe, ...]
    answers: np.ndarray
    judge: Judge
    ndcg: float


@dataclass(slots=True)
class Search:
    """One search; what was measured so far."""

    graph: Graph
    reader: Reader
    rounds: list[QuantisationRound] = field(default_factory=list)

    def run(self) -> tuple[Graph, Quantised]:
        """Return the quantised graph and how it came about.

        Raises:
            ExportError: more than half of the layers would have to stay in float32.
            MissingExtra: the libraries that measure are not installed.
        """
        names = list(layers(self.graph))
        if not names:
            raise ExportError("The graph has no weight that could be quantised.", hint=HINT)
        measured = self._measured()
        if self._holds(measured, frozenset()):
            return self._result(names, {}, 0)
        sensitivity = self._sensitivity(measured, names)
        ordered = sorted(names, key=lambda name: -sensitivity[name])
        return self._result(ordered, sensitivity, self._least(measured, ordered))

    def _least(self, measured: _Measured, ordered: list[str]) -> int:
        """Return how many of the most sensitive layers have to stay in float32.

        Raises:
            ExportError: more than half of all.
        """
        steps = [1 << power for power in range(len(ordered).bit_length()) if 1 << power < len(ordered) // 2]
        low = 0
        for high in (*steps, len(ordered) // 2):
            if high and self._holds(measured, frozenset(ordered[:high])):
                break
            low = high
        else:
            last = ", ".join(f"{name} {value:g}" for name, value in self.rounds[-1].figures.items())
            raise ExportError(
                f"More than half of the {len(ordered)} layers would have to stay in float32 (last measured: {last}).",
                hint=HINT,
            )
        while high - low > 1:
            middle = (low + high) // 2
            if self._holds(measured, frozenset(ordered[:middle])):
                high = middle
            else:
                low = middle
        return high

    def _measured(self) -> _Measured:
        probes = packaged_probes().for_kind(self.reader.kind)
        judge = Judge.of(self.reader.kind)
        return _Measured(
            probes=probes,
            answers=self.reader.answers(self.graph, probes),
            judge=judge,
            ndcg=judge.ndcg(self.reader, self.graph),
        )

    def _holds(self, measured: _Measured, kept: frozenset[str]) -> bool:
        """Quantise all but these, measure, and write the round down."""
        graph = quantise(self.graph, kept)
        answers = self.reader.answers(graph, measured.probes)
        worst = {name: float(of.max()) for name, of in figures(self.reader.kind, measured.answers, answers).items()}
        inside = all(value <= self._allowed(name) for name, value in worst.items())
        if inside:  # the set takes longer than the probes
            found = measured.judge.ndcg(self.reader, graph)
            # Of nothing nothing can be lost, as the gate sees it: a head without training may rank all to the end.
            worst[KEPT] = 100 * found / measured.ndcg if measured.ndcg else 100.0
            inside = worst[KEPT] >= KEPT_PER_CENT[self.reader.kind]
        shown = {name: round(value, DIGITS) for name, value in worst.items()}
        self.rounds.append(QuantisationRound(kept=len(kept), figures=shown))
        listed = ", ".join(
            f"{value:g} % of nDCG@10 kept" if name == KEPT else f"{name} off by {value:g}"
            for name, value in shown.items()
        )
        report("said", text=f"int8, {len(kept)} layers in float32: {listed}; {'holds' if inside else 'does not hold'}")
        return inside

    def _allowed(self, name: str) -> float:
        """Return how far the worst probe may move; a figure that is no number is never inside."""
        tolerances = self.reader.plan.tolerances
        limits = {
            "cosine": 1.0 - (1.0 if tolerances.int8_cosine is None else tolerances.int8_cosine),
            "norm": tolerances.int8_norm or 0.0,
            "logit": tolerances.int8_logit or 0.0,
        }
        return limits[name] * (1.0 - UNUSED)

    def _sensitivity(self, measured: _Measured, names: list[str]) -> dict[str, float]:
        """Return how far the answers move on average when a layer alone is quantised."""
        short = [index for index, probe in enumerate(measured.probes) if self.reader.tokens(probe) <= SHORT_TOKENS]
        short = short[:: -(-len(short) // MOST_PROBES)]
        probes = [measured.probes[index] for index in short]
        found = {}
        report("said", text=f"int8: each of {len(names)} layers alone")
        for done, name in enumerate(names):
            report("note", text=f"int8, layer {done + 1} of {len(names)} alone")
            answers = self.reader.answers(quantise(self.graph, frozenset(names) - {name}), probes)
            moved = next(iter(figures(self.reader.kind, measured.answers[short], answers).values()))
            mean = float(moved.mean())
            found[name] = mean if np.isfinite(mean) else float(np.finfo(np.float32).max)
        return found

    def _result(self, ordered: list[str], sensitivity: dict[str, float], kept: int) -> tuple[Graph, Quantised]:
        whole = closed(layers(self.graph), frozenset(ordered[:kept]))
        weights = tuple(
            QuantisedWeight(
                name=name,
                sensitivity=round(sensitivity[name], DIGITS) if name in sensitivity else None,
                kept=name in whole,
            )
            for name in ordered
        )
        made = quantise(self.graph, whole)
        return made, Quantised(weights=weights, rounds=tuple(self.rounds))


def again(graph: Graph, recorded: Quantised) -> tuple[Graph, Quantised]:
    """Quantise as a record says, without measuring.

    Raises:
        IntegrityError: the record is about other layers.
    """
    if {weight.name for weight in recorded.weights} != set(layers(graph)):
        raise IntegrityError("What was recorded about int8 is not about the layers of this model.")
    return quantise(graph, frozenset(weight.name for weight in recorded.weights if weight.kept)), recorded
