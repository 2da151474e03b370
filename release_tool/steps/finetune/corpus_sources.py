"""Where the documents of a run come from: files, S3 or an index, all behind one interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.finetune.raw_rows import RawRow
    from release_tool.core.finetune.sections import CorpusSection
    from release_tool.global_options import Context
    from release_tool.services.cluster.transport import Cluster


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


def open_corpus(context: Context, section: CorpusSection, place: Path) -> Source:
    """Return the source that a recipe names.

    Args:
        context: of the command.
        section: of the recipe.
        place: where ``corpus.path`` leads to.

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
    from release_tool.services.finetune.index_documents import IndexDocuments

    return IndexDocuments(open_cluster(context, section), section.index, section.fields)


def open_cluster(context: Context, section: CorpusSection) -> Cluster:
    """Return the transport to the cluster that holds the documents; a password in the clear is warned of.

    Raises:
        UsageError: there is no such cluster, or credentials are missing.
        MissingExtra: opensearch-py, or boto3 where it is needed, is not installed.
    """
    from release_tool.services.cluster.transport import Cluster
    from release_tool.steps.ml.connection import find_cluster

    found = find_cluster(context.repo, section.endpoint, where="corpus.endpoint")
    if found.is_in_clear and found.auth == "basic":
        context.console.warning(f"The password travels unencrypted to {found.url}.")
    return Cluster(found, os.environ)


def corpus_pin(context: Context, section: CorpusSection) -> str:
    """Return what changes with the documents of a corpus that does not lie on this machine.

    Args:
        context: of the command.
        section: of a recipe that names an address in S3 or an index.

    Raises:
        UsageError, MissingExtra: as ``open_corpus``.
        SourceError: there is no such object or index.
        Refused, RemoteFailed, Unreachable: it can't be asked.
    """
    source: Any = open_corpus(context, section, context.repo)
    pin: str = source.pin()
    return pin
