"""The search engine of a run, for filter and mine: opened, and built where it is not there yet.

Index and table of documents lie beside the stages: filter makes them, mine finds them there and removes them at last.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.console import Progress
    from release_tool.document_table import DocumentTable
    from release_tool.services.finetune.analysis import Analysis
    from release_tool.services.finetune.searching import Engine
    from release_tool.steps.finetune.running import Work

FOLDER = "index"
MEBI = 1 << 20


def folder_of(work: Work) -> Path:
    """Return where index and table lie."""
    return work.run.path / FOLDER


def open_table(work: Work) -> DocumentTable:
    """Open the table of the run's documents.

    Raises:
        IntegrityError: corpus and split do not tell of the same documents.
        MachineError: the disk is full.
    """
    from release_tool.document_table import DocumentTable

    return DocumentTable.open(work.of(Stage.CORPUS), work.of(Stage.SPLIT), folder_of(work) / "documents")


def open_engine(work: Work, table: DocumentTable) -> Engine:
    """Open the engine of the recipe over the whole corpus.

    Raises:
        UsageError: the engine or the analysis can't work with this corpus or this base.
        RemoteFailed, Unreachable: the cluster refuses or does not answer.
        MachineError: the disk is full.
    """
    if work.recipe.mine.engine == "opensearch":
        return _cluster(work, table)
    from release_tool.services.finetune.analysis import analysis_of
    from release_tool.steps.finetune.models_there import model_folder

    analysis = analysis_of(work.recipe.mine.analysis, lambda: model_folder(work, "base"))
    with work.context.console.progress("Index", len(table), "documents") as bar:
        if work.recipe.mine.engine == "bm25s":
            from release_tool.services.finetune.bm25s_engine import Bm25sEngine

            return Bm25sEngine(texts_of(work), analysis, told=bar.advance)
        return _embedded(work, analysis, bar)


def _embedded(work: Work, analysis: Analysis, bar: Progress) -> Engine:
    from importlib.metadata import version

    from release_tool.services.finetune.tantivy_engine import TantivyEngine, build

    keys = work.recipe.mine
    corpus = work.run.require(Stage.CORPUS, work.plan).digest
    base = work.plan.pins["base"] if keys.analysis == "wordpiece" else ""
    made_of = json.dumps([corpus, keys.analysis, base, keys.memory_mb, version("tantivy")])
    folder = folder_of(work) / "tantivy"
    build(folder, texts_of(work), analysis, memory=keys.memory_mb * MEBI, made_of=made_of, told=bar.advance)
    return TantivyEngine(folder, analysis, threads=work.recipe.engine.processes)


def _cluster(work: Work, table: DocumentTable) -> Engine:
    from release_tool.services.cluster.transport import Cluster
    from release_tool.services.finetune.opensearch_engine import OpenSearchEngine
    from release_tool.steps.ml.connection import find_cluster

    corpus = work.recipe.corpus
    cluster = Cluster(find_cluster(work.context.repo, corpus.endpoint), os.environ)
    return OpenSearchEngine(cluster, corpus.index, corpus.fields, table)


def texts_of(work: Work) -> Iterator[str]:
    """Yield the texts of all documents, in the order of the corpus."""
    from release_tool.core.finetune.records import Document
    from release_tool.part_files import read_rows

    return (document.whole for document in read_rows(work.of(Stage.CORPUS), Document))


def remove(work: Work) -> None:
    """Remove index and table."""
    shutil.rmtree(folder_of(work), ignore_errors=True)


def versions(work: Work) -> dict[str, str]:
    """Return the libraries that decide what is found."""
    from importlib.metadata import version

    names = {"tantivy": ("tantivy",), "bm25s": ("bm25s", "tantivy"), "opensearch": ("opensearch-py",)}
    return {name: version(name) for name in names[work.recipe.mine.engine]}
