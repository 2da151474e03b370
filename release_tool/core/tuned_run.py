"""Whether weights may come from a workflow run of GitHub: this repository's own fine-tuning, on main, ended well.

Anybody may fork a repository; who may write to it can run another workflow, or one on a branch that nobody reviewed.
Each such run has an id, and an artifact of any name. Source of the fields: GitHub's REST API, "Get a workflow run".
"""

from __future__ import annotations

from typing import Any

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip

TUNING_WORKFLOW = ".github/workflows/tune-model.yml"
BRANCH = "main"
ENDED = "completed"
"""Status of a run that has ended, whatever its conclusion."""
ENDED_WELL = "success"
MAX_SHOWN = 100


def run_problems(run: Any, repository: str, run_id: str) -> tuple[str, ...]:
    """Return everything that speaks against a run, as the ends of sentences; empty where nothing does.

    Args:
        run: what GitHub says of it, null where it knows none.
        repository: ``owner/name`` in which a release runs.
        run_id: as the request names it.
    """
    if run is None:
        return (f"{repository} has no such run, or the token may not see it",)
    if not isinstance(run, dict) or run.get("id") != int(run_id):
        return ("GitHub answers with something else than this run",)
    # GitHub may write the reference behind the path.
    path = _text(run.get("path")).partition("@")[0]
    found = []
    for words, name in (
        ("belongs to", _full_name(run.get("repository"))),
        ("ran code of", _full_name(run.get("head_repository"))),
    ):
        if name.lower() != repository.lower():
            found.append(f"it {words} {_shown(name)}, not {repository}")
    if path != TUNING_WORKFLOW:
        found.append(f"its workflow is {_shown(path)}, not {TUNING_WORKFLOW}")
    if run.get("head_branch") != BRANCH:
        found.append(f"it ran on {_shown(_text(run.get('head_branch')))}, not {BRANCH}")
    if run.get("conclusion") != ENDED_WELL:
        state = _text(run.get("conclusion")) or _text(run.get("status"))
        found.append(f"it has not ended well, but is {_shown(state)}")
    return tuple(found)


def goes_on(run: Any) -> bool:
    """Tell whether a run has not ended yet; ``status`` and ``conclusion`` as GitHub says them."""
    return isinstance(run, dict) and run.get("conclusion") is None and _text(run.get("status")) not in ("", ENDED)


def _full_name(repository: Any) -> str:
    return _text(repository.get("full_name")) if isinstance(repository, dict) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _shown(text: str) -> str:
    return clip(one_line(text), MAX_SHOWN) or "unknown"
