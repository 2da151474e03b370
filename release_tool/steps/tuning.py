"""Look at the fine-tuning run whose weights a release takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from release_tool.core.plan import ReleasePlan
    from release_tool.global_options import Context
    from release_tool.services.github import GitHub

WAIT_SECONDS, PAUSE_SECONDS = 300.0, 10.0
"""For a run that has nothing left to do but to end: it starts its release in its last job."""


def check_tuning_run(context: Context, plan: ReleasePlan) -> None:
    """Refuse weights of a run that is not this repository's own fine-tuning; warn where nobody can look.

    Raises:
        RequestError: it is another run; everything that speaks against it is listed.
        UsageError: there is no token for GitHub.
        RemoteFailed: GitHub refuses to say.
        Unreachable: it does not answer.
    """
    from release_tool.errors import Fault, RequestError
    from release_tool.services.github import REPOSITORY_VARIABLE, GitHub, check_repository, read_access

    run = plan.request.tune_run_id
    if run is None:
        return
    named = os.environ.get(REPOSITORY_VARIABLE, "").strip()
    if not named:
        context.console.warning(
            f"Nobody looked whether {run} is a fine-tuning run of this repository: {REPOSITORY_VARIABLE} is not set."
        )
        return
    repository = check_repository(named)
    with context.console.step("Look at the fine-tuning run"):
        problems = _problems(GitHub(read_access(os.environ)), repository, run)
    if problems:
        raise RequestError(
            tuple(Fault("--tune-run-id", f"{run}: {problem}") for problem in problems),
            hint="Name a run of the fine-tuning workflow on main that has ended well, and run the workflow again.",
        )


def _problems(github: GitHub, repository: str, run: str) -> tuple[str, ...]:
    """Return what speaks against a run, once it has ended; one that nothing else speaks against is waited for."""
    from release_tool.core.tuned_run import goes_on, run_problems

    began = github.clock.elapsed()
    while True:
        found = github.get(f"repos/{repository}/actions/runs/{run}")
        problems = run_problems(found, repository, run)
        if len(problems) != 1 or not goes_on(found) or github.clock.elapsed() - began >= WAIT_SECONDS:
            return problems
        github.clock.sleep(PAUSE_SECONDS)
