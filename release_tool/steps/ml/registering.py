"""What register does with each kind of target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.ml import register as bodies
from release_tool.errors import Fault, IntegrityError, RemoteFailed, RequestError, UsageError
from release_tool.services.cluster.registering import Desk, Registered, register_archive, register_body
from release_tool.services.cluster.room import check_room
from release_tool.services.cluster.undoing import remove_model
from release_tool.steps.ml.deploying import deploy_model
from release_tool.steps.ml.remote_options import refuse_remote_only, run_remote, with_interface
from release_tool.steps.ml.targets import address_config, archive_config, check_compat, listed
from release_tool.steps.ml.wishing import group_body, named, wishes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.ml.register import Wishes
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender
    from release_tool.steps.ml.connection import Asked


def run_register(context: Context, target: str | None, given: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Register what a person names, deploy it where asked, and return how it ended.

    Args:
        context: of the command.
        target: an archive, an address or a name; null for a remote model.
        given: the command's options.
        asked: the cluster.

    Raises:
        UsageError, RequestError: the target or an option is wrong.
        ValidationFailed: compat says that it can't run there.
        RemoteFailed, Unreachable, IntegrityError: see ``services.cluster.registering``.
    """
    wishes = wishes_of(given)
    if (target is None) == (given["remote"] is None):
        raise UsageError(
            "Either an archive, an address or a name is registered, or a remote model.",
            hint="Name one of them, or a connector with --remote.",
        )
    if target is not None:
        refuse_remote_only(given)
    connector: dict[str, Any] = {}
    with asked.open(context) as cluster:
        wishes = with_interface(wishes, given, cluster.version)
        desk = Desk(
            console=context.console, work=context.work, keep=given["keep"], again=given["again"],
            limit=given["wait"], group=given["group"], group_body=group_body(given),
        )  # fmt: skip
        if target is None:
            remote = run_remote(context, cluster, given, wishes, desk)
            done = remote.registered
            connector = {"connector_id": remote.connector_id, "connector_made": remote.connector_made}
        elif "://" in target:
            done = _by_url(context, cluster, target, given, wishes, desk)
        elif Path(target).exists() or target.endswith(".zip"):
            done = _by_chunks(context, cluster, Path(target), given, wishes, desk)
        else:
            done = _by_name(context, cluster, target, given, wishes, desk)
        nodes = _deployed(context, cluster, done, given) if given["deploy"] else ()
    return {
        "model_id": done.model_id, "reused": done.reused, "sent_bytes": done.sent_bytes, "group_id": done.group_id,
        "deployed": bool(given["deploy"]), "nodes": list(nodes), **connector,
    }  # fmt: skip


def _deployed(context: Context, cluster: Sender, done: Registered, given: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        with context.console.step(f"Deploy {done.model_id}"):
            return deploy_model(cluster, done.model_id, context.console, nodes=given["nodes"], limit=given["wait"])
    except RemoteFailed:
        # What was there before this run is nobody's to take away.
        if not done.reused and not given["keep"]:
            context.console.info(f"{done.model_id} can't be deployed and is taken away again.")
            remove_model(cluster, done.model_id)
        raise


def _by_chunks(
    context: Context, cluster: Sender, archive: Path, given: Mapping[str, Any], wishes: Wishes, desk: Desk
) -> Registered:
    from release_tool.documents import file_sha256

    if not archive.is_file():
        raise UsageError(f"{archive} is no file.", hint="Name an archive, an address, or a pretrained model.")
    config = archive_config(context, archive, given["config"])
    with context.console.step(f"Read {archive.name}"):
        sha256, size = file_sha256(archive), archive.stat().st_size
    said = config.get("model_content_hash_value")
    if said and str(said).lower() != sha256:
        raise IntegrityError(
            f"{archive.name} is not the archive of its config.json: {sha256[:16]}… is not {str(said)[:16]}….",
            hint="Name the config.json that belongs to it with --config; nothing was sent.",
        )
    body = bodies.by_chunks(config, size, sha256, named(wishes, name=_name(config, archive.stem)))
    _refuse_too_new(body, cluster)
    # What is judged is what is sent: with its hash, in its order, with the keys that a person replaced.
    asked = {key: value for key, value in body.items() if key != "total_chunks"}
    check_compat(context, archive, asked, cluster.version, force=given["force"])
    check_room(cluster, size, body["model_format"], context.console, force=given["force"])
    return register_archive(cluster, archive, body, desk)


def _by_url(
    context: Context, cluster: Sender, url: str, given: Mapping[str, Any], wishes: Wishes, desk: Desk
) -> Registered:
    config, sha256 = address_config(context, url, given)
    size = config.get("model_content_size_in_bytes")
    body = bodies.by_url(config, url, sha256, named(wishes, name=_name(config, url.rpartition("/")[2])))
    _refuse_too_new(body, cluster)
    if isinstance(size, int):
        check_room(cluster, size, body["model_format"], context.console, force=given["force"])
    with context.console.step(f"Register {body['name']}"):
        return register_body(cluster, body, desk)


def _by_name(
    context: Context, cluster: Sender, name: str, given: Mapping[str, Any], wishes: Wishes, desk: Desk
) -> Registered:
    model, version, fmt = listed(context, name, given["version"], given["fmt"])
    body = bodies.pretrained(model.name, version, fmt, model.function_name, wishes)
    _refuse_too_new(body, cluster)
    with context.console.step(f"Register {model.name} {version}"):
        return register_body(cluster, body, desk)


def _name(config: Mapping[str, Any], otherwise: str) -> str:
    return str(config.get("name") or otherwise)


def _refuse_too_new(body: Mapping[str, Any], cluster: Sender) -> None:
    from release_tool.core.escape import server_text
    from release_tool.core.ml.api import is_since

    faults = list(bodies.too_new(body, cluster.version))
    if is_since(cluster.version, "3.1"):
        faults += [
            Fault(f"--{key}", "holds signs that the server refuses since 3.1", f"such as {server_text(body[key])!r}")
            for key in ("name", "description")
            if key in body and server_text(body[key]) != " ".join(str(body[key]).split())
        ]
    if faults:
        raise RequestError(tuple(faults))
