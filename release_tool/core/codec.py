"""Turn frozen dataclasses into strict JSON and back.

Laws (tests hold them): ``decode(T, encode(x)) == x``; an unknown key, a missing key and a wrong type are each an
error that names the path of the key. A field whose type admits ``None`` may be absent: absent means null, so that a
schema can gain optional fields within its version. ``encode_text`` is canonical: equal values give equal bytes.
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

MAX_FLOAT = sys.float_info.max
"""A larger integer would overflow where a float is wanted."""


class DocumentFault(ValueError):
    """A JSON value does not fit its type; the text names the path."""


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def encode(value: Any) -> Any:
    """Return ``value`` as JSON data; ``None`` fields are kept as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return value


def encode_text(value: Any) -> str:
    """Return canonical JSON text: two spaces, declared key order, UTF-8, one final newline, no NaN."""
    return json.dumps(encode(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def decode_text(cls: type[T], text: str) -> T:
    """Read ``cls`` from JSON text.

    Raises:
        DocumentFault: not JSON, a key given twice, or a value that does not fit.
    """
    return decode(cls, parse_text(text))


def parse_text(text: str) -> Any:
    """Return the JSON data of a document.

    Raises:
        DocumentFault: not JSON, or a key given twice.
    """
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # 1e999 and lone surrogates can't be written
    except DocumentFault:
        raise
    except (ValueError, RecursionError) as error:  # also integers of more than 4,300 digits
        raise DocumentFault(f"not JSON: {error}") from error
    return data


def schema_of(data: Any) -> str | None:
    """Return the schema that JSON data names, null when it names none."""
    schema = data.get("schema") if isinstance(data, dict) else None
    return schema if isinstance(schema, str) else None


def decode(cls: type[T], data: Any, path: str = "$") -> T:
    """Read ``cls`` from JSON data; see the module for the rules."""
    return _decode(cls, data, path)  # type: ignore[no-any-return]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise DocumentFault(f"key {key!r} is given twice")
        seen[key] = value
    return seen


def _no_constant(name: str) -> Any:
    raise DocumentFault(f"{name} is no JSON number")


def _decode(hint: Any, data: Any, path: str) -> Any:  # noqa: C901, PLR0911 - one branch a kind of type
    origin = get_origin(hint)
    if hint is Any:
        return data
    if origin in (Union, types.UnionType):
        options = get_args(hint)
        if data is None and type(None) in options:
            return None
        (inner,) = (option for option in options if option is not type(None))
        return _decode(inner, data, path)
    if origin is tuple:
        if not isinstance(data, list):
            raise DocumentFault(f"{path}: expected a list")
        args = get_args(hint)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_decode(args[0], item, f"{path}[{i}]") for i, item in enumerate(data))
        if len(args) != len(data):
            raise DocumentFault(f"{path}: expected {len(args)} items")
        return tuple(_decode(arg, item, f"{path}[{i}]") for i, (arg, item) in enumerate(zip(args, data, strict=True)))
    if origin is dict:
        if not isinstance(data, dict):
            raise DocumentFault(f"{path}: expected an object")
        value_hint = get_args(hint)[1]
        return {key: _decode(value_hint, item, f"{path}.{key}") for key, item in data.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(data)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in hint)
            raise DocumentFault(f"{path}: {data!r} is none of {allowed}") from None
    if is_dataclass(hint):
        return _decode_dataclass(hint, data, path)  # type: ignore[arg-type]
    return _decode_scalar(hint, data, path)


def _decode_dataclass(cls: type, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise DocumentFault(f"{path}: expected an object")
    hints = _hints(cls)
    names = {field.name for field in fields(cls)}
    unknown = sorted(set(data) - names)
    if unknown:
        raise DocumentFault(f"{path}: unknown key {unknown[0]!r}")
    values: dict[str, Any] = {}
    for field in fields(cls):
        if field.name in data:
            values[field.name] = _decode(hints[field.name], data[field.name], f"{path}.{field.name}")
        elif type(None) in get_args(hints[field.name]):
            values[field.name] = None
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DocumentFault(f"{path}: missing key {field.name!r}")
        else:
            raise DocumentFault(f"{path}: missing key {field.name!r} (only nullable keys may be absent)")
    return cls(**values)


def _decode_scalar(hint: Any, data: Any, path: str) -> Any:
    if hint is float and isinstance(data, (int, float)) and not isinstance(data, bool) and abs(data) <= MAX_FLOAT:
        return float(data)
    if hint is int and isinstance(data, int) and not isinstance(data, bool):
        return data
    if hint in (str, bool) and isinstance(data, hint):
        return data
    raise DocumentFault(f"{path}: expected {getattr(hint, '__name__', hint)}, found {type(data).__name__}")
