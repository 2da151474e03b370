"""Documents of a JSONL file or of a folder of them."""

from __future__ import annotations

import hashlib
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
    from typing import BinaryIO

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
        self._pin: str | None = None

    def check(self, pin: str) -> None:
        """Refuse files that are not those of the plan; ``rows`` holds to the same ones from then on."""
        try:
            self._compare([(file.name, file_sha256(file)) for file in self.files], pin)
        except OSError as error:
            raise self._unreadable(error.strerror or "") from error
        self._pin = pin

    def _compare(self, digests: list[tuple[str, str]], pin: str) -> None:
        if tree_digest(digests) != pin:
            raise IntegrityError(
                f"{clip(one_line(str(self.path)))} is not what it was when the run was planned.",
                hint="Run release-tool finetune plan --recipe again: what depends on the documents will be run again.",
            )

    def total(self) -> int:
        """Return the bytes of all files."""
        return sum(file.stat().st_size for file in self.files)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows, file after file.

        Raises:
            IntegrityError: after the last one, where what was read is not what was checked: somebody wrote meanwhile.
        """
        digests = []
        for file in self.files:
            try:
                with open_regular(file) as stream:
                    read = _Digested(stream)
                    yield from rows_of_lines(lines_of(read, file.name), file.name)
                    digests.append((file.name, read.digest.hexdigest()))
            except (OSError, NotReadable) as error:
                raise self._unreadable(str(getattr(error, "strerror", None) or error)) from error
        if self._pin is not None:
            self._compare(digests, self._pin)

    def _unreadable(self, why: str) -> UsageError:
        return UsageError(f"{clip(one_line(str(self.path)))} can't be read: {why}.", hint="Check corpus.path.")


class _Digested:
    """Passes bytes on and keeps their digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""
        data = self.stream.read(size)
        self.digest.update(data)
        return data
