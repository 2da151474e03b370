"""What a person who approves a plan should know before it is carried out: sentences, in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.card import LicenceVerdict, verdict
from release_tool.core.escape import one_line
from release_tool.core.kinds import ASYMMETRIC_SINCE, SERVER_MAX_LENGTH, Format, ModelKind
from release_tool.core.opensearch import number
from release_tool.core.serving import SPARSE_ONNX_MEASURED, able, since
from release_tool.core.variant_choice import fusion_obstacle
from release_tool.core.variants import FROZEN, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.plan import LicenceFacts, PlannedArtifact, SourceFacts
    from release_tool.core.request import ReleaseRequest

REFUSED = "; publish will refuse it: plan again with --accept-licence NAME"
"""What follows for a licence that is not listed, and that nobody has accepted."""


def collect(
    request: ReleaseRequest, source: SourceFacts, targets: tuple[str, ...], artifacts: tuple[PlannedArtifact, ...]
) -> tuple[str, ...]:
    """Return the warnings of a plan.

    Args:
        request: with its kinds settled.
        source: as pinned.
        targets: those that can serve the kind.
        artifacts: of the plan.
    """
    dense = ModelKind.DENSE in request.kinds
    return (
        *_licence(source.licence),
        *_targets(request, targets, artifacts),
        *_trust(source),
        *_lengths_and_types(source),
        *(_dense(request, source, targets) if dense else _not_dense(source)),
        *_sparse(request, source, targets, artifacts),
        *_variants(request, source, artifacts),
        *_metrics(request),
    )


def _licence(facts: LicenceFacts) -> Iterator[str]:
    accepted = f"; {facts.accepted} was accepted" if facts.accepted else REFUSED
    match verdict(facts):
        case LicenceVerdict.MISSING:
            yield f"The card declares no licence that can be read{accepted}."
        case LicenceVerdict.UNLISTED:
            yield f"The licence {facts.declared} is not on the list of open licences{accepted}."
        case LicenceVerdict.LISTED:
            return


def _targets(
    request: ReleaseRequest, targets: tuple[str, ...], artifacts: tuple[PlannedArtifact, ...]
) -> Iterator[str]:
    dropped = [version for version in request.target_versions if version not in targets]
    if dropped:
        first = min((since(kind, Format.TORCH_SCRIPT) for kind in request.kinds), key=number)
        yield f"OpenSearch {', '.join(dropped)} can't serve {request.kinds[0]}, which came with {first}."
    for artifact in artifacts:
        missing = [version for version in targets if version not in able(artifact.kind, artifact.format, targets)]
        if missing:
            yield f"OpenSearch {', '.join(missing)} can't serve {artifact.id} of {artifact.kind}."


def _trust(source: SourceFacts) -> Iterator[str]:
    if source.model.script_path is not None:
        yield f"The TorchScript program {one_line(source.model.script_path)} of the model runs, digest in the plan."
    elif source.remote_code:
        repositories = ", ".join(sorted({code.repo for code in source.remote_code}))
        yield f"Python code of the model runs: {len(source.remote_code)} files of {repositories}, digests in the plan."
    if source.model.weights_format == "pickle":
        yield "The weights are pickle files, which can run code when they are read (--allow-pickle)."


def _lengths_and_types(source: SourceFacts) -> Iterator[str]:
    facts = source.model
    if facts.script_path is not None:
        return
    if facts.own_max_length and facts.own_max_length > SERVER_MAX_LENGTH:
        yield f"The server cuts texts at {SERVER_MAX_LENGTH} tokens; the model itself takes {facts.own_max_length}."
    if facts.max_length is None:
        yield f"The model names no length limit; {SERVER_MAX_LENGTH} tokens, the server's limit, are used."
    if facts.weights_dtype in ("float16", "bfloat16"):
        yield f"The weights are stored as {facts.weights_dtype} and are released as float32."
    if not facts.has_tokenizer_json and facts.tokenizer_sources:
        yield f"There is no tokenizer.json; it is made from {', '.join(facts.tokenizer_sources)}."


def _dense(request: ReleaseRequest, source: SourceFacts, targets: tuple[str, ...]) -> Iterator[str]:
    facts = source.model
    if not facts.pooling_words:
        chosen = request.pooling_mode or "mean"
        origin = "as asked" if request.pooling_mode else "the default"
        normalised = "normalised" if request.normalize_result else "not normalised"
        yield f"The model has no pooling of its own: pooling {chosen} ({origin}), {normalised}."
    if facts.query_prefix or facts.passage_prefix:
        old = [version for version in targets if number(version) < number(ASYMMETRIC_SINCE)]
        if old:
            yield (
                f"The model has prompts, which OpenSearch knows from {ASYMMETRIC_SINCE} on: "
                f"with {', '.join(old)} the client must write them before each text."
            )
    if facts.default_prompt and facts.default_prompt not in (facts.query_prefix, facts.passage_prefix):
        yield (
            f"The model puts {one_line(facts.default_prompt)!r} before every text by default; "
            "the server does not, so the client must."
        )


def _not_dense(source: SourceFacts) -> Iterator[str]:
    facts = source.model
    if facts.query_prefix or facts.passage_prefix or facts.default_prompt:
        yield "The model has prompts, which ML Commons knows for dense models only: the client must write them."


def _sparse(
    request: ReleaseRequest, source: SourceFacts, targets: tuple[str, ...], artifacts: tuple[PlannedArtifact, ...]
) -> Iterator[str]:
    facts = source.model
    if ModelKind.SPARSE_TOKENIZER in request.kinds and facts.idf_path is None and request.idf is None:
        yield "There is no idf.json: every token has the weight 1."
    onnx = any(item.kind is ModelKind.SPARSE and item.format is Format.ONNX for item in artifacts)
    unmeasured = [version for version in targets if version not in SPARSE_ONNX_MEASURED]
    if onnx and unmeasured:
        yield (
            f"Sparse ONNX was measured on OpenSearch {', '.join(SPARSE_ONNX_MEASURED)}; "
            f"that {', '.join(unmeasured)} serves it follows from the code only."
        )


def _variants(request: ReleaseRequest, source: SourceFacts, artifacts: tuple[PlannedArtifact, ...]) -> Iterator[str]:
    made = {artifact.variant for artifact in artifacts if artifact.format is Format.ONNX}
    obstacle = fusion_obstacle(source)
    if Variant.FP32 in made and obstacle and not request.variants:
        yield f"The ONNX graph is not fused: {obstacle}."
    if any(artifact.variant in FROZEN for artifact in artifacts):
        yield "TorchScript is frozen (--cpu-only): its weights are constants of the CPU, and a GPU node can't run it."


def _metrics(request: ReleaseRequest) -> Iterator[str]:
    if ModelKind.METRICS_CORRELATION in request.kinds:
        yield (
            "Only clusters with plugins.ml_commons.enable_inhouse_python_model execute metrics correlation, and a "
            "cluster has one such model: without a registered one the server takes its own built-in version, and "
            "registering this one replaces another."
        )
