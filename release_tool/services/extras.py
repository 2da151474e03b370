"""The packages of each extra: one list for what doctor shows and for what a command refuses before it starts.

Nothing is imported: what is installed says its own version, in milliseconds.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.errors import MissingExtra, UsageError, install_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXTRA = "trace"
TRACE_PACKAGES: dict[str, str] = {
    "torch": "2.13",
    "transformers": "5.23",
    "sentence-transformers": "6.2",
    "onnx": "1.23",
    "onnxruntime": "1.31",
    "huggingface-hub": "2.4",
    "safetensors": "0.8",
    "tokenizers": "0.23",
    "sentencepiece": "0.2",
    "protobuf": "7",
    "numpy": "2",
}
"""Package → oldest version; the extra of setup.cfg (a test compares them)."""

QUALITY_EXTRA = "quality"
QUALITY_PACKAGES: dict[str, str] = {
    "ir-measures": "0.4.3",
    "pytrec-eval-terrier": "0.5.11",
    "scipy": "1.15",
}
"""The same of the extra for judged sets."""

FINETUNE_EXTRA = "finetune"
FINETUNE_PACKAGES: dict[str, str] = {
    "tantivy": "0.27",
    "bm25s": "0.3.16",
    "rensa": "0.5",
    "datasets": "5",
    "accelerate": "1.15",
    "boto3": "1.43",
    "opensearch-py": "3.2",
    "requests": "2.32",
}
"""The same of the extra for fine-tuning; it stands beside ``trace`` and ``quality``."""

FINETUNE_EXTRAS: dict[str, dict[str, str]] = {
    EXTRA: TRACE_PACKAGES,
    QUALITY_EXTRA: QUALITY_PACKAGES,
    FINETUNE_EXTRA: FINETUNE_PACKAGES,
}
"""What a whole fine-tuning run needs: the line that installs it names all of them, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package of an extra on this machine."""

    name: str
    oldest: str
    found: str | None
    """Its version, null when it is not installed."""

    @property
    def fits(self) -> bool:
        """Whether it is there and new enough."""
        return self.found is not None and numbers(self.found) >= numbers(self.oldest)


def packages(wanted: dict[str, str] | None = None) -> Iterator[Package]:
    """Yield every package of an extra, by default of ``trace``, as it is installed here."""
    for name, oldest in (TRACE_PACKAGES if wanted is None else wanted).items():
        try:
            found: str | None = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = None
        yield Package(name=name, oldest=oldest, found=found)


def require_finetune_extras(extras: Iterable[str]) -> None:
    """Refuse early when a package of one of these extras is missing or too old.

    Raises:
        as ``require_trace_extra``
    """
    for extra in extras:
        _require(",".join(FINETUNE_EXTRAS), FINETUNE_EXTRAS[extra])


def require_quality_extra() -> None:
    """Refuse early when a package is missing or too old that ranks or measures.

    Raises:
        as ``require_trace_extra``
    """
    _require(QUALITY_EXTRA, QUALITY_PACKAGES)


def require_trace_extra() -> None:
    """Refuse early when a package is missing or too old.

    Raises:
        MissingExtra: it is not installed.
        UsageError: it is older than what this tool was proven with.
    """
    _require(EXTRA, TRACE_PACKAGES)


def _require(extra: str, wanted: dict[str, str]) -> None:
    for package in packages(wanted):
        if package.found is None:
            raise MissingExtra(extra, package.name)
        if not package.fits:
            raise UsageError(
                f"This command needs {package.name} {package.oldest} or newer; {package.found} is installed.",
                hint=install_line(extra),
            )


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: 2.13.0+cu130 → (2, 13, 0)."""
    parts = []
    for part in version.partition("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)
