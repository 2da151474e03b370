"""Documents of a JSONL file or of a folder of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.bounded import NotReadable, open_regular
from release_tool.core.digest import tree_digest
from release_tool.core.escape import one_line
from release_tool.core.finetune.raw_rows import rows_of_lines
from release_tool.core.quantity import clip
from release_tool.documents import file_sha256
from release_tool.errors import IntegrityError, UsageError
from release_tool.services.finetune.lines import SUFFIXES, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.finetune.raw_rows import RawRow


def jsonl_files(path: Path) -> list[Path]:
    """Return the JSONL files of a path: itself, or those of a folder in the order of their names.

    Raises:
        UsageError: a name of them is no UTF-8; no row of the rejects could tell it.
    """
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.name.endswith(SUFFIXES) and not one.name.startswith("."))
    for file in files:
        if any("\ud800" <= char <= "\udfff" for char in file.name):
            raise UsageError(f"{clip(one_line(file.name))} has a name that is not UTF-8.", hint="Rename it.")
    return files


class FileDocuments:
    """The documents of files; see ``steps.finetune.corpus_sources.Source`` for what each member promises."""

    unit = "B"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = jsonl_files(path)

    def check(self, pin: str) -> None:
        """Refuse files that are not those of the plan."""
        try:
            found = tree_digest((file.name, file_sha256(file)) for file in self.files)
        except OSError as error:
            raise self._unreadable(error.strerror or "") from error
        if found != pin:
            raise IntegrityError(
                f"{clip(one_line(str(self.path)))} is not what it was when the run was planned.",
                hint="Run release-tool finetune plan --recipe again: what depends on the documents will be run again.",
            )

    def total(self) -> int:
        """Return the bytes of all files."""
        return sum(file.stat().st_size for file in self.files)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows, file after file."""
        for file in self.files:
            try:
                with open_regular(file) as stream:
                    yield from rows_of_lines(lines_of(stream, file.name), file.name)
            except (OSError, NotReadable) as error:
                raise self._unreadable(str(getattr(error, "strerror", None) or error)) from error

    def _unreadable(self, why: str) -> UsageError:
        return UsageError(f"{clip(one_line(str(self.path)))} can't be read: {why}.", hint="Check corpus.path.")
