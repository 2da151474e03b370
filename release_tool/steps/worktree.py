"""The files of the records in a repository: read together, changed together, written one after the other.

Each is written whole or not at all, and each can be made again from the ones before it, so a run that was killed in
between is repaired by running it again.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.bounded import NotReadable, read_bounded
from release_tool.core import ledger as ledgers
from release_tool.core import listing as listings
from release_tool.core.changelog import CHANGELOG
from release_tool.core.excluded import EXCLUDED, Exclusion, parse_excluded
from release_tool.core.history import HISTORY, HISTORY_TEMPLATE, history_of
from release_tool.core.ledger import LEDGER
from release_tool.core.listing import ALL_VERSIONS, LISTINGS, SERVED
from release_tool.core.text_diff import unified
from release_tool.core.yank import Records
from release_tool.documents import write_atomic
from release_tool.errors import RecordError
from release_tool.leftovers import sweep_beside
from release_tool.lock import REPOSITORY, hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from release_tool.core.ledger import Ledger
    from release_tool.core.listing import Listing

FILES = (LEDGER, HISTORY, ALL_VERSIONS, SERVED, EXCLUDED, CHANGELOG)
"""In the order in which they are written."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after; equal where nothing changes."""

    name: str
    before: bytes | None
    """Null where there was none."""
    after: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the files of a repository say."""

    repo: Path
    read: Mapping[str, bytes | None]
    """Name → bytes, of every one of ``FILES``; null where there is none."""
    records: Records
    excluded: tuple[Exclusion, ...]

    def text(self, name: str) -> str | None:
        """Return a file's text, what is not UTF-8 replaced; null where there is none."""
        data = self.read[name]
        return None if data is None else data.decode(errors="replace")

    def changes(self, after: Mapping[str, bytes]) -> tuple[Change, ...]:
        """Return the files that are to change, in the order in which they are written.

        Args:
            after: name → new bytes.

        Raises:
            RecordError: one of them is a link that leads out of the repository.
        """
        found = (Change(name, self.read[name], after[name]) for name in FILES if name in after)
        changes = tuple(one for one in found if one.before != one.after)
        for one in changes:
            place_of(self.repo, one.name)
        return changes


def read_state(repo: Path) -> State:
    """Read everything.

    Raises:
        RecordError: a file is not what it must be.
    """
    read = _read_all(repo)
    return _state(repo, read, *(listings.parse(read[name], name) for name in LISTINGS))


def read_mendable(repo: Path) -> tuple[State, tuple[str, ...]]:
    """Read everything, a listing that is none as an empty one; return what is wrong with those, too.

    Raises:
        RecordError: another file is not what it must be.
    """
    read = _read_all(repo)
    found, wrong = [], []
    for name in LISTINGS:
        try:
            found.append(listings.parse(read[name], name))
        except RecordError as error:
            found.append(listings.parse(None, name))
            wrong.append(str(error))
    return _state(repo, read, *found), tuple(wrong)


def _read_all(repo: Path) -> dict[str, bytes | None]:
    return {name: _read(repo / name, name) for name in FILES}


def _state(repo: Path, read: Mapping[str, bytes | None], all_versions: Listing, served: Listing) -> State:
    ledger = ledgers.parse(ledgers.EMPTY if (found := read[LEDGER]) is None else found)
    records = Records(ledger=ledger, all_versions=all_versions, served=served)
    return State(repo=repo, read=read, records=records, excluded=parse_excluded(read[EXCLUDED]))


def read_ledger(repo: Path) -> Ledger:
    """Read the ledger alone.

    Raises:
        RecordError: it is not what it must be.
    """
    found = _read(repo / LEDGER, LEDGER)
    return ledgers.parse(ledgers.EMPTY if found is None else found)


def _read(path: Path, name: str) -> bytes | None:
    try:
        return read_bounded(path)
    except FileNotFoundError:
        return None
    except (OSError, NotReadable) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise RecordError(f"{name} can't be read: {what}.", hint="Look at what lies there.") from error


def files_of(records: Records) -> dict[str, bytes]:
    """Return ledger and listings as they are to be written; a listing that never had an entry is not made."""
    found = {LEDGER: records.ledger.data()}
    for name, listing in ((ALL_VERSIONS, records.all_versions), (SERVED, records.served)):
        if listing.source is not None or listing.entries:
            found[name] = listing.data()
    return found


def history_page(ledger: Ledger, repo: Path) -> str:
    """Return MODEL_UPLOAD_HISTORY.md as the ledger makes it.

    Raises:
        UsageError: a template of the repository is wrong.
    """
    from release_tool.core.render import render_values
    from release_tool.steps.templates import load_templates

    texts, _ = load_templates(repo, (HISTORY_TEMPLATE,))
    return render_values(texts[HISTORY_TEMPLATE], {"history": history_of(ledger)}, name=HISTORY_TEMPLATE)


def with_history(state: State, records: Records) -> dict[str, bytes]:
    """Return every file that follows from the records."""
    return {**files_of(records), HISTORY: history_page(records.ledger, state.repo).encode()}


def write_changes(repo: Path, changes: Iterable[Change]) -> None:
    """Write what changed; a link stays one, and what it leads to gets the new bytes."""
    for change in changes:
        write_atomic(place_of(repo, change.name), change.after)


def place_of(repo: Path, name: str) -> Path:
    """Return where a file of the records lies, links followed.

    Raises:
        RecordError: it lies outside of the repository.
    """
    place = (repo / name).resolve()
    if place.is_relative_to(repo.resolve()):
        return place
    raise RecordError(
        f"{name} is a link that leads out of the repository; nothing was written.",
        hint="Put a file there, or a link to one inside of the repository.",
    )


def diff_of(changes: Iterable[Change]) -> str:
    """Return the changes as a unified diff."""
    return "".join(
        unified(one.name, (one.before or b"").decode(errors="replace"), one.after.decode()) for one in changes
    )


@contextmanager
def held(repo: Path, command: str, *, draft: bool) -> Iterator[None]:
    """Keep others from writing into the repository; a draft writes nothing and waits for nobody.

    What killed commands left beside the files is removed.
    """
    with unswept(), nullcontext() if draft else hold(repo, command, named=REPOSITORY) as since:
        if since is not None:
            _sweep(repo, since)
        yield


def _sweep(repo: Path, since: float) -> None:
    for name in FILES:
        with suppress(
            RecordError, OSError, RuntimeError
        ):  # a link that leads out, or in a circle: told when it is read
            sweep_beside([place_of(repo, name)], since)


@contextmanager
def unswept() -> Iterator[None]:
    """Keep the collector of cycles away: it looks again and again at thousands of rows, all of which are needed."""
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()
