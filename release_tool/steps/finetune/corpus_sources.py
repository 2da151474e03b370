"""Where the documents of a run come from: files, S3 or an index, all behind one interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.finetune.raw_rows import RawRow
    from release_tool.core.finetune.sections import CorpusSection


class Source(Protocol):
    """Gives the rows of a corpus, one after another, in an order of its own."""

    unit: str
    """Of ``total`` and of the rows' sizes: ``B`` or ``documents``."""

    def check(self, pin: str) -> None:
        """Refuse what is not what was planned, where that can be told.

        Raises:
            IntegrityError: it is something else.
        """

    def total(self) -> int:
        """Return how much there is, in the unit: for the bar."""

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows.

        Raises:
            ReleaseError: they can't be read to the end; which one depends on the source.
        """


def open_corpus(section: CorpusSection, place: Path, repo: Path) -> Source:
    """Return the source that a recipe names.

    Args:
        section: of the recipe.
        place: where ``corpus.path`` leads to.
        repo: whose settings know the names of clusters.

    Raises:
        UsageError: an address is none, there is no such cluster, or credentials are missing.
        MissingExtra: a library is not installed.
    """
    if section.source == "files":
        from release_tool.services.finetune.file_documents import FileDocuments

        return FileDocuments(place)
    if section.source == "s3":
        from release_tool.services.finetune.s3_documents import S3Documents

        return S3Documents(section.s3_path)
    from release_tool.services.cluster.transport import Cluster
    from release_tool.services.finetune.index_documents import IndexDocuments
    from release_tool.steps.ml.connection import find_cluster

    cluster = Cluster(find_cluster(repo, section.endpoint), os.environ)
    return IndexDocuments(cluster, section.index, section.fields)


def corpus_pin(section: CorpusSection, repo: Path) -> str:
    """Return what changes with the documents of a corpus that does not lie on this machine.

    Args:
        section: of a recipe that names an address in S3 or an index.
        repo: whose settings know the names of clusters.

    Raises:
        UsageError, MissingExtra: as ``open_corpus``.
        SourceError: there is no such object or index.
        Refused, RemoteFailed, Unreachable: it can't be asked.
    """
    source: Any = open_corpus(section, repo, repo)
    pin: str = source.pin()
    return pin
