"""Read the JSON files that a model brings along: hostile until every value has been looked at.

Nothing in here raises anything but ``UnsupportedModel``, whose text names the file and what is wrong with it. A key
given twice, a byte order mark, a number that is none, a file of unreasonable size or depth: each would let two
readers see two different models, so each is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.errors import UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[str], bytes | None]
    """Path relative to the model's root → the file's bytes, or ``None`` when there is no such file."""

MAX_JSON_BYTES = 64 * 1024**2
"""Bytes: four times the largest tokenizer.json in common use (XLM-R's is 17 MB)."""

SHOWN_CHARACTERS = 80

WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""What a class, an architecture or a model type is called."""


def shown(value: object) -> str:
    """Return a hostile value for a message: one line, cut."""
    text = one_line(value if isinstance(value, str) else repr(value))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def bad(path: str, problem: str) -> UnsupportedModel:
    """Return the error for a file that is not what it must be."""
    return UnsupportedModel(
        f"The model's {shown(path)} can't be used: {problem}.",
        hint="Repair the file in the model, or choose another revision with --revision.",
    )


def load(read: Reader, path: str) -> Any:
    """Return the JSON value of a file, ``None`` when the file is absent.

    Raises:
        UnsupportedModel: the file is not strict JSON of a reasonable size.
    """
    data = read(path)
    return None if data is None else parse(data, path)


def parse(data: bytes, path: str) -> Any:
    """Return the JSON value of some bytes; see ``load``."""
    if len(data) > MAX_JSON_BYTES:
        raise bad(path, f"it has {len(data)} bytes, more than {MAX_JSON_BYTES}")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise bad(path, "it starts with a byte order mark")

    def constant(name: str) -> Any:
        raise bad(path, f"{shown(name)} is no JSON number")

    def real(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else constant(text)

    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=lambda items: _unique(items, path),
            parse_constant=constant,
            parse_float=real,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate can't be written anywhere again
    except UnicodeError as error:
        raise bad(path, "it is not UTF-8 text") from error
    except RecursionError as error:
        raise bad(path, "it is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError, and integers of more than 4,300 digits
        raise bad(path, f"it is not JSON ({shown(str(error))})") from error
    return value


def _unique(items: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in items:
        if key in result:
            raise bad(path, f"the key {shown(key)!r} is given twice")
        result[key] = value
    return result


def load_object(read: Reader, path: str) -> dict[str, Any] | None:
    """Return the JSON object of a file, ``None`` when the file is absent."""
    value = load(read, path)
    if value is not None and not isinstance(value, dict):
        raise bad(path, f"it holds a {type(value).__name__}, expected an object")
    return value


def get_text(data: dict[str, Any], key: str, path: str) -> str | None:
    """Return a text, ``None`` when it is absent or null."""
    value = data.get(key)
    if value is None or isinstance(value, str):
        return value
    raise bad(path, f"{key} is {shown(value)}, expected a text")


def get_word(data: dict[str, Any], key: str, path: str) -> str | None:
    """Return a name such as a class or an architecture, ``None`` when it is absent or null."""
    value = get_text(data, key, path)
    if value is not None and not WORD.fullmatch(value):
        raise bad(path, f"{key} is {shown(value)!r}, expected a name")
    return value


def get_flag(data: dict[str, Any], key: str, path: str) -> bool | None:
    """Return a boolean, ``None`` when it is absent or null."""
    value = data.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise bad(path, f"{key} is {shown(value)}, expected true or false")


def get_number(data: dict[str, Any], key: str, path: str) -> float | int | None:
    """Return a finite number, ``None`` when it is absent or null."""
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise bad(path, f"{key} is {shown(value)}, expected a number")
    return value


def get_count(data: dict[str, Any], key: str, path: str) -> int | None:
    """Return a number above zero as an integer; ``None`` when absent, null, zero or below (``-1`` means none)."""
    value = get_number(data, key, path)
    if value is None or value < 1:
        return None
    if value != int(value):
        raise bad(path, f"{key} is {shown(value)}, expected a whole number")
    return int(value)


def get_texts(data: dict[str, Any], key: str, path: str) -> tuple[str, ...]:
    """Return a list of texts, empty when it is absent or null."""
    value = data.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad(path, f"{key} is {shown(value)}, expected a list of texts")
    return tuple(value)
