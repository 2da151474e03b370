"""Ask models of a cluster in turn and take the times."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from release_tool.core.ml.timing import Round
from release_tool.services.cluster.asking import ask_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from release_tool.core.ml.predict import Row, Wanted
    from release_tool.services.cluster.sender import Sender

WARM_UPS = 10


def take_rounds(
    cluster: Sender,
    models: Sequence[tuple[str, Wanted, Callable[[], Iterator[Row]]]],
    *,
    concurrency: int,
    size: int,
    rounds: int,
    done: Callable[[], None],
) -> list[list[Round]]:
    """Return the rounds of each model.

    Args:
        cluster: takes as many threads as ask at once.
        models: id, how to ask, and what makes the questions; the same for all, and without end.
        concurrency: how many ask at once.
        size: questions a round.
        rounds: how many.
        done: is called after each round of each model.

    Raises:
        RemoteFailed: a question is refused.
        ServiceUnable: the cluster is asked too much: what it takes while it pushes back is no measure.
        Unreachable: it does not answer.
    """
    questions = [make() for _, _, make in models]
    found: list[list[Round]] = [[] for _ in models]
    for (model, wanted, _), own in zip(models, questions, strict=True):
        _round(cluster, model, wanted, islice(own, max(WARM_UPS, concurrency)), concurrency)
    for number in range(rounds):
        turn = number % len(models)
        for place in (*range(turn, len(models)), *range(turn)):
            model, wanted, _ = models[place]
            found[place].append(_round(cluster, model, wanted, islice(questions[place], size), concurrency))
            done()
    return found


def _round(cluster: Sender, model: str, wanted: Wanted, questions: Iterator[Row], concurrency: int) -> Round:
    def send(question: Row) -> object:
        return cluster.once(question.request(model, wanted))

    started = time.perf_counter()
    times = []
    for turn in ask_all(questions, send, parallel=concurrency, patience=0):
        if turn.refused is not None:
            raise turn.refused
        times.append(turn.seconds)
    return Round(seconds=time.perf_counter() - started, times=tuple(times))
