"""nDCG@10 of a graph on the judged set that comes with the package, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from release_tool.core.kinds import ModelKind
from release_tool.core.quality import SHIPPED_SET
from release_tool.errors import MissingExtra
from release_tool.packaged import packaged_set
from release_tool.sets import JudgedSet, open_set, pair_probes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.probes import Probe
    from release_tool.models.int8_answers import Reader
    from release_tool.models.onnx_weights import Graph

PAIRS_A_QUERY = 20
"""Candidates that a re-ranker is asked about; the gate asks a hundred, at five times the time."""
EVERY_QUERY = 3
"""A re-ranker is asked about every third query: its texts are pairs, and there are so many more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A judged set, as a kind of model is asked about it."""

    judged: JudgedSet
    kind: ModelKind
    asked: tuple[Probe, ...]
    """Queries and then documents; of a re-ranker, pairs."""
    candidates: Mapping[str, list[int]]

    @classmethod
    def of(cls, kind: ModelKind) -> Judge:
        """Read the shipped set.

        Raises:
            MissingExtra: the libraries that measure are not installed.
        """
        try:
            import ir_measures  # noqa: F401 - what measures below
            import scipy  # noqa: F401
        except ImportError as error:
            raise MissingExtra("quality", str(error.name)) from error
        judged = open_set(packaged_set(), SHIPPED_SET)
        if kind is not ModelKind.CROSS_ENCODER:
            return cls(
                judged=judged,
                kind=kind,
                asked=(*judged.query_probes(), *judged.document_probes()),
                candidates={},
            )
        from release_tool.models.candidates import candidates

        found = candidates(judged.texts, judged.queries)
        chosen = {query: found[query][:PAIRS_A_QUERY] for query in list(judged.queries)[::EVERY_QUERY]}
        every = {query: chosen.get(query, []) for query in judged.queries}
        return cls(judged=judged, kind=kind, asked=tuple(pair_probes(judged, every)), candidates=chosen)

    def ndcg(self, reader: Reader, graph: Graph) -> float:
        """Return the mean nDCG@10."""
        from release_tool.models.measures import ranking_of, score

        names = [entry.id for entry in self.judged.entries()]
        answers = reader.answers(graph, self.asked)
        if self.kind is ModelKind.CROSS_ENCODER:
            ranking = self._reranked(answers[:, 0], names)
            grades = {query: self.judged.grades[query] for query in self.candidates}
        else:
            queries = len(self.judged.queries)
            from release_tool.models.ranking import rank_dense

            # Weights of a vocabulary are ranked like an embedding: here, the whole set is in memory at once.
            best = rank_dense(
                [{"embedding": answers[:queries]}],
                [{"embedding": answers[queries:]}],
                cosine=self.kind is ModelKind.DENSE,
            )
            ranking = ranking_of(best, list(self.judged.queries), names, {})
            grades = self.judged.grades
        return float(score(ranking, grades).means.ndcg_10)

    def _reranked(self, logits: np.ndarray, names: list[str]) -> dict[str, list[str]]:
        from release_tool.models.ranking import settled

        ranking: dict[str, list[str]] = {}
        at = 0
        for query, places in self.candidates.items():
            scores = settled(logits[at : at + len(places)])
            order = np.lexsort((np.asarray(places), -scores)) if places else np.zeros(0, np.int64)
            ranking[query] = [names[places[index]] for index in order]
            at += len(places)
        return ranking
