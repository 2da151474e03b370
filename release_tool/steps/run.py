"""``release-tool run``: plan, fetch, trace, validate and review in one go; it never publishes.

What an earlier run left and what still fits the plan is kept: each step looks at the chain of digests and does only
what is missing.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from release_tool.core.proof import RINGS, RUNTIME
from release_tool.steps import emit
from release_tool.steps.options import collect_inputs, model_argument, origins, request_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.inputs import Raw
    from release_tool.global_options import Context
    from release_tool.steps.review import ReviewResult


HELP = """Plan, fetch, trace, validate and review in one go.

With MODEL (a hub id or a folder) it plans first; without, it goes on from the plan in the work folder. How well an
int8 archive searches is measured, too, as by quality. Nothing is published.

\b
Examples:
  release-tool run sentence-transformers/all-MiniLM-L6-v2 --version 1.0.0
  release-tool run ./my-model --version 1.0.0 --on node
  release-tool run
"""


@click.command(help=HELP, short_help="Plan, fetch, trace, validate and review in one go.")
@model_argument
@request_options
@click.option(
    "--on",
    multiple=True,
    type=click.Choice(RINGS),
    help="A further ring; may be repeated. The runtime ring is always run.",
)
@click.pass_context
def command(ctx: click.Context, /, model: str | None, *, on: tuple[str, ...], **options: Any) -> None:
    """Release MODEL (an id or a folder) up to the review page; without MODEL go on from the plan that is there."""
    from release_tool.lock import hold
    from release_tool.services.extras import require_trace_extra

    context: Context = ctx.obj
    require_trace_extra()
    inputs = collect_inputs(model, options)
    for line in origins(ctx, inputs) if inputs else ():
        context.console.debug(line)
    with hold(context.work, "run"):
        done = run_release(context, inputs, rings=on)
    emit(context, done.text(context), done.data(context))


@dataclass(slots=True, kw_only=True)
class Run:
    """What a run left, and how long each step took."""

    seconds: dict[str, float] = field(default_factory=dict)
    result: ReviewResult | None = None

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step, also one that fails."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = time.monotonic() - started

    def archives(self) -> tuple[str, ...]:
        """Return the archives of the release, relative to the work folder."""
        files = self.result.review.files if self.result else ()
        return tuple(file.path for file in files if file.path.endswith(".zip"))

    def text(self, context: Context) -> str:
        """Return the summary for people."""
        from release_tool.core.escape import one_line

        if self.result is None:
            return ""
        lines = [f"digest   {self.result.review.digest}", f"page     {one_line(str(self.result.page))}"]
        lines += [f"archive  {one_line(str(context.work / path))}" for path in self.archives()]
        lines.append("time     " + ", ".join(f"{step} {taken:.1f} s" for step, taken in self.seconds.items()))
        return "\n".join(lines)

    def data(self, context: Context) -> dict[str, Any]:
        """Return the summary for machines."""
        return {
            "digest": self.result.review.digest if self.result else None,
            "page": str(self.result.page) if self.result else None,
            "archives": [str(context.work / path) for path in self.archives()],
            "seconds": {step: round(taken, 3) for step, taken in self.seconds.items()},
        }


def run_release(context: Context, inputs: dict[str, Raw], *, rings: tuple[str, ...]) -> Run:
    """Run every step up to the review.

    A release that differs from its source still gets its page; the error of the review says so afterwards.

    Raises:
        ValidationFailed: a proof is red; the page shows where.
        ReleaseError: what a step reports.
    """
    from release_tool.errors import ValidationFailed
    from release_tool.steps.asking import beside
    from release_tool.steps.fetch import run_fetch
    from release_tool.steps.plan import plan_release
    from release_tool.steps.proving import written
    from release_tool.steps.quality import run_quality
    from release_tool.steps.review import run_review
    from release_tool.steps.trace import ahead, run_trace
    from release_tool.steps.validate import run_validate
    from release_tool.steps.verdict_table import failing, markdown, table

    done = Run()
    with beside(context) as running, ahead(context, inputs) as export:
        if export is not None:
            running.oracle.prepare()
        if inputs:
            with done.timed("plan"):
                plan_release(context, inputs)
        with done.timed("fetch"):
            run_fetch(context)
        with done.timed("trace"):
            run_trace(
                context,
                oracle=running.oracle,
                ready=lambda artifact: running.rings.start(written(context, artifact), RUNTIME),
                export=export,
            )
        with done.timed("validate"):
            verdicts = run_validate(context, rings=rings, running=running)
    if int8 := int8_artifacts(context):
        with done.timed("quality"):
            run_quality(context, artifacts=int8)
    context.console.info(table(verdicts))
    context.console.summary(markdown(verdicts))
    red = failing(verdicts)
    with done.timed("review"):
        try:
            done.result = run_review(context)
        except ValidationFailed as refused:
            # The page is written by now: its place is the hint, and validate knows the cause.
            if red is not None:
                raise ValidationFailed(str(red), hint=refused.hint) from refused
            raise
    if red is not None:
        raise red
    return done


def int8_artifacts(context: Context) -> tuple[str, ...]:
    """Return the archives of the plan that are released only with their retrieval quality."""
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.variants import Variant
    from release_tool.documents import WorkFolder

    plan = WorkFolder(context.work).read(ReleasePlan, "plan.json", made_by="plan")
    return tuple(artifact.id for artifact in plan.artifacts if artifact.variant is Variant.INT8)
