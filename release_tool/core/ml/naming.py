"""Where a pipeline names a model: the places that can be switched, and those that only a person can judge.

A place is a JSON pointer (RFC 6901). Sources: neural-search ``TextEmbeddingProcessor``, ``SparseEncodingProcessor``,
``TextImageEmbeddingProcessor``, ``NeuralQueryEnricherProcessor``, ``RerankProcessor``; ML Commons
``MLInferenceIngestProcessor``, ``MLInferenceSearchRequestProcessor``, ``MLInferenceSearchResponseProcessor`` and
``GenerativeQAResponseProcessor``; tags 2.9.0.0 to 3.6.0.0.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTS = ("processors", "request_processors", "response_processors", "phase_results_processors", "on_failure")
"""Keys of a pipeline, or of a processor, under which processors stand."""

ID_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "text_embedding": (("model_id",),),
    "sparse_encoding": (("model_id",),),
    "text_image_embedding": (("model_id",),),
    "ml_inference": (("model_id",),),
    "neural_query_enricher": (("default_model_id",), ("neural_field_default_id", "*")),
    "rerank": (("ml_opensearch", "model_id"),),
    "retrieval_augmented_generation": (("model_id",),),
}
"""Processor → where in it the id of a model stands; ``*`` is every key."""


def processors(body: Any, pointer: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield pointer, type and settings of every processor, nested ones included, in the order in which they stand."""
    if not isinstance(body, dict):
        return
    for key in LISTS:
        found = body.get(key)
        for place, entry in enumerate(found if isinstance(found, list) else ()):
            yield from _processor(entry, f"{pointer}/{key}/{place}")


def _processor(entry: Any, pointer: str) -> Iterator[tuple[str, str, Any]]:
    for kind, settings in entry.items() if isinstance(entry, dict) else ():
        here = f"{pointer}/{escape(str(kind))}"
        yield here, str(kind), settings
        if isinstance(settings, dict):
            if kind == "foreach":
                yield from _processor(settings.get("processor"), f"{here}/processor")
            yield from processors(settings, here)


def places(body: Any, model_id: str) -> tuple[str, ...]:
    """Return the pointers of a pipeline at which a processor takes its model by this id."""
    return tuple(
        pointer
        for here, kind, settings in processors(body)
        for keys in ID_KEYS.get(kind, ())
        for pointer in _at(settings, keys, here)
        if value_at(body, pointer) == model_id
    )


def _at(settings: Any, keys: tuple[str, ...], pointer: str) -> Iterator[str]:
    if not keys:
        yield pointer
    elif isinstance(settings, dict):
        for key in settings if keys[0] == "*" else keys[:1]:
            if key in settings:
                yield from _at(settings[key], keys[1:], f"{pointer}/{escape(str(key))}")


def mentions(data: Any, text: str, pointer: str = "") -> Iterator[str]:
    """Yield the pointers of all strings and keys of JSON that hold a text."""
    if isinstance(data, str):
        if text in data:
            yield pointer
    elif isinstance(data, dict):
        for key, value in data.items():
            here = f"{pointer}/{escape(str(key))}"
            if text in str(key):
                yield here
            yield from mentions(value, text, here)
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield from mentions(value, text, f"{pointer}/{place}")


def unswitched(body: Any, model_id: str) -> tuple[str, ...]:
    """Return where a pipeline mentions a model in a way that nobody but its author can judge."""
    known = set(places(body, model_id))
    return tuple(pointer for pointer in mentions(body, model_id) if pointer not in known)


def escape(key: str) -> str:
    """Return a key as a part of a pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _keys(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def value_at(data: Any, pointer: str) -> Any:
    """Return what stands at a pointer; null where nothing does."""
    for key in _keys(pointer):
        if isinstance(data, dict) and key in data:
            data = data[key]
        elif isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return None
    return data


def with_values(data: Any, pointers: tuple[str, ...], value: Any) -> Any:
    """Return a copy of JSON with another value at pointers that exist."""
    changed = copy.deepcopy(data)
    for pointer in pointers:
        parent, _, _ = pointer.rpartition("/")
        holder, key = value_at(changed, parent), _keys(pointer)[-1]
        holder[int(key) if isinstance(holder, list) else key] = value
    return changed
