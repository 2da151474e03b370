"""Read the CloudFormation templates of this repository: their short functions in the long form that JSON has."""

from __future__ import annotations

from pathlib import Path

import yaml

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "aws"


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's functions."""


def function(loader, suffix, node):
    """Return what a short function stands for: ``!Sub x`` is ``{"Fn::Sub": "x"}``."""
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    else:
        value = loader.construct_sequence(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".")
    return {"Ref" if suffix == "Ref" else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", function)


def load(name):
    """Return a template as data."""
    return yaml.load((TEMPLATES / name).read_text(encoding="utf-8"), Loader)  # noqa: S506 - a SafeLoader
