"""Which fields of which indices the old model has filled or searches, and what that means for another model.

A vector is only near to another one where both come from one model, so documents that the old model encoded answer the
queries of another one wrongly. Nothing of this is seen where a request names a pipeline or a model by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.naming import mentions, processors
from release_tool.core.ml.pipelines import INDEX_KEYS, NO_PIPELINE, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DENSE_TYPES = frozenset({"knn_vector"})
SPARSE_TYPES = frozenset({"rank_features", "sparse_vector"})
DENSE = "TEXT_EMBEDDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a cluster shows of pipelines and indices."""

    pipelines: dict[Side, dict[str, Any]]
    """Side → name → body."""
    settings: dict[str, dict[str, str]]
    """Index → setting of ``INDEX_KEYS`` → name of a pipeline."""
    fields: dict[str, dict[str, dict[str, Any]]]
    """Index → path of a field → its mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A field of an index that the old model fills or searches."""

    index: str
    field: str
    type: str
    dimension: int | None
    side: Side
    pipeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that names the old model and that a swap does not change."""

    where: str
    why: str
    todo: str


def read_settings(reply: Any) -> dict[str, dict[str, str]]:
    """Return index → setting → pipeline from the reply to ``index_settings``."""
    found = {}
    for index, said in (reply or {}).items():
        settings = {key: str(value) for key, value in (said.get("settings") or {}).items() if key in INDEX_KEYS}
        named = {key: value for key, value in settings.items() if value != NO_PIPELINE}
        if named:
            found[str(index)] = named
    return found


def read_fields(reply: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Return index → path → mapping from the reply to ``mappings``."""
    return {str(index): dict(_flat(said.get("mappings") or {})) for index, said in (reply or {}).items()}


def _flat(mapping: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, found in (mapping.get("properties") or {}).items():
        here = f"{path}{name}"
        yield here, {key: value for key, value in found.items() if key != "properties"}
        yield from _flat(found, f"{here}.")


def used_by(look: Look, index: str, side: Side) -> tuple[str, ...]:
    """Return the pipelines that an index uses by default, with those that they call."""
    settings = look.settings.get(index, {})
    found = [settings[key] for key, on in INDEX_KEYS.items() if on == side and key in settings]
    for name in found:
        for _, kind, said in processors(look.pipelines[side].get(name)):
            called = said.get("name") if kind == "pipeline" and isinstance(said, dict) else None
            if isinstance(called, str) and called not in found:
                found.append(called)
    return tuple(found)


def targets(kind: str, settings: Any) -> frozenset[str]:
    """Return the fields that a processor may write; which of them are there the index's mapping tells."""
    if not isinstance(settings, dict):
        return frozenset()
    if kind in {"text_embedding", "sparse_encoding"}:
        return frozenset(_mapped(settings.get("field_map"), ""))
    if kind == "text_image_embedding":
        return frozenset({str(settings.get("embedding"))})
    if kind == "ml_inference":
        maps = settings.get("output_map")
        each = [one for one in (maps if isinstance(maps, list) else ()) if isinstance(one, dict)]
        return frozenset(str(key) for one in each for key in one)
    return frozenset()


def _mapped(field_map: Any, path: str) -> Iterator[str]:
    if isinstance(field_map, dict):
        for key, value in field_map.items():
            above = f"{path}{key}".rpartition(".")[0]
            if isinstance(value, str):
                # Beside its source, or, in older servers, at the path as it is written.
                yield f"{above}.{value}" if above else value
                yield value
            else:
                yield from _mapped(value, f"{path}{key}.")
    elif isinstance(field_map, list):
        for item in field_map:
            yield from _mapped(item, path)


def reached(look: Look, old: str, function: str) -> tuple[Reached, ...]:
    """Return the fields whose documents were, or are compared with what was, encoded by the old model.

    Args:
        look: at the cluster.
        old: id of the model.
        function: the server's name of what it does. A sparse encoder may search what another one wrote, so only what
            it writes itself counts; a dense one can only search vectors of its own.
    """
    found: dict[tuple[str, str], Reached] = {}
    for index, fields in look.fields.items():
        for side in (Side.INGEST, Side.SEARCH) if function == DENSE else (Side.INGEST,):
            for name in used_by(look, index, side):
                for path in _fields_of(look.pipelines[side].get(name), side, old, fields, function):
                    said = fields[path]
                    found.setdefault(
                        (index, path),
                        Reached(
                            index=index, field=path, type=str(said.get("type")), dimension=_dimension(said), side=side,
                            pipeline=name,
                        ),
                    )  # fmt: skip
    return tuple(found[key] for key in sorted(found))


def _dimension(field: Mapping[str, Any]) -> int | None:
    value = field.get("dimension")
    return int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else None


def _fields_of(body: Any, side: Side, old: str, fields: Mapping[str, Any], function: str) -> Iterator[str]:
    types = DENSE_TYPES if function == DENSE else SPARSE_TYPES
    vectors = {path for path, said in fields.items() if said.get("type") in types}
    for _, kind, settings in processors(body):
        if not isinstance(settings, dict):
            continue
        if side is Side.INGEST:
            if settings.get("model_id") == old:
                yield from sorted(targets(kind, settings) & vectors)
        elif kind == "neural_query_enricher":
            yield from enriched(settings, old, vectors)


def enriched(settings: Mapping[str, Any], old: str, vectors: set[str]) -> Iterator[str]:
    """Yield the fields whose queries an enricher lets a model encode: those named, else all that are not."""
    named = settings.get("neural_field_default_id")
    own = named if isinstance(named, dict) else {}
    for path in sorted(vectors):
        if own.get(path, settings.get("default_model_id")) == old:
            yield path


def semantic_fields(look: Look, old: str) -> tuple[Left, ...]:
    """Return the fields of type ``semantic`` that name the model: the index itself encodes by it."""
    return tuple(
        Left(
            where=f"index {index}, field {path}",
            why=f"a field of type {said.get('type')} names the model in the mapping of its index",
            todo="make a new index with the new model's id in its mapping and index the documents again",
        )
        for index, fields in sorted(look.fields.items())
        for path, said in sorted(fields.items())
        if any(mentions(said, old))
    )


def unfit(fields: tuple[Reached, ...], dimension: int | None) -> tuple[Left, ...]:
    """Return the fields that can't take the new model's vectors at all."""
    return tuple(
        Left(
            where=f"index {one.index}, field {one.field}",
            why=f"it takes vectors of {one.dimension} dimensions, the new model gives {dimension}",
            todo=_again(one, "a new index whose field has that dimension"),
        )
        for one in fields
        if dimension is not None and one.dimension is not None and one.dimension != dimension
    )


def stale(fields: tuple[Reached, ...], documents: Mapping[tuple[str, str], int]) -> tuple[Left, ...]:
    """Return the fields whose documents the old model encoded, for a new model that encodes otherwise.

    Args:
        fields: of ``reached``.
        documents: index and field → how many documents have it.
    """
    return tuple(
        Left(
            where=f"index {one.index}, field {one.field}",
            why=f"{number:,} documents in it were encoded by the old model, and the new one encodes otherwise: "
            + ("its queries find wrong neighbours" if one.type in DENSE_TYPES else "scores of both models are mixed"),
            todo=_again(one, "a new index"),
        )
        for one in fields
        if (number := documents.get((one.index, one.field), 0))
    )


def _again(one: Reached, target: str) -> str:
    through = f" through the pipeline {one.pipeline}" if one.side is Side.INGEST else ""
    return f"index the documents again{through}: POST /_reindex from {one.index} into {target}, then move the alias"
