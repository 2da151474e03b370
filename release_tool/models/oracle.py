"""The oracle: what the source itself answers, by libraries that are not our exporter.

``python -m release_tool.models.oracle --work DIR [--kind K]`` is a process of its own, so that it can work
beside the export and gives its memory back when it is done. It reads plan, source and snapshot (offline),
answers every probe at the plan's length in float32 on the CPU, and writes ``answers-<kind>.safetensors``
whole or not at all. Its one line on stdout is JSON: the file and its sha256, or the error that the caller
raises again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.core.plan import ReleasePlan
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder, file_sha256
from release_tool.errors import IntegrityError, ReleaseError, UsageError
from release_tool.packaged import load_probes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.probes import ProbeSet
    from release_tool.models.answers import Answers
    from release_tool.models.oracle_inputs import Answered, Question

ORACLES: dict[ModelKind, tuple[str, str]] = {
    ModelKind.DENSE: ("release_tool.models.oracle_dense", "answer"),
    ModelKind.SPARSE: ("release_tool.models.oracle_sparse", "answer"),
    ModelKind.SPARSE_TOKENIZER: ("release_tool.models.oracle_sparse", "answer_tokenizer"),
    ModelKind.CROSS_ENCODER: ("release_tool.models.oracle_pairs", "answer_cross_encoder"),
    ModelKind.QUESTION_ANSWERING: ("release_tool.models.oracle_pairs", "answer_question_answering"),
    ModelKind.HIGHLIGHTER: ("release_tool.models.oracle_highlighter", "answer"),
}

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Set before the libraries are imported: they read the environment once."""

VERSIONED = ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy")


def answer_all(work: WorkFolder, kind: ModelKind, probes: ProbeSet, snapshot: Path | None = None) -> Path:
    """Answer every probe of a kind and write the answers; return the file.

    Args:
        work: holds plan.json and source.json.
        kind: one of the plan's kinds.
        probes: what to answer.
        snapshot: the model's files, default ``snapshot`` in the work folder.

    Raises:
        UsageError: there is no oracle for this kind.
        UnsupportedModel: the libraries can't load the source as this kind.
        IntegrityError: plan, source or the file of --idf are not those that belong together.
    """
    from release_tool.models.answers import answers_name, write_answers
    from release_tool.models.oracle_inputs import Question

    if kind not in ORACLES:
        raise UsageError(f"There is no oracle for models of kind {kind.value}.")
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    work.check_chain(source, "source.json")
    question = Question(
        plan=plan,
        kind=kind,
        snapshot=snapshot or work.path(SourceSnapshot.FOLDER),
        probes=probes.for_kind(kind),
        idf=_given_weights(work, plan) if kind is ModelKind.SPARSE_TOKENIZER else None,
    )
    module, function = ORACLES[kind]
    answered = getattr(import_module(module), function)(question)
    path = work.path(answers_name(kind))
    write_answers(path, _packed(question, answered, work.sha256("plan.json"), source.tree, probes.sha256))
    return path


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
    """Answer and say so in one line of JSON; exit with the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m release_tool.models.oracle", description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kind", choices=[kind.value for kind in ORACLES], action="append")
    parser.add_argument("--probes", type=Path)
    parser.add_argument("--snapshot", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    started = time.monotonic()
    try:
        done = _run(options)
    except ReleaseError as error:
        what = {"class": type(error).__name__, "message": str(error), "hint": error.hint}
        print(json.dumps({"error": what}))  # noqa: T201 - the process's answer
        return error.exit_code
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = round(time.monotonic() - started, 2)
    print(json.dumps({"answers": done, "seconds": taken, "peak_kib": peak}))  # noqa: T201 - the same
    return 0


def _run(options: argparse.Namespace) -> dict[str, str]:
    import torch

    torch.set_num_threads(max(1, options.threads))
    _quiet()
    work = WorkFolder(options.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    kinds = [ModelKind(kind) for kind in options.kind or ()] or [kind for kind in plan.kinds if kind in ORACLES]
    probes = load_probes(options.probes)
    paths = [answer_all(work, kind, probes, options.snapshot) for kind in kinds]
    return {path.name: file_sha256(path) for path in paths}


def _quiet() -> None:
    """Leave stderr to errors: the libraries draw bars for a second of loading."""
    from transformers.utils import logging

    logging.disable_progress_bar()


if __name__ == "__main__":
    os.environ.update(OFFLINE)
    sys.exit(main())
