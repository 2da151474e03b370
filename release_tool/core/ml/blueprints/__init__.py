"""Connectors of the services that people use most, with named variables instead of the places that they forget."""

from __future__ import annotations

from release_tool.core.ml.blueprints import amazon, services
from release_tool.core.ml.blueprints.template import Blueprint, Variable, fill
from release_tool.core.request import closest
from release_tool.errors import UsageError

__all__ = ["BLUEPRINTS", "Blueprint", "Variable", "blueprint", "fill"]

BLUEPRINTS: tuple[Blueprint, ...] = (*services.BLUEPRINTS, *amazon.BLUEPRINTS)


def blueprint(name: str) -> Blueprint:
    """Return the blueprint of a name.

    Raises:
        UsageError: there is none; the closest is named.
    """
    found = next((one for one in BLUEPRINTS if one.name == name), None)
    if found is None:
        known = tuple(one.name for one in BLUEPRINTS)
        raise UsageError(f"There is no blueprint {name[:80]!r}: {closest(name, known)}.")
    return found
