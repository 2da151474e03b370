"""Insert one line into a changelog that people write.

Law (a test holds it): the new file is the old one with one piece inserted; nothing else changes, no byte, whatever
line ends it has, whether it ends with one, and whether it begins with a mark. Where a release is named already,
nothing changes.

Two manners are known. With the marker of this project, entries stand right after it, newest first. Without it, they
stand at the end of ``### Changed`` in the first section that is not released yet; what is missing of these headings
is made, and a section that has been released is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from release_tool.errors import RecordError

CHANGELOG = "CHANGELOG.md"
MARKER = "<!-- released models follow, newest first -->"
UNRELEASED = "## [Unreleased]"
CHANGED = "### Changed"
ADDED = "### Added"
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
SHOWN_DIGITS = 12
"""Hexadecimal digits of the approved digest that an entry shows and is recognised by."""

EMPTY = f"# Changelog\n\n{UNRELEASED}\n\n### Models\n\n{MARKER}\n".encode()

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SECTION = re.compile(r" {0,3}## ")
_OPEN = re.compile(r" {0,3}## \[?unreleased\b", re.IGNORECASE)
_HEADING = re.compile(r" {0,3}#{1,3} ")
_HEX = re.compile(rf"(?<![0-9a-f])[0-9a-f]{{{SHOWN_DIGITS},64}}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    """Without its end."""
    end: str
    """``\\n``, ``\\r\\n``, or empty for a last line without one."""
    fenced: bool
    """Inside a block of code: never a heading."""

    def is_a(self, pattern: re.Pattern[str]) -> bool:
        return not self.fenced and pattern.match(self.text) is not None

    def is_heading(self, heading: str) -> bool:
        return not self.fenced and self.text.strip() == heading


def named(text: str) -> set[str]:
    """Return the first digits of every digest that a changelog names."""
    return {found[0][:SHOWN_DIGITS] for found in _HEX.finditer(text)}


def read(data: bytes, name: str = CHANGELOG) -> str:
    """Return the text of a changelog.

    Raises:
        RecordError: it is not UTF-8, with the line.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecordError(f"{name}, line {line}: it is not UTF-8 text.", hint="Save it as UTF-8.") from error


def insert(text: str, entry: str, digest: str) -> str:
    """Return a changelog with an entry.

    Args:
        text: of the changelog.
        entry: one line, without its end.
        digest: that was approved; where the text names it already, the text comes back unchanged.
    """
    if digest[:SHOWN_DIGITS] in named(text):
        return text
    if text.startswith(BOM):
        return BOM + insert(text.removeprefix(BOM), entry, digest)
    lines = _lines(text)
    end = next((line.end for line in lines if line.end), "\n")
    place, new = _after_marker(lines, entry) or _into_changed(lines, entry)
    start = sum(len(line.text) + len(line.end) for line in lines[:place])
    before = text[:start]
    if before and not before.endswith("\n"):
        return before + end + end.join(new) + text[start:]
    return before + "".join(line + end for line in new) + text[start:]


def _lines(text: str) -> list[_Line]:
    found = []
    fence = ""
    for raw in text.split("\n"):
        cut = raw.removesuffix("\r")
        mark = _FENCE.match(cut)
        inside = bool(fence)
        if mark and not fence:
            fence = mark[1]
        elif mark and fence and mark[1].startswith(fence) and not cut.strip().strip(fence[0]):
            fence = ""
        found.append(_Line(cut, raw[len(cut) :] + "\n", inside or bool(mark)))
    last = found.pop()
    # What follows the last line's end is no line; without that end the last one has none.
    whole = last.text + last.end.removesuffix("\n")
    return [*found, _Line(whole, "", last.fenced)] if whole else found


def _after_marker(lines: list[_Line], entry: str) -> tuple[int, list[str]] | None:
    place = next((index for index, line in enumerate(lines) if line.is_heading(MARKER)), None)
    if place is None:
        return None
    after = place + 1
    while after < len(lines) and not lines[after].text.strip():
        after += 1
    follows = after < len(lines) and lines[after].text.startswith(("- ", "* "))
    return (after if follows else place + 1), [entry]


def _into_changed(lines: list[_Line], entry: str) -> tuple[int, list[str]]:
    start = next((index for index, line in enumerate(lines) if line.is_a(_OPEN)), None)
    if start is None:
        first = next((index for index, line in enumerate(lines) if line.is_a(_SECTION)), len(lines))
        blank = [""] if first == len(lines) and lines and lines[-1].text.strip() else []
        return first, [*blank, UNRELEASED, "", CHANGED, entry, *([""] if first < len(lines) else [])]
    stop = _next(lines, start + 1, _SECTION)
    for heading, new in ((CHANGED, [entry]), (ADDED, ["", CHANGED, entry])):
        at = next((index for index in range(start + 1, stop) if lines[index].is_heading(heading)), None)
        if at is not None:
            return _end(lines, at, min(stop, _next(lines, at + 1, _HEADING))), new
    first = min(stop, _next(lines, start + 1, _HEADING))
    if first < stop:
        return first, [CHANGED, entry, ""]
    return _end(lines, start, stop), ["", CHANGED, entry]


def _next(lines: list[_Line], start: int, pattern: re.Pattern[str]) -> int:
    return next((index for index in range(start, len(lines)) if lines[index].is_a(pattern)), len(lines))


def _end(lines: list[_Line], start: int, stop: int) -> int:
    """Return the place after the last line between two that is not blank."""
    while stop > start + 1 and not lines[stop - 1].text.strip():
        stop -= 1
    return stop
