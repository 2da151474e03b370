"""Templates: the packaged ones, and those of the repository, which win."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.digest import sha256_bytes
from release_tool.errors import UsageError
from release_tool.packaged import read_packaged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

OWN_TEMPLATES = "templates"
MAX_TEMPLATE_BYTES = 1_000_000


def load_templates(repo: Path, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return template → text, and template → sha256 of those that the repository brings along itself.

    A file of ``templates/`` in the repository wins over the packaged one of the same name.

    Args:
        repo: the repository.
        names: of the templates.

    Raises:
        UsageError: such a file can't be read as UTF-8 text.
    """
    texts, overridden = {}, {}
    for name in names:
        own = repo / OWN_TEMPLATES / name
        packaged = read_packaged(f"templates/{name}")
        data = packaged
        if own.is_file():
            if own.stat().st_size > MAX_TEMPLATE_BYTES:
                raise UsageError(f"The template {name} is larger than 1 MB.", hint="Is it the right file?")
            data = own.read_bytes()
        try:
            texts[name] = data.decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"The template {name} of the repository is not UTF-8 text.",
                hint=f"Correct {OWN_TEMPLATES}/{name}, or remove it to use the packaged one.",
            ) from error
        if data != packaged:
            overridden[name] = sha256_bytes(data)
    return texts, overridden
