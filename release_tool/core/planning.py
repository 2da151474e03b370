"""Turn a request and what was seen of the source into a plan, or list everything that is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from release_tool.core import assertions, plan_warnings
from release_tool.core.descriptions import describe
from release_tool.core.detect import pooling_or_default
from release_tool.core.kinds import (
    MAX_ARCHIVE_BYTES,
    MAX_ONNX_BYTES,
    SERVER_MAX_LENGTH,
    TRAITS,
    Activation,
    ModelKind,
)
from release_tool.core.naming import (
    default_name,
    default_prefix,
)
from release_tool.core.opensearch import KNOWN_VERSIONS, any_below, number
from release_tool.core.plan import ReleasePlan, SourceFacts, Tolerances
from release_tool.core.planning_artifacts import Artifacts, Decisions, plan_artifacts
from release_tool.core.request import NAME_PATTERN, ReleaseRequest, check
from release_tool.core.serving import able, pooling_obstacle
from release_tool.core.variant_choice import SDPA_SINCE
from release_tool.core.variants import INT8_SUFFIX
from release_tool.errors import Fault, RequestError


def make_plan(
    request: ReleaseRequest,
    source: SourceFacts,
    *,
    tool_version: str,
    lineage: dict[str, Any] | None = None,
    to: str | None = None,
) -> ReleasePlan:
    """Return the plan of a release.

    Args:
        request: as the person gave it.
        source: the pinned source.
        tool_version: of release-tool; recorded.
        lineage: how the model was fine-tuned, when it brings a record of it.
        to: address of the bucket that the request's target means.

    Raises:
        RequestError: the request can't be met; every fault is listed.
    """
    kinds = request.kinds or source.kinds
    settled = replace(request, kinds=kinds)
    faults = list(check(settled, is_folder=source.origin == "folder"))
    if not kinds:
        faults.append(_unknown_kind(source))
    faults += assertions.model_faults(settled, source)
    faults += assertions.code_faults(settled, source)
    decided = _decide(settled, source)
    faults += _name_faults(decided)
    artifacts = plan_artifacts(settled, source, decided)
    faults += artifacts.faults
    if faults:
        raise RequestError(tuple(dict.fromkeys(faults)))
    plan = _fold(request, source, decided, artifacts, tool_version=tool_version, lineage=lineage)
    return replace(plan, to=to)


def _unknown_kind(source: SourceFacts) -> Fault:
    kinds = ", ".join(kind.value for kind in ModelKind)
    return Fault("--kind", f"can't be told from the model (seen: {source.kind_reason})", f"name it: {kinds}")


def _decide(request: ReleaseRequest, source: SourceFacts) -> Decisions:
    facts = source.model
    known = tuple(dict.fromkeys(version for version in request.target_versions if version in KNOWN_VERSIONS))
    targets = tuple(
        sorted(
            (v for v in known if any(able(kind, fmt, (v,)) for kind in request.kinds for fmt in TRAITS[kind].formats)),
            key=number,
        )
    )
    pooling = pooling_or_default(facts, request.pooling_mode)
    normalize = facts.normalize if facts.normalize is not None else bool(request.normalize_result)
    return Decisions(
        kinds=request.kinds,
        targets=targets,
        attention="eager" if any_below(targets, SDPA_SINCE) else "sdpa",
        prefix=_default_prefix(request, source) if request.prefix is None else request.prefix,
        name=default_name(source.model_id) if request.name is None else request.name,
        pooling=pooling,
        normalize=normalize,
        server_pools=pooling_obstacle(facts, pooling, normalize=normalize, targets=targets),
    )


def _default_prefix(request: ReleaseRequest, source: SourceFacts) -> str:
    """Return the organisation; none for metrics correlation: the catalogue's own is amazon/metrics_correlation."""
    alone = ModelKind.METRICS_CORRELATION in request.kinds
    return "" if alone else default_prefix(source.model_id)


def _name_faults(decided: Decisions) -> list[Fault]:
    faults = []
    if not NAME_PATTERN.fullmatch(decided.name):
        faults.append(Fault("--name", f"{decided.name!r} can't stand in an object key", "give a name with --name"))
    if decided.prefix and not NAME_PATTERN.fullmatch(decided.prefix):
        faults.append(
            Fault("--prefix", f"{decided.prefix!r} can't stand in an object key", "give a prefix with --prefix")
        )
    if decided.name.endswith(INT8_SUFFIX):
        problem = f"{decided.name!r} is what the int8 variant of {decided.name.removesuffix(INT8_SUFFIX)!r} is called"
        faults.append(Fault("--name", problem, "give another one with --name"))
    return faults


# --- the document --------------------------------------------------------------------------------------------------


def _fold(
    request: ReleaseRequest,
    source: SourceFacts,
    decided: Decisions,
    artifacts: Artifacts,
    *,
    tool_version: str,
    lineage: dict[str, Any] | None,
) -> ReleasePlan:
    settled = replace(request, kinds=decided.kinds)
    dense = ModelKind.DENSE in decided.kinds
    facts = source.model
    return ReleasePlan(
        tool_version=tool_version,
        request=request,
        source=source,
        kinds=decided.kinds,
        prefix=decided.prefix,
        target_versions=decided.targets,
        attention=decided.attention,
        max_length=facts.max_length or SERVER_MAX_LENGTH,
        pooling_mode=decided.pooling if dense else None,
        normalize_result=decided.normalize if dense else None,
        framework=request.framework,
        prune_ratio=request.prune_ratio or 0.0,
        activation=request.activation or facts.activation or Activation.LOG1P,
        description=describe(request.description, source.description, decided.kinds[0]),
        artifacts=artifacts.made,
        left_out=artifacts.left_out,
        warnings=plan_warnings.collect(settled, source, decided.targets, artifacts.made),
        tolerances=Tolerances(),
        limits={"archive_bytes": MAX_ARCHIVE_BYTES, "onnx_bytes": MAX_ONNX_BYTES, "max_length": SERVER_MAX_LENGTH},
        lineage=lineage,
        budgets=request.budgets,
    )
