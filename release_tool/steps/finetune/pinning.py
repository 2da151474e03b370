"""What a recipe names outside of itself, pinned: models by commit, files and sets by digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.steps.finetune.given_files import PINS, REMOTE, given_file
from release_tool.steps.finetune.places import digest_of, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.finetune.recipe import Recipe
    from release_tool.core.finetune.stages import FinetunePlan
    from release_tool.errors import Fault
    from release_tool.global_options import Context
    from release_tool.services.sources import Pinned


def pins_of(context: Context, recipe: Recipe, folder: Path, *, earlier: FinetunePlan | None = None) -> dict[str, str]:
    """Return name → digest or revision of everything that a recipe names.

    Args:
        context: of the command.
        recipe: with paths relative to ``folder``.
        folder: where the recipe lies.
        earlier: a plan whose models of the hub stay pinned as they are where the recipe still names them.

    Raises:
        RequestError: files that are not there; all of them are listed.
        SourceError: a model can't be had.
        Unreachable: the hub does not answer.
    """
    from release_tool.errors import Fault, RequestError

    faults: list[Fault] = []
    pins: dict[str, str] = {}
    for name, (where, paths) in files_of(recipe, folder).items():
        digest = digest_of(paths)
        if digest is None:
            faults.append(Fault(where, "names no file that can be read", "paths begin where the recipe lies"))
        else:
            pins[name] = digest
    for pin, word in (("set", "sets"), ("guard", "guards")):
        for number, one in enumerate(getattr(recipe.evaluate, word)):
            digest = _set_digest(place_of(folder, one), f"evaluate.{word}", faults)
            if digest is not None:
                pins[f"{pin}:{number}"] = digest
    if faults:
        raise RequestError(tuple(faults))
    if recipe.corpus.source != "files":
        from release_tool.steps.finetune.corpus_sources import corpus_pin

        pins["corpus"] = corpus_pin(context, recipe.corpus)
    known = {} if earlier is None else models_of(earlier.recipe)
    pins |= _remote_pins(recipe, folder)
    for name, (model, revision) in models_of(recipe).items():
        if earlier is not None and known.get(name) == (model, revision) and not place_of(folder, model).is_dir():
            pins[name] = earlier.pins[name]
            continue
        context.console.info(f"Pin {model}")
        pins[name] = pin_text(pin_model(model, revision, folder))
    return pins


def _remote_pins(recipe: Recipe, folder: Path) -> dict[str, str]:
    """Return the pins of what ``[queries]`` names in S3."""
    pins = {}
    for word, pin in PINS.items():
        if getattr(recipe.queries, word).startswith(REMOTE):
            with given_file(recipe, folder, word) as path:
                pins[pin] = digest_of([path] if path else []) or ""
    return pins


def files_of(recipe: Recipe, folder: Path) -> dict[str, tuple[str, list[Path]]]:
    """Return pin → the key of the recipe that names them and the files that it names."""
    found: dict[str, tuple[str, list[Path]]] = {}
    if recipe.corpus.source == "files":
        from release_tool.services.finetune.file_documents import jsonl_files

        found["corpus"] = ("corpus.path", jsonl_files(place_of(folder, recipe.corpus.path)))
    for word, pin in PINS.items():
        path: str = getattr(recipe.queries, word)
        if path and not path.startswith(REMOTE):
            found[pin] = (f"queries.{word}", [place_of(folder, path)])
    return found


def models_of(recipe: Recipe) -> dict[str, tuple[str, str]]:
    """Return pin → (id or folder, revision) of every model of a recipe."""
    found = {"base": (recipe.model.base, recipe.model.revision)}
    for number, model in enumerate(recipe.teach.models):
        revisions = recipe.teach.revisions
        found[f"teacher:{number}"] = (model, revisions[number] if number < len(revisions) else "")
    if recipe.queries.provider == "local":
        found["writer"] = (recipe.queries.model, "")
    return found


def pin_model(model: str, revision: str, folder: Path) -> Pinned:
    """Pin a model of a recipe; a folder's path begins where the recipe lies.

    Raises:
        SourceError: it can't be had.
        Unreachable: the hub does not answer.
    """
    from release_tool.services.open_source import open_source

    place = place_of(folder, model)
    return open_source(place if place.is_dir() else model, revision=revision or None).pin()


def pin_text(pinned: Pinned) -> str:
    """Return a model's pin: its id, an at sign, its revision."""
    return f"{pinned.model_id}@{pinned.revision}"


def _set_digest(folder: Path, where: str, faults: list[Fault]) -> str | None:
    """Return the digest of a judged set; null where it is none, which is added to the faults."""
    from release_tool.errors import Fault, UsageError
    from release_tool.sets import open_set

    try:
        return open_set(folder, folder.name).sha256
    except UsageError as error:
        faults.append(Fault(where, str(error), error.hint or ""))
        return None
