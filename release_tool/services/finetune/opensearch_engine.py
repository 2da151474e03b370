"""Search in the cluster that holds the corpus, by ``_msearch``: its own distributed engine, nothing is copied.

How texts are cut is the index's own mapping. A document that the run does not have (the corpus is a sample, or the
index has grown) is no hit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from release_tool.core.escape import one_line
from release_tool.core.ml.request import Request, segment
from release_tool.core.quantity import clip
from release_tool.errors import RemoteFailed, ServiceUnable
from release_tool.services.finetune.searching import K1, Found
from release_tool.services.server_words import UNABLE_STATUSES, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.services.cluster.transport import Cluster

AT_ONCE = 200
"""Queries in one request."""
MOST = 10_000
"""Hits of one search: index.max_result_window of every index that nobody has changed."""
PLAIN_SINCE = 3
"""Versions of the server before this one count the factor k1 + 1 into a score."""


class Documents(Protocol):
    """The documents of the run."""

    def id(self, place: int) -> str:
        """Return the id of a document."""
        ...

    def place(self, wanted: str) -> int | None:
        """Return the place of an id; null where the run does not have it."""
        ...


class OpenSearchEngine:
    """Searches an index of a cluster."""

    most = MOST

    def __init__(self, cluster: Cluster, index: str, fields: Sequence[str], documents: Documents) -> None:
        """Prepare; nothing is sent yet.

        Args:
            cluster: that holds the corpus; closed with this.
            index: its name.
            fields: that make the text.
            documents: of the run.
        """
        self._cluster = cluster
        self._index = index
        self._fields = tuple(fields)
        self._documents = documents
        self._factor = 1.0 if int(cluster.version.partition(".")[0]) >= PLAIN_SINCE else K1 + 1

    def search(self, texts: Sequence[str], limit: int) -> list[Found]:
        """See ``Engine``.

        Raises:
            RemoteFailed: the cluster refuses, or can't answer now.
            Unreachable: it does not answer.
        """
        bodies = [self._body(self._match(text), limit) for text in texts]
        return [one for at in range(0, len(bodies), AT_ONCE) for one in self._asked(bodies[at : at + AT_ONCE])]

    def _match(self, text: str) -> dict[str, Any]:
        if len(self._fields) == 1:
            return {"match": {self._fields[0]: {"query": text}}}
        return {"multi_match": {"query": text, "fields": list(self._fields), "type": "most_fields"}}

    def _body(self, query: dict[str, Any], limit: int) -> dict[str, Any]:
        return {"size": limit, "_source": False, "track_total_hits": False, "query": query}

    def _asked(self, bodies: list[dict[str, Any]]) -> list[Found]:
        """Return what searches found; those that the cluster was too busy for are asked again, alone."""
        found: dict[int, Found] = {}
        pauses = iter(self._cluster.pauses)
        while pending := [number for number in range(len(bodies)) if number not in found]:
            for number, response in zip(pending, self._sent([bodies[one] for one in pending]), strict=True):
                if not isinstance(response, dict) or response.get("status") not in UNABLE_STATUSES:
                    found[number] = self._found(response, bodies[number]["size"])
            if len(found) < len(bodies):
                pause = next(pauses, None)
                if pause is None:
                    raise ServiceUnable(
                        f"{self._cluster.cluster.shown} went on to refuse searches: it is too busy.",
                        hint="Run it again when the cluster has less to do; what is finished is kept.",
                    )
                time.sleep(pause)
        return [found[number] for number in range(len(bodies))]

    def _sent(self, bodies: list[dict[str, Any]]) -> list[Any]:
        lines = tuple(line for body in bodies for line in ({}, body))
        reply = self._cluster.send(Request(method="POST", path=f"/{segment(self._index)}/_msearch", lines=lines))
        responses = reply.get("responses") if isinstance(reply, dict) else None
        if not isinstance(responses, list) or len(responses) != len(bodies):
            raise RemoteFailed(f"{self._cluster.cluster.shown} answers _msearch without a response to each search.")
        return responses

    def _found(self, response: Any, limit: int) -> Found:
        if isinstance(response, dict) and response.get("error") is not None:
            said = clip(one_line(words_of(response)), 300)
            raise RemoteFailed(f"{self._cluster.cluster.shown} refuses a search in {one_line(self._index)}: {said}")
        try:
            failed = response["_shards"]["failed"] or response["timed_out"]
            rows = [(str(hit["_id"]), float(hit["_score"])) for hit in response["hits"]["hits"]]
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteFailed(
                f"{self._cluster.cluster.shown} answers a search with something else than hits."
            ) from error
        if failed:
            raise RemoteFailed(f"{self._cluster.cluster.shown} searched only a part of {one_line(self._index)}.")
        scored = [(self._documents.place(name), score / self._factor) for name, score in rows]
        hits = [(place, score) for place, score in scored if place is not None]
        return Found(hits, scored[-1][1] if len(scored) == limit else 0.0)

    def score(self, text: str, place: int) -> float:
        """See ``Engine``; errors as ``search``."""
        only = {"ids": {"values": [self._documents.id(place)]}}
        body = self._body({"bool": {"must": [self._match(text)], "filter": [only]}}, 1)
        return next((score for _, score in self._asked([body])[0].hits), 0.0)

    def close(self) -> None:
        """See ``Engine``."""
        self._cluster.close()
