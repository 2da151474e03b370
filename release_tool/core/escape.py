"""Escape text that models, cards, servers and forms wrote, for each place where it is shown.

All functions are total: any string in, a string that can't break out of its place out.
"""

from __future__ import annotations

import html
import re
import unicodedata

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    r"\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Control characters, the invisible ones that reorder or hide text, and what UTF-8 or XML can't hold (lone
surrogates come out of JSON's own escapes); tab and newline are handled apart."""

_COMMAND_START = re.compile(r"^(\s*)::", re.MULTILINE)
_MARKDOWN = re.compile(r"([\\`*_\[\]<#|~$&@]|:(?=\S))")
"""What starts markup anywhere: round brackets and ``!`` mean something only beside square ones, ``:`` only before a
word (``:name:``, ``scheme:``)."""
_WWW = re.compile(r"(www)\.", re.IGNORECASE)
_LINE_START = re.compile(r"^(\d*)([.)](?=\s|$)|[=+>-])")
"""``1.``, ``-`` and ``+`` would start a list, ``===`` a heading, ``>`` a quotation."""

MAX_WORD = 300
"""Characters: longer than any path that people type, and than any digest."""
MAX_LINE = 2_000
_LONG_WORD = re.compile(rf"\S{{{MAX_WORD + 1},}}")

DESCRIPTION_FORBIDDEN = re.compile(r"[^\w\s.,!?():@\-/'\"]", re.UNICODE)


def plain(text: str) -> str:
    """Return text for a terminal: no escape sequences, no overwriting of lines; newlines stay."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def log_text(text: str) -> str:
    """Return text for a log that GitHub Actions may read: no line of it is a command to the runner.

    The runner obeys ``::command::`` at the start of a line, white space before it ignored, and ``##[command]``
    anywhere in one, on stdout and stderr alike.
    """
    shown = _COMMAND_START.sub(r"\1: :", plain(text))
    return shown.replace("##[", "## [")


def one_line(text: str) -> str:
    """Return text for one line: every run of white space becomes one space."""
    return plain(" ".join(text.split()))


def shortened(text: str) -> str:
    """Return text in which no word and no line is longer than a person reads: the middle is cut out.

    A name of a file or a model may have thousands of signs; what a message says about it stands behind it.
    """
    lines = (_LONG_WORD.sub(lambda found: _cut(found[0], MAX_WORD), line) for line in text.split("\n"))
    return "\n".join(_cut(line, MAX_LINE) for line in lines)


def _cut(text: str, limit: int) -> str:
    kept = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[:kept]}…{text[-kept:]}"


def annotation(text: str) -> str:
    """Return text for the message of a workflow command (``::error::…``)."""
    return plain_keep_newlines(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def annotation_property(text: str) -> str:
    """Return text for a property of a workflow command (``title=…``)."""
    return annotation(text).replace(":", "%3A").replace(",", "%2C")


def plain_keep_newlines(text: str) -> str:
    """Return text without control characters but newlines."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def markdown(text: str) -> str:
    """Return text for a cell of a Markdown table or a line of prose: no markup, no HTML, no mention, one line.

    GitHub makes links of ``www.`` and of addresses even where each sign is escaped (tried with its own cmark): the
    dot of the first is escaped, the second is cut by an empty comment, which also keeps ``@name`` from calling anyone.
    """
    escaped = _MARKDOWN.sub(r"\\\1", one_line(text)).replace("\\@", "\\@<!-- -->")
    escaped = _WWW.sub(r"\1\\.", escaped)
    return _LINE_START.sub(r"\1\\\2", escaped)


def code(text: str) -> str:
    """Return text as Markdown code inside a table cell: the fence is longer than any run of backticks inside."""
    line = one_line(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else ""


def html_text(text: str) -> str:
    """Return text for HTML content or a quoted attribute."""
    return html.escape(plain(text), quote=True)


def server_text(text: str) -> str:
    """Return text in the character set that ML Commons accepts for names and descriptions since 3.1 (#3805).

    ``&`` becomes ``and``; other characters outside letters, numbers, white space and ``. , ! ? ( ) : @ - _ / ' "``
    become a space; runs of white space become one space. Idempotent (a test holds that).
    """
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"\s*&(amp;)?\s*", " and ", text)
    kept = "".join(char if _served(char) else " " for char in text)
    return " ".join(kept.split())


def _served(char: str) -> bool:
    # Java's \p{L} and \p{N}: the Unicode categories L* and N*.
    return unicodedata.category(char)[0] in "LN" or char.isspace() or char in ".,!?():@-_/'\""
