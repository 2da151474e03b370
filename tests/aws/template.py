"""Read the CloudFormation templates of this repository: their short functions in the long form that JSON has.

As a program it prints the workflow of fine-tuning as JSON, for scripts/check.
"""

from __future__ import annotations

import json
import re
import sys
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


def workflow(arn="{}"):
    """Return the definition of the workflow of fine-tuning as CloudFormation makes it of the template.

    Args:
        arn: what stands for the ARN of a thing, ``{}`` for its name.
    """
    properties = load("finetune/template.yml")["Resources"]["Workflow"]["Properties"]
    names = properties["DefinitionSubstitutions"]
    values = {name: arn.format(name.removesuffix("Arn")) if name.endswith("Arn") else name for name in names}
    text = json.dumps(properties["Definition"])
    return json.loads(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text))


if __name__ == "__main__":
    json.dump(workflow("arn:aws:iam::123456789012:role/{}"), sys.stdout, indent=2)
