"""What ``ml swap`` does in each direction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.swap import SWAP_NAME, Goal, Stage, Swap
from release_tool.core.ml.swap_fields import reached, stale
from release_tool.documents import WorkFolder
from release_tool.errors import UsageError
from release_tool.services.cluster.rehearsing import rehearse
from release_tool.services.cluster.swap_looking import cluster_id, documents, find_model, left, look, need_model
from release_tool.services.cluster.swap_models import DEPLOYED, is_reachable, same_bytes
from release_tool.services.cluster.swapping import Swapping, changes_of, open_swap, read_swap
from release_tool.steps.ml.swap_proving import check_dimensions, encodes_alike, prove_new
from release_tool.steps.ml.swap_release import SwapRelease, read_swap_release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from release_tool.core.ml.swap_fields import Left, Reached
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender
    from release_tool.services.probe_asking import NodeAnswers
    from release_tool.steps.ml.connection import Asked


def run_forward(context: Context, asked: Asked, old: str, new: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a swap, or go on with it, and return what stands then.

    Raises:
        UsageError: an argument is wrong, another swap is under way, or documents would be stale.
        ValidationFailed: the new model does not answer as its source does.
        IntegrityError, RemoteFailed, ServiceUnable, Unreachable: see ``services.cluster.swapping``.
    """
    with asked.open(context, connections=4) as cluster:
        new_id, release = _named(cluster, new, given)
        swap = _swap(cluster, WorkFolder(context.work), old, new_id, release, given)
        _check_function(cluster, old, release)
        run = Forward(context, cluster, swap, release, given)
        if not given["dry_run"]:
            run.go()
        return run.told()


def _named(cluster: Sender, new: str, given: Mapping[str, Any]) -> tuple[str | None, SwapRelease]:
    """Return the id of the new model, null where it is still to be registered, and its release."""
    if Path(new).is_dir():
        return None, read_swap_release(Path(new), given["artifact"], None)
    source = need_model(cluster, new, "and there is no such folder")
    if given["release"] is None:
        raise UsageError(
            f"The release of {new} is not named: its answers are what the model is proven against.",
            hint="Name the folder of its release with --release.",
        )
    sha256 = str(source.get("model_content_hash_value") or "")
    return new, read_swap_release(given["release"], given["artifact"], sha256)


def _swap(
    cluster: Sender, folder: WorkFolder, old: str, new: str | None, release: SwapRelease, given: Mapping[str, Any]
) -> Swap:
    """Return the swap that is under way, else a new one."""
    going = open_swap(folder)
    where = cluster_id(cluster)
    if going is not None:
        same = (going.cluster, going.old, going.archive_sha256) == (where, old, release.sha256)
        if not same or (new is not None and going.new not in {None, new}):
            raise UsageError(
                f"Another swap is under way in this work folder: {going.old} gives way to {going.new}.",
                hint="End it with ml swap --finish or --rollback, or name another folder with --work.",
            )
        if going.goal is Goal.FINISH:
            raise UsageError("The swap is being finished.", hint="Run ml swap --finish again, or --rollback.")
        return going
    if old == new:
        raise UsageError("OLD and NEW are the same model.", hint="Name another one.")
    source = need_model(cluster, old, "which is to give way")
    there = same_bytes(cluster, release.sha256)
    if old in there and not given["force"]:
        raise UsageError(
            f"The old model has the very bytes of {release.folder.folder}.", hint="There is no swap to do."
        )
    known = there.get(new or "", {})
    return Swap(
        cluster=where, old=old, new=new, archive_sha256=release.sha256,
        there_before=tuple(sorted({*there, *([new] if new else ())})),
        new_group=_brings_group(cluster, release, there), new_was_deployed=known.get("model_state") == DEPLOYED,
        old_was_deployed=source.get("model_state") == DEPLOYED, changes=changes_of(cluster, old),
    )  # fmt: skip


def _brings_group(cluster: Sender, release: SwapRelease, there: Mapping[str, Any]) -> bool:
    from release_tool.services.cluster.grouping import find_group

    if there:
        return False
    return find_group(cluster, str(release.config().get("name"))) is None


def _check_function(cluster: Sender, old: str, release: SwapRelease) -> None:
    from release_tool.core.kinds import TRAITS

    wanted = TRAITS[release.certificate.bundle.kind].function_name
    found = str((find_model(cluster, old) or {}).get("algorithm") or "")
    if found != wanted:
        raise UsageError(
            f"The old model is a {found or 'model without a function'}, the new one a {wanted}.",
            hint="Fields and queries of one do not fit the other: make new pipelines and indices.",
        )


class Forward:
    """One run towards the new model."""

    def __init__(
        self, context: Context, cluster: Sender, swap: Swap, release: SwapRelease, given: Mapping[str, Any]
    ) -> None:
        self.context = context
        self.cluster = cluster
        self.release = release
        self.given = given
        self.swapping = Swapping(cluster, WorkFolder(context.work), context.console, swap)
        self.seen = look(cluster)
        self.left: tuple[Left, ...] = left(cluster, self.seen, swap.old)

    @property
    def swap(self) -> Swap:
        """The document as it stands."""
        return self.swapping.swap

    @property
    def fields(self) -> tuple[Reached, ...]:
        """What the old model fills or searches."""
        return reached(self.seen, self.swap.old, self.function)

    @property
    def function(self) -> str:
        """What both models do, by the server's name."""
        from release_tool.core.kinds import TRAITS

        return TRAITS[self.release.certificate.bundle.kind].function_name

    def go(self) -> None:
        """Go on to the end."""
        # Before anything is sent: what can't be switched must not cost an upload.
        check_dimensions(self.fields, self.release.certificate.bundle.embedding_dimension)
        self.swapping.forward(self._register, self._prove, self._rehearse)

    def _register(self) -> str:
        from release_tool.core.ml.register import Wishes, by_chunks
        from release_tool.services.cluster.registering import Desk, register_archive
        from release_tool.services.cluster.room import check_room
        from release_tool.steps.ml.targets import check_compat

        archive, config = self.release.archive(), self.release.config()
        size, force = archive.stat().st_size, self.given["force"]
        check_compat(self.context, archive, config, self.cluster.version, force=force)
        body = by_chunks(config, size, self.release.sha256, Wishes())
        check_room(self.cluster, size, body["model_format"], self.context.console, force=force)
        desk = Desk(console=self.context.console, work=self.context.work, limit=self.given["wait"])
        return register_archive(self.cluster, archive, body, desk).model_id

    def _prove(self, swap: Swap, new: str) -> dict[str, Any]:
        if swap.proven is not None:
            self.context.console.info(f"{new} is proven already: {swap.proven.probes} probes.")
            return {}
        proven, got = prove_new(self.cluster, new, self.release, self.given["probes"], self.context.console)
        return {"proven": proven, "stale": self._stale(swap, got)}

    def _stale(self, swap: Swap, got: NodeAnswers) -> tuple[str, ...]:
        """Return the indices that a person lets be; refuse where another one would be stale."""
        old = stale(self.fields, documents(self.cluster, self.fields))
        if not old:
            return ()
        alike = "it is not deployed, so nobody can say what it encodes"
        if is_reachable(self.cluster, swap.old):
            same, asked = encodes_alike(
                self.cluster, swap.old, self.release, self.given["probes"], got, self.context.console
            )
            if same == asked:
                self.context.console.info(f"Both models encode all {asked} probes alike: no document must change.")
                return ()
            alike = f"both models encode {same} of {asked} probes alike"
        accepted = set(self.given["accept_stale"])
        names = {one.where.partition(",")[0].removeprefix("index ") for one in old}
        if names - accepted:
            lines = "\n".join(f"  - {one.where}: {one.why}\n    {one.todo}" for one in old)
            raise UsageError(
                f"Documents would be stale ({alike}):\n{lines}",
                hint="Nothing was switched. Encode them again, or let an index be: --accept-stale "
                + " --accept-stale ".join(sorted(names - accepted)),
            )
        return tuple(sorted(names))

    def _rehearse(self) -> None:
        tried = rehearse(self.cluster, self.swap, look(self.cluster))
        self.context.console.info(f"Rehearsed {tried} processors and queries with the new model.")

    def told(self) -> dict[str, Any]:
        """Return what stands now."""
        return told(self.swap, self.fields, self.left, dry=self.given["dry_run"])


def run_back(context: Context, asked: Asked) -> dict[str, Any]:
    """Take a swap back.

    Raises:
        UsageError: there is none, or it can't be taken back any more.
        IntegrityError, RemoteFailed, ServiceUnable, Unreachable: run again.
    """
    swap = _there(context)
    with asked.open(context) as cluster:
        run = Swapping(cluster, WorkFolder(context.work), context.console, swap)
        run.check_cluster()
        run.back()
    return told(run.swap)


def run_finish(context: Context, asked: Asked, *, despite: bool) -> dict[str, Any]:
    """Take the old model away; errors as ``Swapping.finish``."""
    swap = _there(context)
    if swap.stage is Stage.FINISHED:
        return told(swap)
    with asked.open(context) as cluster:
        run = Swapping(cluster, WorkFolder(context.work), context.console, swap)
        run.check_cluster()
        rest = run.finish(despite=despite)
    return told(run.swap, (), rest)


def _there(context: Context) -> Swap:
    swap = read_swap(WorkFolder(context.work))
    if swap is None:
        raise UsageError(f"There is no {SWAP_NAME} in {context.work}.", hint="Name the folder of the swap with --work.")
    return swap


def told(swap: Swap, fields: Sequence[Reached] = (), rest: Sequence[Left] = (), *, dry: bool = False) -> dict[str, Any]:
    """Return a swap as a result for people and programs."""
    from release_tool.core.codec import encode

    return {
        "stage": "dry run" if dry else str(swap.stage),
        "old": swap.old,
        "new": swap.new,
        "pipelines": [{"side": str(one.side), "name": one.name, "places": list(one.places)} for one in swap.changes],
        "fields": encode(tuple(fields)),
        "not_changed": encode(tuple(rest)),
        "proven": encode(swap.proven),
        "stale": list(swap.stale),
    }
