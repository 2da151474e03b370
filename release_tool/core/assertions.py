"""Hold what a person said about a model against what the model's own files say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.card import accepts
from release_tool.core.detect import pooling_or_default
from release_tool.core.detect_kind import has_head
from release_tool.core.kinds import TRAITS, Framework, ModelKind, PoolingMode
from release_tool.core.serving import pooling_obstacle
from release_tool.errors import Fault

if TYPE_CHECKING:
    from release_tool.core.plan import ModelFacts, SourceFacts
    from release_tool.core.request import ReleaseRequest

DENSE_MODULES = frozenset({"Transformer", "Pooling", "Dense", "Normalize", "Dropout"})
"""Modules that a dense archive can hold; Dropout does nothing when a model serves."""


def model_faults(request: ReleaseRequest, source: SourceFacts) -> list[Fault]:
    """Return every contradiction between request (its kinds settled) and source.

    Raises nothing: an empty list means that the model can be released as asked.
    """
    facts = source.model
    faults = _file_faults(request, facts)
    if ModelKind.DENSE in request.kinds:
        faults += _dense_faults(request, facts)
    if ModelKind.SPARSE in request.kinds:
        faults += _sparse_faults(request, facts)
    if ModelKind.CROSS_ENCODER in request.kinds and facts.num_labels not in (None, 1):
        faults.append(
            Fault("--kind", f"a cross-encoder gives one score, this classifier has {facts.num_labels} labels")
        )
    if not accepts(source.licence):
        faults.append(
            Fault(
                "--accept-licence", f"names {source.licence.accepted!r}", f"the card declares {source.licence.declared}"
            )
        )
    return faults


def _file_faults(request: ReleaseRequest, facts: ModelFacts) -> list[Fault]:
    faults = []
    real = [kind for kind in request.kinds if kind is not ModelKind.METRICS_CORRELATION]
    if len(real) < len(request.kinds) and facts.script_path is None:
        faults.append(
            Fault("MODEL", "is no TorchScript module alone", "metrics-correlation wants one .pt and no other model")
        )
    if real and not facts.has_tokenizer_json and not facts.tokenizer_sources:
        faults.append(
            Fault(
                "MODEL", "has no tokenizer.json and no files to make it from", "save the fast tokenizer with the model"
            )
        )
    for kind in real:
        if TRAITS[kind].model_file and facts.weights_format is None and not facts.weight_bytes:
            faults.append(Fault("MODEL", f"has no weights, which {kind} needs"))
        elif not has_head(kind, facts):
            faults.append(
                Fault("--kind", f"{facts.architecture} has no trained head for {kind}", "name the kind that it is")
            )
    return faults


def _dense_faults(request: ReleaseRequest, facts: ModelFacts) -> list[Fault]:
    faults = []
    strange = [name for name in facts.modules if name not in DENSE_MODULES]
    if strange:
        faults.append(Fault("MODEL", f"has the module {strange[0]}, which no archive can hold as dense"))
    asked = request.embedding_dimension
    if asked is not None and facts.embedding_dimension not in (None, asked):
        faults.append(
            Fault(
                "--embedding-dimension", f"is {asked}, the model's own is {facts.embedding_dimension}", "leave it out"
            )
        )
    faults += _pooling_faults(request, facts)
    if request.normalize_result is not None and facts.normalize not in (None, request.normalize_result):
        does = "normalises" if facts.normalize else "does not normalise"
        faults.append(
            Fault("--normalize-result", f"is {str(request.normalize_result).lower()}, the model {does}", "leave it out")
        )
    if facts.pools_prompt is False and (facts.query_prefix or facts.passage_prefix):
        faults.append(Fault("MODEL", "leaves its prompt out of the pooling, which the server can't"))
    return faults


def _pooling_faults(request: ReleaseRequest, facts: ModelFacts) -> list[Fault]:
    faults = []
    asked = request.pooling_mode
    if asked is not None and facts.pooling_words and asked is not facts.pooling_mode:
        own = " and ".join(facts.pooling_words) if facts.pooling_mode is None else facts.pooling_mode.value
        faults.append(Fault("--pooling-mode", f"is {asked}, the model's own is {own}", "leave it out"))
    elif asked is PoolingMode.NONE:
        faults.append(Fault("--pooling-mode", "none leaves no vector to release", "mean, cls, max or another"))
    if request.framework is Framework.HUGGINGFACE_TRANSFORMERS:
        normalize = facts.normalize if facts.normalize is not None else bool(request.normalize_result)
        pooling = pooling_or_default(facts, asked)
        reason = pooling_obstacle(facts, pooling, normalize=normalize, targets=request.target_versions)
        if reason:
            faults.append(Fault("--framework", f"the server can't pool this model: {reason}", "leave --framework out"))
    return faults


def _sparse_faults(request: ReleaseRequest, facts: ModelFacts) -> list[Fault]:
    faults = []
    if facts.pooling_strategy not in (None, "max"):
        faults.append(
            Fault("MODEL", f"pools its tokens by {facts.pooling_strategy}; a sparse archive takes the maximum")
        )
    if request.activation is not None and facts.activation not in (None, request.activation):
        faults.append(
            Fault("--activation", f"is {request.activation}, the model's own is {facts.activation}", "leave it out")
        )
    return faults


def code_faults(request: ReleaseRequest, source: SourceFacts) -> list[Fault]:
    """Return the code of the model that lies at another commit than the ones a person allowed; one fault a commit.

    A folder's own code has no commit: its digests are in the plan.
    """
    if not request.remote_code:
        return []
    foreign = [code for code in source.remote_code if source.origin != "folder" or code.repo != source.model_id]
    others = {code.revision: code.repo for code in foreign if code.revision not in request.remote_code}
    return [
        Fault("--remote-code", f"{repo} has its code at {revision}", "look at that commit, and name it if it may run")
        for revision, repo in sorted(others.items())
    ]
