"""``release-tool ml bench``: how fast a model answers on a cluster, alone or beside another one."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from release_tool.core.ml.predict import CONTENT_TYPES
from release_tool.core.ml.timing import DEFAULT_CONCURRENCY, DEFAULT_REQUESTS, DEFAULT_WORDS, ROUNDS
from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from release_tool.core.ml.predict import Row, Wanted
    from release_tool.core.ml.timing import Beside, Case, Timed
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender
    from release_tool.steps.ml.connection import Asked

HELP = """Measure how fast a deployed model answers.

For each number of requests at once and each length of the texts: p50, p95 and p99 of the time until an answer, and
answers a second, as this machine sees them. With OTHER both are asked in turn, round by round, so that a slow moment
meets both. Nothing is asked again: a cluster that pushes back ends the measuring (exit code 13).

\b
Examples:
  release-tool ml bench cleMb4kBJ1eYAeTMFFg4
  release-tool ml bench cleMb4kBJ1eYAeTMFFg4 d1fNb4kBJ1eYAeTMGVhk --concurrency 1 --concurrency 8 --words 32
  release-tool --json ml bench cleMb4kBJ1eYAeTMFFg4 --input questions.jsonl
"""


@click.command(help=HELP, short_help="Measure how fast a deployed model answers.")
@click.argument("model")
@click.argument("other", required=False)
@click.option(
    "--concurrency", type=click.IntRange(1, 256), multiple=True, default=DEFAULT_CONCURRENCY, show_default=True,
    metavar="N", help="Requests at once; repeatable.",
)  # fmt: skip
@click.option(
    "--words", type=click.IntRange(1, 10_000), multiple=True, default=DEFAULT_WORDS, show_default=True, metavar="N",
    help="Words of a text; repeatable.",
)  # fmt: skip
@click.option(
    "--requests", type=click.IntRange(1, 1_000_000), default=DEFAULT_REQUESTS, show_default=True, metavar="N",
    help="Requests of each case and model, at least.",
)  # fmt: skip
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=ROUNDS, show_default=True, metavar="N",
    help="Parts in which they are asked, in turn where there are two models.",
)  # fmt: skip
@click.option("--content-type", type=click.Choice(CONTENT_TYPES), help="Of an asymmetric model: what the texts are.")
@click.option(
    "--input", "source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Questions of your own, as of ml predict, in place of --words.",
)  # fmt: skip
@cluster_options
@click.pass_obj
def command(context: Context, /, model: str, other: str | None, *, asked: Asked, **given: Any) -> None:
    """Measure."""
    from release_tool.core.ml.predict import ONE_AT_A_TIME
    from release_tool.core.ml.timing import Case
    from release_tool.core.speed_ratio import MIN_ROUNDS
    from release_tool.errors import UsageError
    from release_tool.steps.ml.predict import wanted_of

    if other and given["rounds"] < MIN_ROUNDS:
        raise UsageError(f"{given['rounds']} rounds say nothing of two models.", hint=f"--rounds {MIN_ROUNDS} or more.")
    with asked.open(context, connections=max(given["concurrency"])) as cluster:
        wanted = [wanted_of(cluster, one, {"content_type": given["content_type"]}) for one in _both(model, other)]
        concurrency = given["concurrency"]
        if any(one.function in ONE_AT_A_TIME for one in wanted) and max(concurrency) > 1:
            context.console.warning("Two questions at once would mix their answers: one at a time.")
            concurrency = (1,)
        words: tuple[int | None, ...] = (None,) if given["source"] else given["words"]
        cases = [Case(concurrency=number, words=length) for number in concurrency for length in words]
        timed, compared = _measure(context, cluster, list(zip(_both(model, other), wanted, strict=True)), cases, given)
        version = cluster.version
    data = {"version": version, "models": _both(model, other), "timed": timed, "compared": compared}
    emit(context, _text(timed, compared, other), data)


def _both(model: str, other: str | None) -> list[str]:
    return [model, *([other] if other else ())]


def _measure(
    context: Context, cluster: Sender, models: list[tuple[str, Wanted]], cases: list[Case], given: dict[str, Any]
) -> tuple[list[Timed], list[Beside]]:
    from release_tool.core.ml.timing import beside, round_size, timed
    from release_tool.services.cluster.timing import take_rounds

    rounds = given["rounds"]
    found: list[Timed] = []
    compared: list[Beside] = []
    with context.console.progress("asking", len(cases) * rounds * len(models), "rounds") as bar:
        for case in cases:
            asked = [(model, wanted, _questions(wanted, case, given["source"])) for model, wanted in models]
            taken = take_rounds(
                cluster, asked, concurrency=case.concurrency, size=round_size(case, given["requests"], rounds),
                rounds=rounds, done=bar.advance,
            )  # fmt: skip
            found += [timed(model, case, own) for (model, _), own in zip(models, taken, strict=True)]
            if len(taken) > 1:
                compared.append(beside(case, taken[0], taken[1]))
    return found, compared


def _questions(wanted: Wanted, case: Case, source: Path | None) -> Callable[[], Iterator[Row]]:
    """Return what makes the questions of a model, always the same.

    Raises:
        UsageError: a line of the file is no question, or nobody knows what to ask.
    """
    from release_tool.core.ml.predict import Function
    from release_tool.core.ml.timing import made_rows
    from release_tool.errors import UsageError
    from release_tool.steps.ml.predicting import Bad, open_input, read_questions

    if source is None:
        if wanted.function is Function.REMOTE:
            raise UsageError("What a remote model is asked can't be made up.", hint="Give questions with --input.")
        return lambda: made_rows(case.words or 1, wanted)
    rows: list[Row] = []
    with open_input(source) as stream:
        for question in read_questions(stream, wanted, plain=False):
            if isinstance(question, Bad):
                raise UsageError(f"Line {question.line} of {source} {question.why}.", hint="Correct it.")
            rows.append(question)
    if not rows:
        raise UsageError(f"{source} has no questions.", hint="Give one a line.")
    return lambda: cycle(rows)


def _text(found: list[Timed], compared: list[Beside], other: str | None) -> str:
    from release_tool.steps.ml.tables import rows

    cells = [
        (
            one.model, one.concurrency, "own" if one.words is None else one.words, one.requests, f"{one.p50_ms:.1f}",
            f"{one.p95_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.per_second:.1f}",
        )
        for one in found
    ]  # fmt: skip
    parts = [rows(("model", "at once", "words", "requests", "p50 ms", "p95 ms", "p99 ms", "a second"), cells)]
    parts += [
        f"{other} takes {one.ratio:.3f} times as long, {one.concurrency} at once, "
        f"{'own questions' if one.words is None else f'{one.words} words'} "
        f"(99 %: {one.low:.3f} to {one.high:.3f}, {one.rounds} rounds)"
        for one in compared
    ]
    return parts[0] + "".join(f"\n{line}" for line in parts[1:])
