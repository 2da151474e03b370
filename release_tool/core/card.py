"""Read the two things that a release takes from a model card: the licence and a sentence about the model.

The front matter is read by a small strict subset of YAML: top-level ``key: text``, ``key: [a, b]`` and ``key:`` with
``- item`` lines. Whatever goes beyond it (anchors, block texts, nested maps) counts as not said, so that a card can't
talk its way past the licence check: what is not plain is treated as missing, and a key given twice counts with all
its values. The body is hostile text; what is taken is stripped of markup and bounded.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from enum import StrEnum

from release_tool.core.escape import one_line
from release_tool.core.plan import LicenceFacts
from release_tool.core.request import AS_DECLARED

MAX_CARD_CHARACTERS = 400_000
MAX_VALUE_CHARACTERS = 100
MAX_PARAGRAPH_CHARACTERS = 4_000
"""Enough for the sentences that are taken; bounds what the expressions below look at."""

MAX_DESCRIPTION_CHARACTERS = 400
"""Cards open with one or two sentences; the listing shows them in a table."""

LISTED_LICENCES = frozenset(
    {
        "0bsd", "afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause",
        "bsd-3-clause-clear", "bsl-1.0", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
        "cdla-permissive-1.0", "cdla-permissive-2.0", "ecl-2.0", "isc", "mit", "mit-0", "ncsa", "odc-by", "pddl",
        "postgresql", "unlicense", "wtfpl", "zlib",
    }
)  # fmt: skip
"""Licences, by SPDX id as the hub writes them, that let anybody redistribute the weights in an archive with no duty
but attribution. Share-alike, copyleft, responsible-AI and house licences need a person who accepts them."""

UNDECLARED = "undeclared"
"""What a person has accepted who accepted the licence of a card that declares none."""

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)[ \t]*:(?:[ \t]+(.*))?")
_PLAIN = re.compile(r"[A-Za-z0-9][^\x00-\x1f{}\[\]&*!|>%@`]*")
_WANTED = frozenset({"license", "license_name", "language", "tags", "pipeline_tag"})


class LicenceVerdict(StrEnum):
    """What a licence means for a release."""

    LISTED = "listed"
    UNLISTED = "unlisted"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What was taken from a card."""

    licences: tuple[str, ...] = ()
    licence_name: str | None = None
    tags: tuple[str, ...] = ()
    """Lower case."""
    languages: tuple[str, ...] = ()
    pipeline_tag: str | None = None
    description: str | None = None
    """The first sentences under the title, free of markup, on one line."""


def read_card(data: bytes | None) -> Card:
    """Return what a README says; total: any bytes in, a card out."""
    if data is None:
        return Card()
    text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = text[:MAX_CARD_CHARACTERS]
    match = _FRONT.match(text)
    fields = _front_matter(match.group(1)) if match else {}
    return Card(
        licences=fields.get("license", ()),
        licence_name=next(iter(fields.get("license_name", ())), None),
        tags=tuple(tag.lower() for tag in fields.get("tags", ())),
        languages=fields.get("language", ()),
        pipeline_tag=next(iter(fields.get("pipeline_tag", ())), None),
        description=_first_prose(text[match.end() :] if match else text),
    )


def licence_facts(card: Card, accepted: str | None, accepted_by: str | None = None) -> LicenceFacts:
    """Return the licence as a plan records it; several licences are listed only when each of them is.

    Args:
        card: the model's.
        accepted: the licence that a person accepted by name, or ``AS_DECLARED``.
        accepted_by: that person's login, where it is known.
    """
    if not card.licences:
        accepted = UNDECLARED if accepted == AS_DECLARED else accepted
        return LicenceFacts(declared=None, listed=False, accepted=accepted, accepted_by=accepted_by)
    declared = ", ".join(card.licences)
    if card.licence_name and any(word.lower() == "other" for word in card.licences):
        declared = f"{declared} ({card.licence_name})"
    listed = all(word.lower() in LISTED_LICENCES for word in card.licences)
    declared = one_line(declared)[:200]
    accepted = declared if accepted == AS_DECLARED else accepted
    return LicenceFacts(declared=declared, listed=listed, accepted=accepted, accepted_by=accepted_by)


def verdict(facts: LicenceFacts) -> LicenceVerdict:
    """Return what the card's licence means, whatever a person accepted."""
    if facts.declared is None:
        return LicenceVerdict.MISSING
    return LicenceVerdict.LISTED if facts.listed else LicenceVerdict.UNLISTED


def accepts(facts: LicenceFacts) -> bool:
    """Tell whether --accept-licence names a licence that the card declares; any name will do where it declares none."""
    if facts.accepted in (None, facts.declared) or facts.declared is None:
        return True
    words = re.split(r"[,()\s]+", facts.declared.lower())
    return facts.accepted.lower() in words


# --- front matter ------------------------------------------------------------------------------------------------


def _front_matter(block: str) -> dict[str, tuple[str, ...]]:
    """Return the wanted keys that are plain throughout: one part that is not, and the whole key counts as not said."""
    found: dict[str, list[str | None]] = {}
    current: str | None = None
    for line in block.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        item = re.fullmatch(r"[ \t]*-[ \t]+(.*)", line)
        match = _KEY.fullmatch(line.rstrip())
        if item is not None:
            values: list[str | None] = [_scalar(item.group(1))]
        elif match is not None:
            current = match.group(1)
            values = _values(match.group(2))
        else:
            # A line that continues something (a block text, a folded scalar): beyond the subset.
            values = [None]
        if current in _WANTED:
            found.setdefault(current, []).extend(values)
    plain = {key: tuple(dict.fromkeys(value for value in values if value)) for key, values in found.items()}
    return {key: values for key, values in plain.items() if values and None not in found[key]}


def _values(text: str | None) -> list[str | None]:
    text = _uncomment(text or "")
    if not text:
        return []
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(part) for part in text[1:-1].split(",")]
    return [_scalar(text)]


def _uncomment(text: str) -> str:
    text = text.strip()
    return text if text[:1] in "'\"" else re.sub(r"[ \t]#.*", "", text).strip()


def _scalar(text: str) -> str | None:
    text = _uncomment(text)
    quoted = re.fullmatch(r"(?:'([^']*)'|\"([^\"\\]*)\")(?:[ \t]+#.*)?", text)
    if quoted:
        text = (quoted.group(1) or quoted.group(2) or "").strip()
    if text.lower() in ("null", "~") or len(text) > MAX_VALUE_CHARACTERS or not _PLAIN.fullmatch(text):
        return None
    return text


# --- body --------------------------------------------------------------------------------------------------------

_COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(^[ \t]*\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_IMAGE = re.compile(r"!\[[^\]\n]*\](\([^)\n]*\)|\[[^\]\n]*\])?")
_LINK = re.compile(r"\[([^\]\n]*)\](\([^()\n]*(\([^()\n]*\)[^()\n]*)*\)|\[[^\]\n]*\])")
_TAG = re.compile(r"<[/!?]?[A-Za-z][^<>]*>")
_NOT_PROSE = re.compile(r"\s*(#|[-*+][ \t]|\d+[.)][ \t]|\||>|={3,}|-{3,}|\$\$|:{3}|\[[^\]]*\]:)")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)|[\u3002\uff01\uff1f]")
"""Full stops of Latin scripts before a space, and the wide ones anywhere."""


def _first_prose(body: str) -> str | None:
    """Return the first sentences of the first paragraph under the title; without a title, of the first paragraph."""
    body = _FENCE.sub("\n", _COMMENT.sub(" ", body))
    title = re.search(r"^[ \t]*#[ \t]+\S.*$|^[ \t]*<h1\b.*$", body, re.MULTILINE | re.IGNORECASE)
    for text in (body[title.end() :], body) if title else (body,):
        for paragraph in re.split(r"\n[ \t]*\n|(?=^[ \t]*#)", text, flags=re.MULTILINE):
            prose = _prose(paragraph)
            if prose:
                return prose
    return None


def _prose(paragraph: str) -> str | None:
    lines: list[str] = []
    for line in paragraph[:MAX_PARAGRAPH_CHARACTERS].split("\n"):
        if _NOT_PROSE.match(line):
            if lines:
                break
            continue
        lines.append(line)
    text = _clean(" ".join(lines))
    # A row of badges or a bare link leaves a few words at most: no sentence.
    if len(re.findall(r"\w+", text)) < 3:
        return None
    return _sentences(text)


def _clean(text: str) -> str:
    text = _LINK.sub(r"\1", _IMAGE.sub(" ", text))
    text = html.unescape(_TAG.sub(" ", text))
    text = re.sub(r"(?<!\w)https?://\S+", " ", text)
    text = re.sub(r"`+|\*+|~~|(?<!\w)_+|_+(?!\w)|\\(?=[^\w\s])", "", text)
    return one_line(text)


def _sentences(text: str) -> str:
    if len(text) <= MAX_DESCRIPTION_CHARACTERS:
        return text
    head = text[:MAX_DESCRIPTION_CHARACTERS]
    ends = [match.end() for match in _SENTENCE_END.finditer(head)]
    if ends:
        return head[: ends[-1]].strip()
    return head.rsplit(" ", 1)[0].rstrip(",;:") if " " in head else head
