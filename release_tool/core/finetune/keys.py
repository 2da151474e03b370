"""A key of a recipe: its default, range and meaning stand beside the field itself, once.

A section is a frozen dataclass whose fields are made by ``key``; ``read_section`` reads it from TOML and finds all
faults at once, ``table`` renders what the documentation shows. Nothing else knows which keys there are.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip
from release_tool.core.request import closest
from release_tool.errors import Fault

T = TypeVar("T")

MAX_SHOWN = 80
LARGEST = 1e300
"""Above it a whole number of TOML may have no float; infinity and NaN are none of ours either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is known of one key beside its type and default."""

    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """A regular expression that the whole text must fit; "" where any text will do."""
    parameter: str = ""
    """The parameter of the AWS template that sets it; "" where none does."""
    is_required: bool = False
    may_be_secret: bool = False
    """Whether people write a secret there by mistake: what does not fit is not repeated."""

    @property
    def range(self) -> str:
        """What it may be, for people; "" where nothing bounds it."""
        if self.choices:
            return ", ".join(f"`{choice}`" for choice in self.choices)
        if self.low is not None and self.high is not None:
            return f"{_plain(self.low)} to {_plain(self.high)}"
        if self.low is not None:
            return f"from {_plain(self.low)}"
        return f"to {_plain(self.high)}" if self.high is not None else ""


def _plain(value: float) -> str:
    """Return a bound as people read it: 10,000,000 and not 1e+07."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def key(default: Any, meaning: str, **rules: Any) -> Any:
    """Return a field of a section.

    Args:
        default: its value where the recipe says nothing.
        meaning: one line, for the table of the documentation.
        rules: the other fields of ``Key``.
    """
    return field(default=default, metadata={"key": Key(meaning=meaning, **rules)})


def keys_of(section: type) -> dict[str, Key]:
    """Return name → key of a section, in the order in which they are declared."""
    if not is_dataclass(section):
        raise TypeError(f"{section} is no section")
    return {one.name: one.metadata["key"] for one in fields(section)}


def read_section(section: type[T], found: Any, name: str) -> tuple[T | None, list[Fault]]:
    """Read a section from what TOML gave; null with everything that is wrong with it.

    Args:
        section: its dataclass.
        found: the table of the recipe.
        name: of the table, for messages.
    """
    if not isinstance(found, dict):
        return None, [Fault(name, "is no table", f"write [{name}] and its keys below")]
    hints, known = get_type_hints(section), keys_of(section)
    faults = [
        Fault(f"{name}.{clip(one_line(word), MAX_SHOWN)}", "means nothing", closest(word, tuple(known)))
        for word in found
        if word not in known
    ]
    values: dict[str, Any] = {}
    for word, rule in known.items():
        if word not in found:
            if rule.is_required:
                faults.append(Fault(f"{name}.{word}", "is missing", rule.meaning))
            continue
        value, problem = _value(hints[word], found[word])
        problem = problem or rule_problem(rule, value)
        if problem:
            faults.append(Fault(f"{name}.{word}", problem, rule.meaning))
        else:
            values[word] = value
    return (None, faults) if faults else (section(**values), [])


def rule_problem(rule: Key, value: Any) -> str:
    """Say what is wrong with a value of the right type; "" where nothing is."""
    if value == "" and rule.is_required:
        return "is empty"
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str) and "\0" in one:
            return "holds a null character, which no name of anything has"
        if rule.choices and one not in rule.choices:
            return f"is {clip(one_line(str(one)), MAX_SHOWN)!r}: {closest(str(one), rule.choices)}"
        if rule.pattern and (one or rule.is_required) and not re.fullmatch(rule.pattern, one):
            what = "" if rule.may_be_secret else f"is {clip(one_line(one), MAX_SHOWN)!r}, which "
            return f"{what}does not fit {rule.pattern}"
        if isinstance(one, (int, float)) and not isinstance(one, bool) and not _inside(rule, one):
            return f"is {clip(str(one), MAX_SHOWN)}, allowed is {rule.range or 'a finite number'}"
    return ""


def _inside(rule: Key, value: float) -> bool:
    # A whole number of TOML can be larger than any float.
    is_finite = isinstance(value, int) or math.isfinite(value)
    return is_finite and (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)


def _value(wanted: Any, found: Any) -> tuple[Any, str]:
    """Return a value in the type of its field, or why it has none."""
    if wanted is bool:
        return found, "" if isinstance(found, bool) else "is neither true nor false"
    if wanted is int:
        return found, "" if isinstance(found, int) and not isinstance(found, bool) else "is no whole number"
    if wanted is float:
        is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
        return (float(found), "") if is_number and abs(found) < LARGEST else (found, "is no number")
    if wanted is str:
        return found, "" if isinstance(found, str) else "is no text"
    is_list = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return (tuple(found), "") if is_list else (found, "is no list of texts")


def changed(section: Any) -> dict[str, Any]:
    """Return the keys of a section that are not at their defaults: a key added later changes no fingerprint."""
    return {
        one.name: list(value) if isinstance(value := getattr(section, one.name), tuple) else value
        for one in fields(section)
        if value_differs(getattr(section, one.name), one.default)
    }


def value_differs(value: Any, default: Any) -> bool:
    """Tell whether two values differ, in type or in worth: 1 is not true."""
    return type(value) is not type(default) or value != default
