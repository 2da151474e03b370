"""Documents of an index of OpenSearch, as they were at one moment, whatever is written while they are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from release_tool.core.digest import sha256_bytes
from release_tool.core.escape import one_line
from release_tool.core.finetune import index_pages as pages
from release_tool.core.ml.shapes import table, whole
from release_tool.core.quantity import clip
from release_tool.errors import Refused, ReleaseError, RemoteFailed, ServiceUnable, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.finetune.raw_rows import RawRow
    from release_tool.services.cluster.sender import Sender

LARGEST_PAGE, FIRST_PAGE, SMALLEST_PAGE = 1000, 100, 10
"""Documents a request: more where they are small, fewer where they are large or the server lacks memory for them."""
PAGE_CHARACTERS = 8 << 20
NOT_TOLD = frozenset({400, 403, 404, 405})
"""How a collection, or a user without the right, answers a question for statistics."""
NOT_FOUND, FORBIDDEN = 404, 403


class IndexDocuments:
    """The documents of an index or an alias; see ``steps.finetune.corpus_sources.Source``."""

    unit = "documents"

    def __init__(
        self,
        cluster: Sender,
        index: str,
        fields: Sequence[str],
        *,
        order: pages.Order | None = None,
        size: int = LARGEST_PAGE,
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            cluster: that holds it.
            index: its name, or that of an alias.
            fields: that make the text, in this order.
            order: of the pages, where not that of the server's version.
            size: documents of the largest page.
        """
        self.cluster = cluster
        self.index = index
        self.shown = f"{clip(one_line(index), 100)} of {cluster.cluster.shown}"
        self.fields = tuple(fields)
        self.order = order
        self.largest = size
        self.size = min(FIRST_PAGE, size)

    def pin(self) -> str:
        """Return what changes with every write to the index: the digest of its shards' last numbers.

        A server that does not tell them gives the number of its documents instead.

        Raises:
            SourceError: there is no such index.
            RemoteFailed, Unreachable: as the transport's.
        """
        total = self.total()
        try:
            found = pages.written(self.cluster.send(pages.stats(self.index)))
        except Refused as error:
            if error.status not in NOT_TOLD:
                raise
            found = ()
        return sha256_bytes("\n".join(found).encode()) if found else f"{total} documents"

    def check(self, pin: str) -> None:
        """Take the index as it is now, whatever the plan says: one that is in use changes all the time."""

    def total(self) -> int:
        """Return the number of documents.

        Raises:
            SourceError: there is no such index, or one may not read it.
            RemoteFailed, Unreachable: as the transport's.
        """
        return whole(table(self._asked(pages.count(self.index))).get("count"))

    def rows(self) -> Iterator[RawRow]:
        """Yield a row a document.

        Raises:
            SourceError: there is no such index, or one may not read it.
            RemoteFailed: a page is refused, or shards of the index don't answer.
            ServiceUnable, Unreachable: the cluster can't answer, or is gone.
        """
        point = str(table(self._asked(pages.open_point(self.index))).get("pit_id") or "")
        if not point:
            raise RemoteFailed(f"{self.shown} gave no point in time.", hint="It needs OpenSearch 2.4 or later.")
        try:
            order = self.order or pages.order_of(self.cluster.version)
            after: list[Any] | None = None
            while hits := self._page(point, order, after):
                rows = [pages.row_of(hit, self.index, self.fields) for hit in hits]
                self._fit(sum(row.held for row in rows))
                yield from rows
                before, after = after, hits[-1].get("sort")
                if not isinstance(after, list) or after == before:
                    raise RemoteFailed(f"{self.shown} does not say where the next page begins.")
        finally:
            # It ends by itself in some minutes: what went wrong before is what people must hear.
            with suppress(ReleaseError):
                self.cluster.send(pages.close_point(point))

    def _page(self, point: str, order: pages.Order, after: list[Any] | None) -> list[dict[str, Any]]:
        while True:
            try:
                reply = self.cluster.send(pages.page(point, self.fields, order, after, self.size))
            except ServiceUnable:
                if self.size <= SMALLEST_PAGE:
                    raise
                self.largest = self.size = max(SMALLEST_PAGE, self.size // 4)
                continue
            failed = whole(table(table(reply).get("_shards")).get("failed"))
            if failed or table(reply).get("timed_out"):
                raise RemoteFailed(
                    f"{failed} shards of {self.shown} did not answer: documents would be missing.",
                    hint="Look at the cluster's health and run the command again.",
                )
            return pages.hits_of(reply)

    def _fit(self, characters: int) -> None:
        """Choose the next page's size by what the last one held."""
        if characters > PAGE_CHARACTERS:
            self.size = max(SMALLEST_PAGE, self.size // 2)
        elif characters < PAGE_CHARACTERS // 4:
            self.size = min(self.largest, self.size * 2)

    def _asked(self, request: Any) -> Any:
        try:
            return self.cluster.send(request)
        except Refused as error:
            if error.status == NOT_FOUND:
                raise SourceError(f"There is no index {self.shown}.", hint="Check corpus.index.") from error
            if error.status == FORBIDDEN:
                raise SourceError(
                    f"One may not read {self.shown}: {error.said}",
                    hint="Allow indices:data/read/* on it, with the creation of points in time.",
                ) from error
            raise
