"""Parse what a person says about speed: budgets, lengths and rounds; every fault is collected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from release_tool.core.modeljson import shown
from release_tool.core.request import closest
from release_tool.core.speed import BUDGETS, BYTES, LARGER, MAX_LENGTHS, MEMORY, SLOWER
from release_tool.core.speed_ratio import MIN_ROUNDS
from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ROUNDS = 10_000
MAX_TOKENS = 512
"""More than that the server cuts off."""
MAX_RATIO = 1000.0


def parse_budgets(given: Iterable[str]) -> tuple[dict[str, float], list[Fault]]:
    """Return name → number of ``NAME=NUMBER``, and what is wrong with others."""
    budgets: dict[str, float] = {}
    faults = []
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        problem = None
        if not equals or name not in BUDGETS:
            known = f"{name}=NUMBER is one" if name in BUDGETS else closest(name, tuple(BUDGETS))
            problem, hint = f"{shown(text)!r} is no budget", f"{known}, such as slower=1.05"
        elif name in budgets:
            problem, hint = f"{name} is given twice", "give each once"
        else:
            problem, hint = number_fault(name, value)
        if problem is not None:
            faults.append(Fault("--budget", problem, hint))
        else:
            budgets[name] = float(value)
    return budgets, faults


def number_fault(name: str, value: str) -> tuple[str | None, str]:
    """Return what is wrong with the number of a budget and what would be right; null where nothing is."""
    try:
        number = float(value)
    except ValueError:
        return f"{name} is {shown(value)!r}, which is no number", BUDGETS[name]
    if not math.isfinite(number) or number <= 0:
        return f"{name} is {shown(value)}", "a positive number"
    if name in (SLOWER, LARGER) and number > MAX_RATIO:
        return f"{name} is {shown(value)}", f"a ratio, {MAX_RATIO:g} at most"
    if name in (BYTES, MEMORY) and number != int(number):
        return f"{name} is {shown(value)}", "whole bytes"
    return None, ""


def parse_lengths(text: str | None) -> tuple[tuple[int, ...] | None, list[Fault]]:
    """Return the lengths of ``8,64``, each once, shortest first; null where none was named."""
    if text is None:
        return None, []
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and 0 < int(word) <= MAX_TOKENS)]
    if wrong or not words:
        return None, [
            Fault("--lengths", f"{shown(text)!r} names no lengths", f"such as 8,64; 1 to {MAX_TOKENS} tokens")
        ]
    lengths = tuple(sorted({int(word) for word in words}))
    if len(lengths) > MAX_LENGTHS:
        return None, [Fault("--lengths", f"names {len(lengths)} lengths", f"{MAX_LENGTHS} at most")]
    return lengths, []


def rounds_fault(rounds: int | None) -> list[Fault]:
    """Return what is wrong with a number of rounds."""
    if rounds is None or MIN_ROUNDS <= rounds <= MAX_ROUNDS:
        return []
    return [Fault("--rounds", f"{rounds} is too {'few' if rounds < MIN_ROUNDS else 'many'}", f"{MIN_ROUNDS} or more")]
