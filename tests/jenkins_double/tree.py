"""The ``tree`` parameter of Jenkins's API: ``a,b[c,d[e]]{0,100}`` keeps only what it names."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\s*([A-Za-z_]\w*|\{\d*,\d*\}|[\[\],])")


def parse(text):
    """Return name → (fields below or null, range or null)."""
    tokens = TOKEN.findall(text)
    assert "".join(tokens) == text.replace(" ", ""), f"no tree: {text}"
    found, rest = _fields(tokens)
    assert not rest, f"no tree: {text}"
    return found


def _fields(tokens):
    found = {}
    while tokens:
        name, tokens = tokens[0], tokens[1:]
        assert re.fullmatch(r"\w+", name), name
        below = cut = None
        if tokens and tokens[0] == "[":
            below, tokens = _fields(tokens[1:])
            assert tokens[0] == "]"
            tokens = tokens[1:]
        if tokens and tokens[0].startswith("{"):
            first, _, last = tokens[0][1:-1].partition(",")
            cut, tokens = slice(int(first or 0), int(last) if last else None), tokens[1:]
        found[name] = (below, cut)
        if not tokens or tokens[0] != ",":
            break
        tokens = tokens[1:]
    return found, tokens


def prune(data, wanted):
    """Return JSON data with only the wanted fields; ``_class`` is always there."""
    if isinstance(data, list):
        return [prune(item, wanted) for item in data]
    if not isinstance(data, dict) or wanted is None:
        return data
    kept = {"_class": data["_class"]} if "_class" in data else {}
    for name, (below, cut) in wanted.items():
        if name in data:
            value = data[name] if cut is None else data[name][cut]
            kept[name] = prune(value, below)
    return kept
