"""A unified diff of two texts that may be very long and differ in few places."""

from __future__ import annotations

import difflib
import re

CONTEXT = 3
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HUNK = re.compile(r"@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")


def unified(name: str, before: str, after: str) -> str:
    """Return the difference as ``diff -u`` shows it; empty where there is none.

    What is equal at both ends is cut off first: comparing line by line takes time by the square.

    Args:
        name: of the file.
        before: its text; empty for a new file.
        after: its new text.
    """
    if before == after:
        return ""
    old, new = _LINE.findall(before), _LINE.findall(after)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    head, tail = max(0, head - CONTEXT), max(0, tail - CONTEXT)
    pieces = difflib.unified_diff(
        old[head : len(old) - tail], new[head : len(new) - tail], f"a/{name}", f"b/{name}", n=CONTEXT
    )
    return "".join(_line(_moved(piece, head)) for piece in pieces)


def _moved(line: str, by: int) -> str:
    found = _HUNK.match(line)
    if found is None:
        return line
    start, length, other, much = int(found[1]) + by, found[2], int(found[3]) + by, found[4]
    return f"@@ -{start}{length} +{other}{much} @@\n"


def _line(text: str) -> str:
    return text if text.endswith("\n") else text + "\n\\ No newline at end of file\n"
