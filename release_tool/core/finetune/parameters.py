"""A recipe as parameters of the AWS template, and parameters as a recipe.

A key and its parameter are the same thing under two names (``Key.parameter``). What has no parameter stands in a recipe
in S3 that the stack is given (``RecipeUri``); parameters go over it.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, get_type_hints

from release_tool.core.finetune.keys import keys_of
from release_tool.core.finetune.recipe import SECTIONS
from release_tool.core.finetune.sections_aws import GPUS
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.finetune.recipe import Recipe

WORDS = {"true": True, "false": False}


def parameter_keys() -> dict[str, tuple[str, str]]:
    """Return parameter → (section, key) of every key that has one."""
    return {
        rule.parameter: (section, name)
        for section, cls in SECTIONS.items()
        for name, rule in keys_of(cls).items()
        if rule.parameter
    }


def parameters_of(recipe: Recipe) -> dict[str, str]:
    """Return the parameters that say what a recipe says, all of them, in the order of the recipe."""
    found = {}
    for parameter, (section, name) in parameter_keys().items():
        value = getattr(getattr(recipe, section), name)
        if isinstance(value, bool):
            found[parameter] = str(value).lower()
        else:
            found[parameter] = ",".join(value) if isinstance(value, tuple) else str(value)
    return found


def recipe_data(parameters: Mapping[str, str], base: bytes = b"") -> dict[str, dict[str, Any]]:
    """Return the tables of a recipe: a recipe with parameters over it. What is not given keeps its default.

    Args:
        parameters: name → text; those that are empty, or of no key, say nothing.
        base: a recipe in TOML, which needs no name of a model.

    Raises:
        RequestError: values that are none of their keys, all of them; or the base is no TOML.
    """
    try:
        data: dict[str, Any] = tomllib.loads(base.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RequestError((Fault("RecipeUri", f"is no TOML: {error}"),)) from error
    faults = []
    for parameter, (section, name) in parameter_keys().items():
        text = parameters.get(parameter, "").strip()
        if not text:
            continue
        try:
            value = _read(get_type_hints(SECTIONS[section])[name], text)
        except ValueError:
            faults.append(Fault(parameter, f"is {text[:60]!r}, which is no value of {section}.{name}"))
            continue
        table = data.setdefault(section, {})
        if isinstance(table, dict):  # another thing is a fault of the base, which the recipe's reader tells
            table[name] = value
    if faults:
        raise RequestError(tuple(faults))
    return data


def with_machine(data: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the tables with one process of scoring and of training a GPU of the machines, unless they say how many."""
    machines = data.get("aws", {})
    train = {"processes": GPUS.get(machines.get("training_instance", ""), 1), **data.get("train", {})}
    engine = {"processes": GPUS.get(machines.get("scoring_instance", ""), 1), **data.get("engine", {})}
    return {**data, "train": train, "engine": engine}


def _read(hint: Any, text: str) -> Any:
    if hint is bool:
        if text not in WORDS:
            raise ValueError(text)
        return WORDS[text]
    if hint in (int, float):
        return hint(text)
    return [one.strip() for one in text.split(",")] if hint is not str else text


def tables_text(data: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of plain values as TOML; empty ones are left out."""
    blocks = [
        f"[{section}]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in table.items())
        for section, table in data.items()
        if table
    ]
    return "\n".join(blocks)


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, float):
        text = repr(value)
        # TOML wants a digit on both sides of a point: 5e-06 is right as it is, 1e16 too.
        return text if "e" in text or "." in text else f"{text}.0"
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)
