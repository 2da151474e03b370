"""The oracle: what the source itself answers, by libraries that are not our exporter.

``python -m release_tool.models.oracle --work DIR [--kind K]`` is a process of its own, so that it can work
beside the export and gives its memory back when it is done. It reads plan, source and snapshot (offline),
answers every probe at the plan's length in float32 on the CPU, and writes ``answers-<kind>.safetensors``
whole or not at all. Its one line on stdout is JSON: the file and its sha256, or the error that the caller
raises again.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.core.plan import ReleasePlan
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder, file_sha256
from release_tool.errors import IntegrityError, UsageError
from release_tool.models.starting import no_collection
from release_tool.packaged import load_probes
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from release_tool.core.probes import Probe, ProbeSet
    from release_tool.models.answers import Answers
    from release_tool.models.oracle_inputs import Answered, Question

ORACLES: dict[ModelKind, tuple[str, str, str]] = {
    ModelKind.DENSE: ("release_tool.models.oracle_dense", "answer", "sentence_transformers"),
    ModelKind.SPARSE: ("release_tool.models.oracle_sparse", "answer", "sentence_transformers"),
    ModelKind.SPARSE_TOKENIZER: ("release_tool.models.oracle_sparse", "answer_tokenizer", "sentence_transformers"),
    ModelKind.CROSS_ENCODER: ("release_tool.models.oracle_pairs", "answer_cross_encoder", "sentence_transformers"),
    ModelKind.QUESTION_ANSWERING: ("release_tool.models.oracle_pairs", "answer_question_answering", "transformers"),
    ModelKind.HIGHLIGHTER: ("release_tool.models.oracle_highlighter", "answer", "transformers"),
    ModelKind.METRICS_CORRELATION: ("release_tool.models.oracle_metrics", "answer", "torch"),
}
"""Kind → module and function that answer, and the library whose answers they are."""

VERSIONED = ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy")


def answer_all(
    work: WorkFolder, kind: ModelKind, probes: ProbeSet, advance: Callable[[int], None] = lambda _: None
) -> Path:
    """Answer every probe of a kind and write the answers; return the file.

    Args:
        work: holds plan.json, source.json and the snapshot.
        kind: one of the plan's kinds.
        probes: what to answer.
        advance: told how many more probes are answered.

    Raises:
        UsageError: there is no oracle for this kind.
        UnsupportedModel: the libraries can't load the source as this kind.
        UnsafeModel: the source wants code that the plan does not name.
        IntegrityError: plan, source or the file of --idf are not those that belong together.
    """
    from release_tool.models.answers import answers_name, write_answers

    plan, source = _documents(work)
    question = _question(work, plan, kind, probes.for_kind(kind), advance)
    answered = _answered(question, source)
    path = work.path(answers_name(kind))
    write_answers(path, _packed(question, answered, work.sha256("plan.json"), source.tree, probes.sha256))
    return path


def ask_source(work: WorkFolder, kind: ModelKind, probes: tuple[Probe, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the source's answers to some texts or pairs; nothing is written.

    Raises:
        as ``answer_all``
    """
    plan, source = _documents(work)
    return _answered(_question(work, plan, kind, probes, lambda _: None), source).arrays


def _documents(work: WorkFolder) -> tuple[ReleasePlan, SourceSnapshot]:
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    work.check_chain(source, "source.json")
    return plan, source


def _question(
    work: WorkFolder, plan: ReleasePlan, kind: ModelKind, probes: tuple[Probe, ...], advance: Callable[[int], None]
) -> Question:
    from release_tool.models.oracle_inputs import Question

    if kind not in ORACLES:
        raise UsageError(f"There is no oracle for models of kind {kind.value}.")
    return Question(
        plan=plan,
        kind=kind,
        snapshot=work.path(SourceSnapshot.FOLDER),
        probes=probes,
        idf=_given_weights(work, plan) if kind is ModelKind.SPARSE_TOKENIZER else None,
        advance=advance,
    )


def _answered(question: Question, source: SourceSnapshot) -> Answered:
    from release_tool.models.pinned_code import pinned_code

    module, function, library = ORACLES[question.kind]
    with no_collection():
        import_module(library)
    with pinned_code(question.plan, source, question.snapshot):
        answered: Answered = getattr(import_module(module), function)(question)
    return answered


def _given_weights(work: WorkFolder, plan: ReleasePlan) -> Path | None:
    """Return the file of --idf that the plan names by its digest, null where there is none."""
    if plan.request.idf is None:
        return None
    path = work.path("inputs") / "idf.json"
    if not path.is_file() or file_sha256(path) != plan.request.idf:
        raise IntegrityError(
            "The token weights of --idf are not those that were planned.", hint="Run release-tool plan again."
        )
    return path


def _packed(question: Question, answered: Answered, plan_sha256: str, tree: str, probes_sha256: str) -> Answers:
    import numpy as np

    from release_tool.models.answers import AnswerFacts, Answers, pack_rows

    indptr, ids = pack_rows([np.asarray(row) for row in answered.inputs], np.int32)
    lengths = np.asarray(answered.lengths or np.diff(indptr), dtype=np.int32)
    shared = {"tokens": lengths, "input_indptr": indptr, "input_ids": ids}
    facts = AnswerFacts(
        kind=question.kind,
        plan_sha256=plan_sha256,
        probes_sha256=probes_sha256,
        source_tree=tree,
        max_length=question.plan.max_length,
        batching=answered.batching,
        versions=versions(),
        probes=tuple(probe.id for probe in question.probes),
        texts=answered.texts,
        special_ids=answered.special_ids,
    )
    return Answers(facts=facts, arrays={**answered.arrays, **shared})


def versions() -> dict[str, str]:
    """Return what the oracle answers with."""
    import platform
    from importlib.metadata import version

    return {"python": platform.python_version(), **{name: version(name) for name in VERSIONED}}


def main(argv: Sequence[str] | None = None) -> int:
    """Answer every kind of the plan, or those that are named; exit with the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m release_tool.models.oracle")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kind", choices=[kind.value for kind in ORACLES], action="append")
    parser.add_argument("--probes", type=Path)
    options = parser.parse_args(argv)
    return run_child(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    with no_collection():
        from transformers.utils import logging

    logging.disable_progress_bar()
    work = WorkFolder(options.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    kinds = [ModelKind(kind) for kind in options.kind or ()] or [kind for kind in plan.kinds if kind in ORACLES]
    probes = load_probes(options.probes)
    total = sum(len(probes.for_kind(kind)) for kind in kinds)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report("progress", done=done, total=total)

    for kind in kinds:
        path = answer_all(work, kind, probes, advance)
        report("answers", file=path.name, sha256=file_sha256(path), peak_kib=getrusage(RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    sys.exit(main())
