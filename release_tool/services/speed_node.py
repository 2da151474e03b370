"""Time archives on a real OpenSearch: all of them deployed on one node, each asked by a request in its turn."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from release_tool.core.probes import Probe, Role
from release_tool.services.node_ring import death_told, deployed, own_versions
from release_tool.services.probe_asking import request_of
from release_tool.services.speed_rounds import NODE_WARM_UPS, Found, Timed, run_rounds, until_clear

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from release_tool.console import Console
    from release_tool.services.mlcommons import Client
    from release_tool.services.node import Node
    from release_tool.services.speed_ring import Lengths


QUIET_SECONDS = 0.05
"""onnxruntime's threads look for further work for some milliseconds after an answer, on the cores that the next archive
is to answer with: beside an ONNX archive that was asked just before, another one took half as long again."""


class Served:
    """A deployed archive, asked one request at a time over a connection that stays."""

    def __init__(self, client: Client, model_id: str, bodies: list[dict[str, Any]]) -> None:
        self.client = client
        self.model_id = model_id
        self.bodies = bodies

    def ask(self, place: int, count: int) -> list[float]:
        """Return the milliseconds of some predicts, as a client sees them, after a pause and one that is not counted.

        Raises:
            RemoteFailed: the model refuses the input.
            Unreachable: no answer.
        """
        time.sleep(QUIET_SECONDS)
        self.client.predict(self.model_id, self.bodies[place])
        took = []
        for _ in range(count):
            started = time.perf_counter_ns()
            self.client.predict(self.model_id, self.bodies[place])
            took.append((time.perf_counter_ns() - started) / 1e6)
        return took


def time_on_node(
    node: Node,
    prepared: Sequence[Lengths],
    lengths: Sequence[int],
    rounds: int,
    is_open: Callable[[Found], bool],
    *,
    console: Console,
) -> list[Timed]:
    """Deploy all archives, ask them in turn, take them away again; see ``until_clear``.

    Raises:
        RemoteFailed: the node refuses an archive, or a model refuses an input.
        ServiceUnable: the node can't do its work now, or it has died.
        Unreachable: the node does not answer any more.
    """
    loads: list[float] = []
    with death_told(node), ExitStack() as stack:
        client = stack.enter_context(node.client())
        versions = {**node.libraries, **own_versions(client)}
        served = []
        for one in prepared:
            console.info(f"{one.candidate.archive.name}: register and deploy")
            deploying = deployed(client, one.candidate.archive, one.candidate.config, console, took=loads.append)
            served.append(Served(client, stack.enter_context(deploying), _bodies(one, lengths)))
        bar = stack.enter_context(console.progress("Rounds", rounds))

        def measure(part: int) -> Found:
            return run_rounds(served, lengths, part, bar.advance, warm_ups=NODE_WARM_UPS)

        found = until_clear(measure, (rounds,), is_open)
    return [
        Timed(
            rounds=by_length,
            load_seconds=seconds,
            starts=1,
            loaded_bytes=None,
            peak_bytes=None,
            versions=versions,
            pinned=True,
            note=None,
        )
        for by_length, seconds in zip(found, loads, strict=True)
    ]


def _bodies(one: Lengths, lengths: Sequence[int]) -> list[dict[str, Any]]:
    asymmetric = bool({"query_prefix", "passage_prefix"} & set(one.candidate.config.get("model_config") or {}))
    return [
        request_of(
            Probe(id=f"tokens-{length}", shape="length", role=Role.PASSAGE, text=first, second=second),
            one.candidate.kind,
            asymmetric=asymmetric,
        )
        for length, (first, second) in ((length, one.texts[length]) for length in lengths)
    ]
