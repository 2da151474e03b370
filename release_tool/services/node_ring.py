"""The ``node`` ring: what the real OpenSearch answers with an archive, in the arrays that the oracle's answers have.

The register request is the archive's own config.json; only the name is made unique and the address of the archive
added. Promises: the model is undeployed and deleted again, also when something fails; a probe that the model refuses
becomes an entry in ``errors`` and an empty or NaN row, while a node that is gone or can't work ends everything: that
says nothing about the archive.
"""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import TRAITS, ModelKind
from release_tool.errors import RemoteFailed, ServiceUnable, Unreachable, UsageError
from release_tool.services.archive_server import serve_file
from release_tool.services.node_process import last_words
from release_tool.services.node_replies import READERS
from release_tool.services.probe_asking import ONE_AT_A_TIME, NodeAnswers, collected, request_of, tensor_of
from release_tool.services.processes import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.core.bundle import Config
    from release_tool.core.probes import Probe
    from release_tool.services.mlcommons import Client
    from release_tool.services.node import Node

PARALLEL = 2
"""Requests at once. The server runs each model on one thread a request."""


def answer(
    node: Node, archive: Path, config: Config, probes: Sequence[Probe], kind: ModelKind, *, console: Console
) -> NodeAnswers:
    """Register, deploy, ask every probe, undeploy, delete.

    Args:
        node: a running one.
        archive: the zip.
        config: its config.json, key order kept.
        probes: those of the kind, ``ProbeSet.for_kind``.
        kind: what the model does.
        console: gets a bar over the probes.

    Raises:
        RemoteFailed: the node refuses to register or to deploy the archive; its words are in the message.
        ServiceUnable: the node can't do its work now (a breaker, a full queue), or it has died.
        Unreachable: the node does not answer any more.
        UsageError: a kind that is not asked by predict.
    """
    if kind not in READERS:
        raise UsageError(f"Models of kind {kind.value} can't be asked on the node.", hint="Validate without --on node.")
    with death_told(node), node.client() as client:
        versions = {**node.libraries, **own_versions(client)}
        with deployed(client, archive, config, console) as model_id:
            replies = _ask_all(client, model_id, probes, kind, config=config, console=console)
    return collected(replies, probes, kind, versions)


@contextmanager
def death_told(node: Node) -> Iterator[None]:
    """Say that the server has died where it has, with its last words, and not only that nobody answers."""
    try:
        yield
    except Unreachable as error:
        if identify(node.pid) is not None:
            raise
        raise ServiceUnable(
            f"The node died while it was asked: {last_words(node.folder)}",
            hint="Most likely it lacked memory: run again on a machine with more. If only this archive brings it down, "
            "a server would fall in the same way: do not publish it.",
        ) from error


@contextmanager
def deployed(
    client: Client, archive: Path, config: Config, console: Console, *, took: Callable[[float], None] | None = None
) -> Iterator[str]:
    """Register and deploy an archive; yields the model's id, and takes the model away again.

    Args:
        client: of the node.
        archive: the zip.
        config: its config.json, key order kept.
        console: warned where the model can't be taken away.
        took: told the seconds from deploy to deployed.

    Raises:
        RemoteFailed, Unreachable: see ``answer``.
    """
    name = f"{config.get('name', 'model')}-{secrets.token_hex(6)}"
    model_id = None
    try:
        with serve_file(archive) as url:
            # The order of the keys is part of what is proven: the name is changed in its place.
            request = {key: name if key == "name" else value for key, value in config.items()}
            model_id = client.patiently(lambda: _register(client, {**request, "name": name, "url": url}))
        started = time.perf_counter()
        client.deploy(model_id)
        if took is not None:
            took(time.perf_counter() - started)
        yield model_id
    finally:
        try:
            if model_id is None:
                client.remove_named(name)
            else:
                client.remove(model_id)
        except (RemoteFailed, Unreachable) as error:
            console.warning(f"The model {name} is still on the node: {error}")


def _register(client: Client, request: Config) -> str:
    """Register once; what a node that can't now has begun is taken away, so that it may be tried again."""
    try:
        return client.register(request)
    except ServiceUnable:
        client.remove_named(str(request["name"]))
        raise


def own_versions(client: Client) -> dict[str, str]:
    """Return what the node says of itself."""
    said = client.versions()
    return {"opensearch": said["opensearch"], "ml-commons": said["opensearch-ml"]}


def _ask_all(
    client: Client, model_id: str, probes: Sequence[Probe], kind: ModelKind, *, config: Config, console: Console
) -> list[Any]:
    """Return a reply for each probe: the output tensor or list of events, or a string where the node refused."""
    asymmetric = bool({"query_prefix", "passage_prefix"} & set(config.get("model_config") or {}))
    with console.progress("Ask the node", len(probes), "probes") as bar:

        def ask(probe: Probe) -> Any:
            try:
                if probe.series is not None:
                    # The server has one model of this function, the one that was deployed last.
                    return client.execute(TRAITS[kind].function_name, {"metrics": probe.series})
                return tensor_of(client.predict(model_id, request_of(probe, kind, asymmetric=asymmetric)), kind)
            except RemoteFailed as error:
                return str(error)
            finally:
                bar.advance()

        workers = ThreadPoolExecutor(max_workers=1 if kind in ONE_AT_A_TIME else PARALLEL)
        try:
            return list(workers.map(ask, probes))
        finally:
            workers.shutdown(cancel_futures=True)
