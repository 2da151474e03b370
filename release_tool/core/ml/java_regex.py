"""What can be said of a regular expression that Java will read: that it is broken, that it is sound, or nothing.

Java's dialect and Python's share what people write. What is Java's own (classes of Unicode, quotation, flags in the
middle) is put in Python's words first; where that fails too, nothing is claimed.
"""

from __future__ import annotations

import re
import warnings
from enum import StrEnum

_QUOTATION = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)
_UNICODE_CLASS = re.compile(r"\\[pP](?:\{[^{}]*\}|[A-Z])")
_NAMED = re.compile(r"\(\?<([A-Za-z][A-Za-z0-9]*)>")
_FLAGS = re.compile(r"\(\?[idmsuxU-]+\)")
_OWN = {r"\h": r"[ \t]", r"\R": r"\n", r"\z": r"\Z", r"\X": ".", r"\G": ""}
_BROKEN = re.compile(
    r"unterminated|unbalanced|nothing to repeat|missing \)|bad character range|min repeat|multiple repeat"
)
_OPEN_START = re.compile(
    r"(?:\(\?[a-zA-Z-]+\))*\^?(?:\(\?[a-zA-Z-]+\))*(?:\.[*+]|\[\\s\\S\][*+]|\[\\w\\W\][*+]|\\?\{|\(\?s:)"
)
_OPEN_END = re.compile(r"(?:\.[*+][?+]?|\[\\s\\S\][*+]|\[\\w\\W\][*+]|\})\$?\Z")
_DOT_ALL = re.compile(r"\(\?[a-zA-Z]*s[a-zA-Z]*[):]|\[\\s\\S\]|\[\\w\\W\]|\\R")


class Soundness(StrEnum):
    """What is known of an expression."""

    SOUND = "sound"
    BROKEN = "broken"
    UNKNOWN = "unknown"


def soundness(expression: str) -> tuple[Soundness, str]:
    """Return what is known of a Java expression, and the words where it is broken."""
    text = _QUOTATION.sub(lambda found: re.escape(found[1]), expression)
    text = _FLAGS.sub("", _NAMED.sub(r"(?P<\1>", _UNICODE_CLASS.sub(r"\\w", text)))
    for own, ours in _OWN.items():
        text = text.replace(own, ours)
    try:
        with warnings.catch_warnings():
            # Python warns of sets that it may read otherwise one day; Java reads them.
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
    except re.error as error:
        return (Soundness.BROKEN, error.msg) if _BROKEN.search(error.msg) else (Soundness.UNKNOWN, error.msg)
    except (OverflowError, RecursionError) as error:
        return Soundness.UNKNOWN, str(error)
    return Soundness.SOUND, ""


def takes_any_surroundings(expression: str) -> bool:
    """Tell whether an expression that must match all of a text leaves room before and after what it looks for."""
    return bool(_OPEN_START.match(expression) and _OPEN_END.search(expression))


def crosses_lines(expression: str) -> bool:
    """Tell whether the room that it leaves may hold line breaks: a dot of Java's does not, unless told."""
    return _DOT_ALL.search(expression) is not None


def widened(expression: str) -> str:
    """Return an expression that matches all of a text where this one is found anywhere in it."""
    return f"(?s).*{expression.removeprefix('^').removesuffix('$')}.*"
