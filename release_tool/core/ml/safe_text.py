"""The characters that servers from 3.1 on take in names and descriptions.

Source: ML Commons ``StringUtils.SAFE_INPUT_PATTERN``, tag 3.6.0.0; older servers take any.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

_PUNCTUATION = frozenset(".,!?():@-_/'\"")
_SPACE = frozenset(" \t\n\x0b\f\r")
"""Java's ``\\s``: no other white space."""


def is_safe(text: str) -> bool:
    """Tell whether the server takes every character: letters, numbers, its white space and punctuation."""
    return all(sign in _PUNCTUATION or sign in _SPACE or unicodedata.category(sign)[0] in "LN" for sign in text)


def safe_text_fault(field: str, value: Any) -> Iterator[Fault]:
    """Yield the fault of a name or a description; none for null."""
    if value is None:
        return
    if not isinstance(value, str):
        yield Fault(field, "is no text")
        return
    bad = dict.fromkeys(sign for sign in value if not is_safe(sign))
    if bad:
        yield Fault(
            field,
            f"holds {' '.join(ascii(sign)[1:-1] for sign in bad)}, which servers from 3.1 on refuse",
            "letters, numbers, spaces and . , ! ? ( ) : @ - _ / ' \" are taken",
        )
