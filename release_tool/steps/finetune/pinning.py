"""What a recipe names outside of itself, pinned: models by commit, files and sets by digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip
from release_tool.steps.finetune.given_files import PINS, REMOTE, given_file
from release_tool.steps.finetune.places import digest_of, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.finetune.recipe import Recipe
    from release_tool.core.finetune.stages import FinetunePlan
    from release_tool.errors import Fault
    from release_tool.global_options import Context
    from release_tool.services.sources import Pinned, Source

PICKLE_HINT = (
    "Name a revision with safetensors and without code of its own. For the base's weights in pickle there is "
    "model.allow_pickle = true, if you trust who made them: reading such a file can run code."
)


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
        UnsupportedModel: nothing can start from the base, or a teacher is no cross-encoder.
        Unreachable: the hub does not answer.
    """
    from release_tool.errors import Fault, RequestError

    faults: list[Fault] = []
    pins: dict[str, str] = {}
    for name, (where, paths) in files_of(recipe, folder).items():
        digest = digest_of(paths)
        if digest is None:
            faults.append(Fault(where, f"names {unreadable(paths)}", "paths begin where the recipe lies"))
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
    pins |= _remote_pins(recipe, folder)
    return pins | _model_pins(context, recipe, folder, earlier)


def unreadable(paths: list[Path]) -> str:
    """Say which of some files can't be read; for a message."""
    from release_tool.bounded import NotReadable, open_regular

    for path in paths if len(paths) > 1 else ():
        try:
            open_regular(path).close()
        except (OSError, NotReadable) as error:
            said = error.strerror if isinstance(error, OSError) else error
            return f"a folder with {clip(one_line(path.name))}, which can't be read: {said}"
    return "no file that can be read"


def _model_pins(context: Context, recipe: Recipe, folder: Path, earlier: FinetunePlan | None) -> dict[str, str]:
    """Return the pins of the models: of the earlier plan where it names the same ones of the hub."""
    from release_tool.core.snapshot_files import PICKLE_WEIGHTS

    pins: dict[str, str] = {}
    known = {} if earlier is None else models_of(earlier.recipe)
    for name, (model, revision) in models_of(recipe).items():
        may_have_pickle = allows_pickle(recipe, name)
        is_known = known.get(name) == (model, revision) and not place_of(folder, model).is_dir()
        # What was pinned with a consent is not taken over by a recipe without one.
        if earlier is not None and is_known and may_have_pickle == allows_pickle(earlier.recipe, name):
            pins[name] = earlier.pins[name]
            continue
        context.console.info(f"Pin {model}")
        source = pinned_source(model, revision, folder, allow_pickle=may_have_pickle)
        check_kind(source, name, recipe.model.kind, model)
        pinned = source.pin()
        if any(PICKLE_WEIGHTS.fullmatch(file.path.rpartition("/")[2]) for file in pinned.files):
            context.console.warning(
                "The base's weights are pickle files, which can run code when they are read (model.allow_pickle)."
            )
        pins[name] = pin_text(pinned)
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


def allows_pickle(recipe: Recipe, pin: str) -> bool:
    """Tell whether a model may have weights in pickle only: the base, where the recipe says so, and no other one."""
    return pin == "base" and recipe.model.allow_pickle


def pinned_source(model: str, revision: str, folder: Path, *, allow_pickle: bool = False) -> Source:
    """Return the source of a model of a recipe, pinned; a folder's path begins where the recipe lies.

    Raises:
        SourceError: it can't be had.
        UnsafeModel: its weights are in pickle only, or it has code of its own.
        Unreachable: the hub does not answer.
    """
    from release_tool.errors import UnsafeModel
    from release_tool.services.open_source import open_source

    place = place_of(folder, model)
    source = open_source(place if place.is_dir() else model, revision=revision or None, allow_pickle=allow_pickle)
    try:
        source.pin()
    except UnsafeModel as error:
        # A release has options for it; a recipe has a key for the pickles of its base, and for code it has nothing.
        raise UnsafeModel(f"{clip(one_line(model))}: {error}", hint=PICKLE_HINT) from error
    return source


def check_kind(source: Source, pin: str, kind: str, model: str) -> None:
    """Refuse a base that nothing can start from, and a teacher that can't score, by their small files.

    Raises:
        UnsupportedModel: as it says.
    """
    from release_tool.core.finetune.model_kinds import base_problem, teacher_problem
    from release_tool.errors import UnsupportedModel

    files = source.pin().files
    known = {file.path for file in files}

    def read(path: str) -> bytes | None:
        return source.read(path) if path in known else None

    problem, hint = None, ""
    if pin == "base":
        problem, hint = base_problem(read, files, kind), "Name an encoder at model.base."
    elif pin.startswith("teacher:"):
        problem, hint = teacher_problem(read, files, clip(one_line(model))), "Name cross-encoders at teach.models."
    if problem is not None:
        raise UnsupportedModel(problem, hint=hint)


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
