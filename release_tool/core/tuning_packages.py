"""The packages that the AWS template of fine-tuning runs: what they are called, where they lie, what pins them.

``scripts/build-finetune`` makes the two packages and a template with their sha256 and addresses. The three are
published together, under the tag of the build, and never change: a template that was taken keeps meaning the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from release_tool.core.publication import RELEASES

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "packages"
"""In the work folder."""
LAMBDA, TRAINING = "finetune-lambda.zip", "finetune-training.tar.gz"
TEMPLATE = "template.yml"
NAMES = (LAMBDA, TRAINING, TEMPLATE)
"""In the order in which they are published: whoever finds the template finds what it names."""
TAG_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
CONTENT_TYPES = {LAMBDA: "application/zip", TRAINING: "application/gzip", TEMPLATE: "application/yaml"}
_PINS = {LAMBDA: ("Lambda", "LambdaZipUrl"), TRAINING: ("Training", "TrainingScriptZipUrl")}


def key_of(tag: str, name: str) -> str:
    """Return the key of a file; no release is called ``finetune``: theirs is a digest."""
    return f"{RELEASES}finetune/{tag}/{name}"


def template_problems(text: str, digests: Mapping[str, str], tag: str, address: str) -> tuple[str, ...]:
    """Return what speaks against publishing a template, each the end of a sentence; empty where nothing does.

    Args:
        text: of the template.
        digests: name of a package → sha256 of what lies beside it.
        tag: of the build.
        address: of the bucket.
    """
    found = []
    if _one(r'(?m)^  Packages: "(.*)"$', text) != tag:
        found.append(f"is not that of {tag}")
    for name, (package, parameter) in _PINS.items():
        pinned = _one(rf'(?m)^    {package}:\n      Sha256: "([0-9a-f]{{64}})"$', text)
        if pinned != digests[name]:
            found.append(f"pins {pinned or 'nothing'} as {name}, and that is {digests[name]}")
        default = _one(rf"(?m)^  {parameter}:\n    Type: String\n    Default: (.*)$", text)
        wanted = f"{address}/{key_of(tag, name)}"
        if default != wanted:
            found.append(f"looks for {name} at {(default or 'no address')[:200]}, and it will lie at {wanted}")
    return tuple(found)


def _one(pattern: str, text: str) -> str | None:
    found = re.findall(pattern, text)
    return found[0] if len(found) == 1 else None
