"""What MODEL is: a folder or an id, by who gave it; an event gives ids alone, but for the folder of a tuning run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.inputs import BY_EVENT
from release_tool.core.modeljson import shown
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from release_tool.core.inputs import Raw
    from release_tool.core.request import ReleaseRequest


def from_run(inputs: dict[str, Raw], tuned_model: Path | None) -> dict[str, Raw]:
    """Return the inputs with the folder of a fine-tuned model in the place of the name that the form gave it.

    Raises:
        RequestError: there is no such folder. What else is wrong would be told of a model that nobody means.
    """
    if tuned_model is None:
        return inputs
    if not tuned_model.is_dir():
        raise RequestError((Fault("--tuned-model", f"no such folder: {shown(str(tuned_model))!r}"),))
    found = {**inputs, "model": str(tuned_model), "model_id": inputs.get("model_id") or inputs.get("model")}
    by_event = inputs.get(BY_EVENT)
    if isinstance(by_event, tuple):
        found[BY_EVENT] = tuple(name for name in by_event if name != "model")
    return found


def folder_of(inputs: dict[str, Raw]) -> Path | None:
    """Return the folder that MODEL names, ``None`` for the id of a model on the hub, as an event always gives it."""
    return None if _is_by_event(inputs, "model") else _folder_called(inputs)


def _is_by_event(inputs: dict[str, Raw], name: str) -> bool:
    by_event = inputs.get(BY_EVENT)
    return isinstance(by_event, tuple) and name in by_event


def _folder_called(inputs: dict[str, Raw]) -> Path | None:
    text = str(inputs.get("model") or "")
    try:
        path = Path(text).expanduser()
        return path.resolve() if text and path.is_dir() else None
    except (OSError, RuntimeError):  # too long a name, a home that nobody has: no folder here
        return None


def faults_of_event(inputs: dict[str, Raw], request: ReleaseRequest) -> list[Fault]:
    """Return what is wrong with an event: a form names a model of the hub, and says where the release goes."""
    faults = []
    if _is_by_event(inputs, "model") and _folder_called(inputs) is not None:
        problem = f"{shown(request.model)!r} of the event names a folder here, and an event names a model of the hub"
        faults.append(Fault("MODEL", problem, "give the folder as MODEL beside --event, or plan in another place"))
    if BY_EVENT in inputs and request.upload_target is None:
        faults.append(Fault("--upload-target", "is needed with --event", "a target of release-tool.toml"))
    return faults
