"""A model for the workflows whose texts are hostile, and the form's inputs that go with it."""

from __future__ import annotations

import re

from tiny_models import make

from act.world import HUB_TOKEN

MODEL, VERSION = "acme/tiny", "1.0.0"
MARK = "executed"
PAYLOADS = (
    "$(touch {mark})",
    "`touch {mark}`",
    "'; touch {mark}; '",
    '"; touch {mark}; "',
    "| touch {mark}",
    "<img src=x>",
)
CARD = """---
license: apache-2.0
---
# tiny

$(touch {mark}) `touch {mark}` | <script>alert(1)</script> ::set-output name=digest::0 and a model of words.
${{{{ secrets.HF_TOKEN }}}}

::set-output name=digest::0
::error::not so
"""


def mark(world):
    """Return the file that a payload would make, were it executed."""
    return world.folder / MARK


def touched(world):
    """Tell whether any payload was executed."""
    return mark(world).exists() or bool([*world.folder.rglob(MARK)])


def description(world):
    """Return a description that a shell, a workflow or a page must not take for anything but text."""
    return f"A model, $(touch {mark(world)}) `touch {mark(world)}`; touch {mark(world)} # | <b>bold</b>"


def add_model(world, seed=0, name=MODEL):
    """Put a tiny dense model on the hub, to be read with a token alone; return its commit."""
    folder = make(world.folder / f"model-{seed}", "bert", "dense", seed)
    (folder / "README.md").write_text(CARD.format(mark=mark(world)), encoding="utf-8")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if name in world.hub.repositories:
        return world.hub.repositories[name].commit(files)
    made = world.hub.add(name, files, private=True, readers=[HUB_TOKEN])
    return made.branches["main"]


def done(run):
    """Return what every job of a run has given out, for a run of the later jobs alone; null where it was skipped."""
    flow = next(iter(run.flows.values()))
    begun = {name.partition("/")[0] for name in run.jobs}
    return {name: run.outputs(name) if name in begun else None for name in flow["jobs"]}


def exit_codes(run, job):
    """Return how the failed steps of a job have ended."""
    return [int(code) for code in re.findall(r"^exit status (\d+)$", run.jobs[job].log, re.MULTILINE)]


def without_node(copy):
    """Let the job that proves on the real OpenSearch prove in the runtime once more."""
    path = copy / ".github" / "workflows" / "release-model.yml"
    text = path.read_text(encoding="utf-8")
    assert text.count("validate --on node") == 1
    path.write_text(text.replace("validate --on node", "validate"), encoding="utf-8")
