"""The workflows as data: jobs, steps and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
RELEASING = (
    "release-model.yml",
    "trace.yml",
    "publish.yml",
    "update-listing.yml",
    "tune-model.yml",
    "publish-finetune.yml",
)


@dataclass(frozen=True)
class Job:
    """One job of one workflow."""

    file: str
    id: str
    data: dict[str, Any]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.data.get("steps", [])

    @property
    def environment(self) -> str | None:
        return self.data.get("environment")

    @property
    def rights(self) -> dict[str, str] | None:
        return self.data.get("permissions")

    @property
    def needs(self) -> list[str]:
        needs = self.data.get("needs", [])
        return [needs] if isinstance(needs, str) else needs

    @property
    def name(self) -> str:
        return f"{self.file}:{self.id}"

    def runs(self) -> list[dict[str, Any]]:
        return [step for step in self.steps if "run" in step]


def read(name: str) -> dict[Any, Any]:
    """Return a workflow; YAML reads its key ``on`` as true."""
    found = yaml.safe_load((WORKFLOWS / name).read_text())
    found["on"] = found.pop(True)
    return found


def jobs(*files: str) -> list[Job]:
    """Return every job of these workflows, of all where none is named."""
    names = files or tuple(sorted(path.name for path in WORKFLOWS.iterdir()))
    return [Job(name, id_, data) for name in names for id_, data in read(name)["jobs"].items()]
