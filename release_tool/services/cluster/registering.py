"""Register a model: look whether it is there, make its group, send it, and take away what a refusal leaves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import get_model, register, register_meta, update_model
from release_tool.core.ml.register import chunks_of, ordered, restored
from release_tool.core.ml.searches import hits, models_of_hash, models_of_name
from release_tool.core.ml.tasks import model_state
from release_tool.core.ml.upload import Upload, upload_name
from release_tool.documents import WorkFolder
from release_tool.errors import IntegrityError, Refused, RemoteFailed, Unreachable, UsageError
from release_tool.services.cluster.grouping import access_of_new, find_group, make_group
from release_tool.services.cluster.replies import ident_of
from release_tool.services.cluster.undoing import Undo, undoing
from release_tool.services.cluster.uploading import present, unfinished, upload
from release_tool.services.cluster.waiting import WAIT_SECONDS, wait

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.services.cluster.sender import Sender

READY = frozenset({"REGISTERED", "DEPLOYING", "DEPLOYED", "PARTIALLY_DEPLOYED", "UNDEPLOYED", "DEPLOY_FAILED"})
"""States in which all bytes of a model are there."""

SETTLE_SECONDS = 30.0
SETTLE_PAUSE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a register needs beside the cluster."""

    console: Console
    work: Path
    """Folder where an upload writes down how far it is."""
    keep: bool = False
    """Leave what a failed register made."""
    again: bool = False
    """Register also what is there already."""
    limit: float = WAIT_SECONDS
    group: str | None = None
    """Id or name of the model group; null: the server's rule."""
    group_body: dict[str, Any] = field(default_factory=dict)
    """How a group is made where there is none: description and access."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """How a register ended."""

    model_id: str
    reused: bool = False
    """It was there already, by its hash."""
    sent_bytes: int = 0
    group_id: str | None = None
    group_made: bool = False


def register_archive(cluster: Sender, archive: Path, body: dict[str, Any], desk: Desk) -> Registered:
    """Register an archive by chunks, or go on with an upload that was cut.

    Args:
        cluster: where to.
        archive: the zip whose sha256 and size stand in ``body``.
        body: of ``core.ml.register.by_chunks``, without a group.
        desk: the rest.

    Raises:
        RemoteFailed: refused; nothing is left behind unless ``keep``.
        IntegrityError: the file is being changed.
        Unreachable: cut; the next run goes on.
    """
    sha256, size = str(body["model_content_hash_value"]), int(body["model_content_size_in_bytes"])
    folder = WorkFolder(desk.work)
    memo = _memo(folder, cluster, body)
    there = _same(cluster, body, memo.model_id, desk)
    if there is not None and model_state(there[1]) in READY:
        return _reused(cluster, body, there, desk, folder)
    if there is not None and there[1].get("total_chunks") != body["total_chunks"]:
        raise _under_way(there[0])
    with undoing(cluster, desk.console, keep=desk.keep) as undo:
        undo.model_id = there[0] if there is not None else None
        if there is None:
            body, memo = _in_group(cluster, body, desk, undo, folder, memo)
            model_id = _opened(cluster, body)
            undo.model_id = model_id
            folder.write(upload_name(sha256), replace(memo, model_id=model_id))
            have: frozenset[int] = frozenset()
        else:
            model_id = there[0]
            undo.group_id = memo.group_id
            have = present(cluster, model_id)
            desk.console.info(f"Go on with {model_id}: {len(have)} of {chunks_of(size)} chunks are there.")
        with desk.console.progress(f"Upload {archive.name}", size, "B") as bar:
            sent = upload(cluster, model_id, archive, sha256, have=have, advance=bar.advance)
        _finish(cluster, model_id, body, desk)
    folder.path(upload_name(sha256)).unlink(missing_ok=True)
    group_id = str(body.get("model_group_id") or "") or None
    return Registered(model_id=model_id, sent_bytes=sent, group_id=group_id, group_made=undo.group_id is not None)


def register_body(cluster: Sender, body: dict[str, Any], desk: Desk) -> Registered:
    """Register by address, by the name of a pretrained model, or a remote model, and wait for the task.

    Args:
        cluster: where to.
        body: of ``core.ml.register``.
        desk: the rest.

    Raises:
        RemoteFailed: refused at once or by the task; nothing is left behind unless ``keep``.
        Unreachable: not done in time, or no answer.
    """
    there = _same(cluster, body, None, desk)
    if there is not None and model_state(there[1]) in READY:
        return _reused(cluster, body, there, desk, None)
    if there is not None:
        raise _under_way(there[0])
    with undoing(cluster, desk.console, keep=desk.keep) as undo:
        body, _ = _in_group(cluster, body, desk, undo, None, None)
        reply = cluster.once(register(body, generation=cluster.generation))
        undo.model_id = str(reply["model_id"]) if reply.get("model_id") else None
        try:
            task = wait(
                cluster, ident_of(reply, "task_id"), "register", limit=desk.limit, model_id=undo.model_id,
                tell=desk.console.debug,
            )  # fmt: skip
        except RemoteFailed:
            undo.model_id = undo.model_id or _half(cluster, body)
            raise
    model_id = task.model_id or undo.model_id
    if model_id is None:
        raise RemoteFailed("The task ended well and names no model.", hint="See release-tool ml search.")
    group_id = str(body.get("model_group_id") or "") or None
    return Registered(model_id=model_id, group_id=group_id, group_made=undo.group_id is not None)


def _under_way(model_id: str) -> RemoteFailed:
    return RemoteFailed(
        f"The cluster is registering these bytes already, as {model_id}.",
        hint=f"Wait for it: release-tool ml get {model_id}; or delete it and run again.",
    )


def _memo(folder: WorkFolder, cluster: Sender, body: dict[str, Any]) -> Upload:
    """Return what an earlier run wrote of the same upload, else a new one."""
    sha256, name = str(body["model_content_hash_value"]), str(body["name"])
    where = cluster.cluster.url
    fresh = Upload(cluster=where, name=name, sha256=sha256, size=int(body["model_content_size_in_bytes"]))
    if not folder.has(upload_name(sha256)):
        return fresh
    try:
        found: Upload = folder.read(Upload, upload_name(sha256), made_by="ml register")
    except IntegrityError:
        return fresh
    return found if (found.cluster, found.name, found.sha256) == (where, name, sha256) else fresh


def _same(cluster: Sender, body: dict[str, Any], model_id: str | None, desk: Desk) -> tuple[str, dict[str, Any]] | None:
    """Return the model that an earlier run of the same register made; null where there is none."""
    sha256 = body.get("model_content_hash_value")
    if not sha256 or desk.again:  # a second one that was cut is gone on with, too
        return unfinished(cluster, model_id) if model_id else None
    found = dict(_search(cluster, str(sha256)))
    if model_id is not None and model_id not in found:
        try:
            found[model_id] = cluster.send(get_model(model_id))
        except Refused as error:
            if error.status != 404:
                raise
    alike = [(ident, source) for ident, source in found.items() if _is_same(source, body)]
    for ident, source in found.items():
        if (ident, source) not in alike:
            desk.console.info(f"The same bytes are there as {ident}, {source.get('name')}, asked for otherwise.")
    # One that is whole before one that is on its way; then the one that this folder knows.
    best = min(alike, key=lambda one: (model_state(one[1]) not in READY, one[0] != model_id, one[0]), default=None)
    if best is None or model_state(best[1]) in READY:
        return best
    # A search sees a state a moment after it has changed.
    return best[0], cluster.send(get_model(best[0]))


def _search(cluster: Sender, sha256: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    try:
        return hits(cluster.send(models_of_hash(sha256)))
    except Refused as error:
        if error.status == 404:  # there is no index yet
            return ()
        raise


def _is_same(source: dict[str, Any], body: dict[str, Any]) -> bool:
    wanted = [("name", "name"), ("algorithm", "function_name"), ("model_format", "model_format")]
    if any(str(source.get(theirs) or "") != str(body.get(ours) or "") for theirs, ours in wanted):
        return False
    group = body.get("model_group_id")
    if group and source.get("model_group_id") != group:
        return False
    theirs, ours = source.get("model_config") or {}, body.get("model_config") or {}
    return all(str(theirs.get(key)).lower() == str(value).lower() for key, value in ours.items() if key in theirs)


def _reused(
    cluster: Sender, body: dict[str, Any], there: tuple[str, dict[str, Any]], desk: Desk, folder: WorkFolder | None
) -> Registered:
    model_id, source = there
    desk.console.info(f"The cluster has these bytes already, as {model_id}; it is not registered twice.")
    if folder is not None:
        # A run that was killed between the last chunk and this has still to give back what that chunk took.
        if folder.has(upload_name(str(body["model_content_hash_value"]))):
            _restore(cluster, model_id, body, desk)
        folder.path(upload_name(str(body["model_content_hash_value"]))).unlink(missing_ok=True)
    return Registered(model_id=model_id, reused=True, group_id=source.get("model_group_id"))


def _in_group(
    cluster: Sender, body: dict[str, Any], desk: Desk, undo: Undo, folder: WorkFolder | None, memo: Any
) -> tuple[dict[str, Any], Any]:
    """Return the body with the id of its group, which is made where there is none."""
    if desk.group is None:
        if "model_group_id" not in body and find_group(cluster, str(body["name"])) is None:
            access = access_of_new(cluster, asked=body.get("access_mode"))
            desk.console.info(f"The cluster will make a model group {body['name']!r}, {access}.")
            undo.group_name = str(body["name"])
        return body, memo
    found = find_group(cluster, desk.group)
    if found is not None:
        # Made by a run that was killed right after: it is this one's to take away, too.
        if memo is not None and memo.group_name == desk.group:
            undo.group_id = found.group_id
        return ordered({**body, "model_group_id": found.group_id}), memo
    if memo is not None and folder is not None:
        memo = replace(memo, group_name=desk.group)
        folder.write(upload_name(memo.sha256), memo)
    undo.group_id = make_group(cluster, {"name": desk.group, **desk.group_body})
    desk.console.info(f"Made the model group {desk.group!r}, {undo.group_id}.")
    if memo is not None and folder is not None:
        memo = replace(memo, group_id=undo.group_id)
        folder.write(upload_name(memo.sha256), memo)
    return ordered({**body, "model_group_id": undo.group_id}), memo


def _opened(cluster: Sender, body: dict[str, Any]) -> str:
    reply = cluster.once(register_meta(body, generation=cluster.generation))
    if not isinstance(reply, dict) or not reply.get("model_id"):
        raise RemoteFailed("The cluster opened an upload and did not say the model's id.")
    return str(reply["model_id"])


def _finish(cluster: Sender, model_id: str, body: dict[str, Any], desk: Desk) -> None:
    """Look that the server has all, and set what it dropped with the last chunk."""
    deadline = time.monotonic() + SETTLE_SECONDS
    # The server answers the last chunk before it has written the model's new state.
    while (state := model_state(cluster.send(get_model(model_id)))) not in READY and time.monotonic() < deadline:
        time.sleep(SETTLE_PAUSE)
    if state not in READY:
        raise RemoteFailed(
            f"All chunks were sent and the model {model_id} is {state or 'in no state'}.",
            hint="Look at it with release-tool ml get; delete it and run again.",
        )
    _restore(cluster, model_id, body, desk)


def _restore(cluster: Sender, model_id: str, body: dict[str, Any], desk: Desk) -> None:
    lost = restored(body)
    if not lost:
        return
    now = cluster.send(get_model(model_id))
    lost = {key: value for key, value in lost.items() if key not in now}
    if not lost:
        return
    try:
        cluster.send(update_model(model_id, lost))
    except Refused as error:
        if set(lost) - {"description"}:
            raise UsageError(
                f"The cluster dropped {', '.join(lost)} with the last chunk and does not take it back: {error}",
                hint=f"The model is there as {model_id}. Register by address to keep these, or leave them out.",
            ) from error
        desk.console.info(f"The cluster dropped the description with the last chunk: {error.said}")


def _half(cluster: Sender, body: dict[str, Any]) -> str | None:
    """Return the id of the model that a failed task left half made; null where there is none."""
    try:
        found = hits(cluster.send(models_of_name(str(body["name"]), model_state="REGISTERING")))
    except (RemoteFailed, Unreachable):
        return None
    sha256 = body.get("model_content_hash_value")
    own = [ident for ident, source in found if source.get("model_content_hash_value") in (None, sha256)]
    return own[0] if len(own) == 1 else None
