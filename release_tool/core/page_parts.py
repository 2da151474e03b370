"""Artifacts, source, licence and what was left out, as ready values of the review page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from release_tool.core.bundle import bundle_name
from release_tool.core.page import ArtifactCard, Fact, FileRow
from release_tool.core.page_variants import export_facts
from release_tool.core.quantity import bytes_text, clip, number_text, plural, size_text
from release_tool.core.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from release_tool.core.bundle import Bundle, FileDigest
    from release_tool.core.plan import LicenceFacts, PlannedArtifact, ReleasePlan, Tolerances

MAX_CONFIG_CHARACTERS = 20_000
MAX_LINEAGE_CHARACTERS = 600
MAX_TEXT = 600
MAX_LISTED = 20
"""Of a list that a model or a job of it could make long."""
MAX_PAIRS = 40
NONE = "none"


def identity(plan: ReleasePlan) -> tuple[Fact, ...]:
    """Return who the model is: the facts that an approver compares with what they meant to release."""
    source = plan.source
    asked = source.requested_revision
    revision_note = f"asked for as {clip(asked, 80)}" if asked and asked != source.revision else ""
    target = plan.request.upload_target or NONE
    destination = (Fact(label="Goes to", value=clip(target, 60), note=clip(plan.to, 200)),) if plan.to else ()
    run = plan.request.tune_run_id
    tuned = (
        (Fact(label="Fine-tuning run", value=clip(run, 60), note="the weights come from it", mono=True),) if run else ()
    )
    return (
        Fact(label="Model", value=clip(source.model_id), mono=True),
        Fact(label="Version", value=clip(plan.request.version, 60), mono=True),
        Fact(
            label="Source",
            value="a hub"
            if source.origin == "hub"
            else "a folder"
            if source.origin == "folder"
            else clip(source.origin),
            note=f"listed under {clip(plan.request.model_source, 80)}",
        ),
        Fact(label="Revision", value=clip(source.revision, 100), note=revision_note, mono=True),
        *tuned,
        Fact(label="Licence", value=licence_value(source.licence), note=licence_note(source.licence)),
        Fact(label="Kind", value=", ".join(plan.kinds), note=clip(source.kind_reason, 160)),
        Fact(label="Description", value=clip(plan.description, 500) or NONE),
        *destination,
    )


def licence_value(licence: LicenceFacts) -> str:
    """Return the licence as the card declares it."""
    return clip(licence.declared, 120) if licence.declared else "none declared that can be read"


def licence_note(licence: LicenceFacts) -> str:
    """Say whether a publish would take the licence, and why."""
    if licence.listed:
        return "listed: needs no acceptance"
    if licence.accepted is None:
        return "not accepted: publish will refuse"
    if licence.declared is not None and licence.accepted.lower() != licence.declared.lower():
        return f"accepted as {clip(licence.accepted, 80)}, which is not what the card declares"
    who = f" by @{clip(licence.accepted_by, 60)}" if licence.accepted_by else ""
    return f"accepted{who} by name as {clip(licence.accepted, 80)}"


def settings(plan: ReleasePlan) -> tuple[Fact, ...]:
    """Return how the model will be served and what the graph was made for."""
    facts = [
        Fact(label="Made for OpenSearch", value=clip(", ".join(plan.target_versions), 200)),
    ]
    model = plan.source.model
    if model.script_path is not None:
        facts.append(Fact(label="Program", value=clip(model.script_path, 120), note="TorchScript", mono=True))
        facts.append(Fact(label="Made with", value=f"release-tool {clip(plan.tool_version, 40)}"))
        return tuple(facts)
    facts.append(Fact(label="Longest input", value=plural(plan.max_length, "token"), note="truncated beyond"))
    facts.append(Fact(label="Attention", value=clip(plan.attention, 40)))
    if plan.pooling_mode is not None:
        facts.append(Fact(label="Pooling", value=plan.pooling_mode))
    if plan.normalize_result is not None:
        facts.append(Fact(label="Normalised", value="yes" if plan.normalize_result else "no"))
    if any(kind.startswith("sparse") for kind in plan.kinds):
        facts.append(Fact(label="Prune ratio", value=f"{plan.prune_ratio:g}"))
        facts.append(Fact(label="Activation", value=clip(plan.activation, 40)))
    facts.append(Fact(label="Framework", value=plan.framework))
    facts.append(
        Fact(
            label="Architecture",
            value=clip(model.architecture or "unknown", 80),
            note=f"model type {clip(model.model_type or 'unknown', 80)}",
        )
    )
    for label, prefix in (("Query prefix", model.query_prefix), ("Passage prefix", model.passage_prefix)):
        if prefix:
            facts.append(Fact(label=label, value=clip(prefix, 120), mono=True))
    facts.append(Fact(label="Made with", value=f"release-tool {clip(plan.tool_version, 40)}"))
    return tuple(facts)


def card(artifact: PlannedArtifact, bundle: Bundle, config: str) -> ArtifactCard:
    """Return one archive; ``config`` is the text of its config.json."""
    export = bundle.export
    facts = [Fact(label="Kind", value=bundle.kind), Fact(label="Format", value=bundle.format)]
    facts.append(Fact(label="Variant", value=clip(artifact.variant, 40)))
    if bundle.embedding_dimension is not None:
        facts.append(Fact(label="Dimension", value=f"{bundle.embedding_dimension:,}", note="measured"))
    if export.parameters:
        facts.append(Fact(label="Parameters", value=f"{export.parameters:,}"))
    optional = (
        ("Weights on disk", export.weights_dtype),
        ("Attention", export.attention),
        ("Opset", None if export.opset is None else str(export.opset)),
        ("IR version", None if export.ir_version is None else str(export.ir_version)),
        ("Inputs", ", ".join(export.inputs)),
        ("Outputs", ", ".join(export.outputs)),
        ("Made with", ", ".join(f"{name} {version}" for name, version in sorted(export.versions.items()))),
    )
    facts.extend(Fact(label=label, value=clip(value)) for label, value in optional if value)
    facts.extend(export_facts(export))
    return ArtifactCard(
        id=clip(artifact.id, 60),
        title=clip(artifact.file_name),
        size=size_text(bundle.archive.size),
        exact_size=bytes_text(bundle.archive.size),
        sha256=bundle.archive.sha256,
        names=(
            Fact(label="Object key", value=clip(artifact.key, 500), mono=True),
            Fact(label="config.json", value=clip(artifact.config_key, 500), mono=True),
            Fact(label="Registered as", value=clip(artifact.registered_name), mono=True),
        ),
        facts=tuple(facts),
        warnings=some(bundle.warnings, bundle_name(artifact.id)),
        config_sha256=bundle.config.sha256,
        config_text=clip(config, MAX_CONFIG_CHARACTERS),
    )


def pretty_config(data: bytes) -> str:
    """Return config.json with indentation, its keys in their own order; as it is where it is no JSON."""
    text = data.decode("utf-8", errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def tolerances(values: Tolerances, plan: ReleasePlan) -> tuple[Fact, ...]:
    """Return the tolerances that matter for the plan's kinds."""
    rows: list[Fact] = []
    kinds = {str(kind) for kind in plan.kinds}
    if "dense" in kinds:
        note = "times the largest component of the reference where that is above 1"
        rows.append(Fact(label="Embedding, runtime ring", value=number_text(values.dense_runtime), note=note))
        rows.append(Fact(label="Embedding, real node", value=number_text(values.dense_node), note=note))
    if kinds & {"sparse", "sparse-tokenizer"}:
        rows.append(Fact(label="Same tokens above a weight of", value=number_text(values.sparse_threshold)))
        rows.append(Fact(label="Weight of a token", value=number_text(values.sparse_weight)))
    if "metrics-correlation" in kinds:
        note = (
            "windows and suspected metrics must be the same, patterns within this, times their largest number above 1"
        )
        rows.append(Fact(label="Event, runtime ring", value=number_text(values.dense_runtime), note=note))
        rows.append(Fact(label="Event, other rings", value=number_text(values.dense_node), note=note))
    if kinds & {"cross-encoder", "question-answering", "highlighter"}:
        rows.append(Fact(label="Logit", value=number_text(values.logit)))
    if "question-answering" in kinds:
        note = "the answer must be the same where the oracle's best beats its second by more"
        rows.append(Fact(label="Answer", value=number_text(values.answer_margin), note=note))
    if "highlighter" in kinds:
        note = "sentences must be the same unless a probability is this close to the threshold"
        rows.append(Fact(label="Sentence", value=number_text(values.highlight_margin), note=note))
    if any(artifact.variant is Variant.INT8 for artifact in plan.artifacts):
        rows.extend(_int8_tolerances(values, kinds))
    return tuple(rows)


def _int8_tolerances(values: Tolerances, kinds: set[str]) -> list[Fact]:
    if "cross-encoder" in kinds:
        note = "times how far the source's own logits lie apart over the probes"
        return [Fact(label="Logit, int8", value=number_text(values.int8_logit or 0.0), note=note)]
    rows = [Fact(label="Cosine, int8", value=f"{values.int8_cosine or 1.0:g}", note="at least, of every probe")]
    if "dense" in kinds:
        note = "of the vector's length, as a share of the source's"
        rows.append(Fact(label="Length, int8", value=number_text(values.int8_norm or 0.0), note=note))
    return rows


def pairs(data: dict[str, object] | None, *, mono: bool = False) -> tuple[Fact, ...]:
    """Return a JSON object as facts, nested values as one line of JSON."""
    rows = []
    for key, value in list((data or {}).items())[:MAX_PAIRS]:
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        rows.append(Fact(label=clip(key), value=clip(shown, MAX_LINEAGE_CHARACTERS), mono=mono))
    more = len(data or {}) - MAX_PAIRS
    if more > 0:
        rows.append(Fact(label="and", value=f"{more:,} more, which plan.json holds"))
    return tuple(rows)


def some(texts: tuple[str, ...], document: str) -> tuple[str, ...]:
    """Return the first texts, each clipped; where there are more, the last one says how many and what holds them."""
    shown = tuple(clip(text, MAX_TEXT) for text in texts[:MAX_LISTED])
    more = len(texts) - len(shown)
    return (*shown, f"and {more:,} more, which {document} holds") if more else shown


def file_rows(files: Iterable[FileDigest]) -> tuple[FileRow, ...]:
    """Return files of the manifest as rows."""
    return tuple(FileRow(path=clip(file.path, 500), size=size_text(file.size), sha256=file.sha256) for file in files)
