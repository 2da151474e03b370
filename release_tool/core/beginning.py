"""Cut a Markdown page that is too large for a step summary: its beginning, whole sections as far as they fit."""

from __future__ import annotations

import re

MAX_SUMMARY_BYTES = 1024 * 1024
"""GitHub takes 1 MiB a step, and shows nothing at all of a summary that is larger."""

_FENCE = re.compile(r"(`{3,}|~{3,})")


def beginning(text: str, room: int, whole: str = "") -> str:
    """Return a page that fits.

    Args:
        text: the page, with a final newline.
        room: bytes, in UTF-8.
        whole: a sentence that says where the whole page is.

    Returns:
        The page itself where it fits. Else what stands before a heading of the second level, the first one's section
        included, and a note; where not even that fits, its first lines, and a note. Empty where the note does not fit.
    """
    if len(text.encode()) <= room:
        return text
    note = f"\n**Cut here: this is more than GitHub shows.** {whole}".rstrip() + "\n"
    left = room - len(note.encode())
    if left < 0:
        return ""
    kept, headings, sections, fence = 0, 0, 0, ""
    for line in text.splitlines(keepends=True):
        if not fence and line.startswith("## "):
            headings += 1
            sections = kept if headings > 1 else 0
        size = len(line.encode())
        if size > left:
            break
        fence = _after(line, fence)
        left -= size
        kept += len(line)
    return text[: sections or kept] + note


def _after(line: str, fence: str) -> str:
    """Return the fence that is open after a line, empty where none is."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    if not fence:
        return found[0]
    return "" if found[0].startswith(fence) and not line[found.end() :].strip() else fence
