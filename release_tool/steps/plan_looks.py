"""A closer look at a planned source: what fetch and trace would find late, found while nothing is downloaded yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from release_tool.core.inputs import check_token_weights
from release_tool.core.kinds import ModelKind
from release_tool.core.model_checks import check_config, strangers, unselected
from release_tool.core.weight_headers import LENGTH_BYTES, WeightFacts, add_up, header_length, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.plan import ModelFacts, PlannedFile, ReleasePlan
    from release_tool.core.weight_headers import WeightHeader
    from release_tool.services.sources import Source

FIRST_BYTES = 128 * 1024
"""Bytes: the header of most models whole, in one question."""
MAX_WEIGHT_FILES = 64
"""A question each; what has more files is larger than anything that ML Commons takes."""


def read_weights(source: Source, files: tuple[PlannedFile, ...]) -> WeightFacts | None:
    """Return type and number of a model's parameters from the headers of its safetensors files; null without any.

    Raises:
        UnsupportedModel: a file is incomplete, or no safetensors file, or quantised.
        SourceError: a file is gone.
    """
    weights = [file for file in files if file.path.endswith(".safetensors")][:MAX_WEIGHT_FILES]
    return add_up((file.path, _header(source, file)) for file in weights) if weights else None


def _header(source: Source, file: PlannedFile) -> WeightHeader:
    first = source.head(file, FIRST_BYTES)
    length = header_length(first, file.size, file.path)
    end = LENGTH_BYTES + length
    if end > len(first):
        first = source.head(file, end)
    return read_header(first[LENGTH_BYTES:end], file.size, file.path)


def corrected(model: ModelFacts, weights: WeightFacts | None) -> ModelFacts:
    """Return the facts with what the weights really are in place of what config.json declares."""
    if weights is None or weights.dtype is None:
        return model
    return replace(model, weights_dtype=weights.dtype, parameters=weights.parameters)


def look_closer(source: Source, plan: ReleasePlan, idf: bytes | None) -> ReleasePlan:
    """Return the plan with the warnings that need more than the model's settings.

    Args:
        source: the pinned source.
        plan: as the settings alone make it.
        idf: the token weights of --idf, null without.

    Raises:
        UnsupportedModel: what trace could not load, or token weights that are none.
    """
    check_config(source.read, plan.source.model.transformer_path or "", plan.kinds)
    found = (*unselected(source.listing(), plan.source.files), *_token_weights(source, plan, idf))
    return replace(plan, warnings=(*plan.warnings, *found))


def _token_weights(source: Source, plan: ReleasePlan, idf: bytes | None) -> Iterator[str]:
    if ModelKind.SPARSE_TOKENIZER not in plan.kinds:
        return
    model = plan.source.model
    data = idf
    if data is None and model.idf_path and model.idf_path.endswith(".json"):
        data = source.read(model.idf_path)
        if data is not None:
            check_token_weights(data, model.idf_path)
    if data is not None:
        yield from strangers(data, source.read(model.tokenizer_path) if model.tokenizer_path else None)
