"""What is measured and what it is held against: the cases, their commands, the targets of the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TORCH_SCRIPT, ONNX = "torch_script", "onnx"
RSS_TARGET = 0.9
"""Largest ``ru_maxrss`` of any one process, ours through the peer's."""
WRITTEN_TARGET = 1.1
"""Bytes that ``trace`` writes a format, through the bytes of the model's weights."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model, what we do with it, and what the peer does."""

    model: str
    formats: tuple[str, ...]
    proven: bool
    """Whether our time includes the runtime certificate of every archive (``run``) or the export alone."""
    wall_target: float

    def ours(self, python: str, model: Path, work: Path) -> list[str]:
        """Return the timed command."""
        return self._command(python, model, work, "run" if self.proven else "trace")

    def trace(self, python: str, model: Path, work: Path) -> list[str]:
        """Return the command whose written bytes count; the timed one where no certificate is timed."""
        return self._command(python, model, work, "trace")

    def _command(self, python: str, model: Path, work: Path, step: str) -> list[str]:
        form = self.formats[0] if len(self.formats) == 1 else "both"
        more = ["--no-answers"] if step == "trace" and not self.proven else []
        return [
            python, "-P", "-m", "release_tool", "--work", str(work), step, str(model),
            "--version", "1.0.0", "--format", form, *more,
        ]  # fmt: skip

    def validate(self, python: str, work: Path) -> list[str]:
        """Return the command that makes the certificates after an export without them."""
        return [python, "-P", "-m", "release_tool", "--work", str(work), "validate"]

    def peer(self, python: str, script: Path, form: str, model: Path, out: Path) -> list[str]:
        """Return the peer's command for one format."""
        return [python, "-P", str(script), "--format", form, "--model", str(model), "--out", str(out)]

    @property
    def what(self) -> str:
        """What our time covers, for the report."""
        formats = "both formats" if len(self.formats) > 1 else "TorchScript"
        return f"{formats}, plan to review with runtime certificates" if self.proven else f"{formats}, export only"


CASES = (
    Case(model="minilm", formats=(TORCH_SCRIPT, ONNX), proven=True, wall_target=0.4),
    Case(model="bert-base", formats=(TORCH_SCRIPT, ONNX), proven=True, wall_target=0.4),
    Case(model="bert-large", formats=(TORCH_SCRIPT, ONNX), proven=False, wall_target=0.5),
    Case(model="xlmr-large", formats=(TORCH_SCRIPT,), proven=False, wall_target=0.5),
)
