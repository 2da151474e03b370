"""The two listings of what can be had: one for people and documents, one for the plugin.

``pretrained_models_all_versions.json`` is the first; ``pre_trained_models.json`` is what the plugin reads before it
downloads anything. The first has formats and description a version, the second only names, versions and formats.
Entries that are not touched keep their place and their values, whatever stands in them; a file in which nothing
changes keeps its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core import json_rows
from release_tool.core.json_rows import Item
from release_tool.core.naming import ROOT
from release_tool.core.ordered import insert, insert_all, put_back, text_key, version_key
from release_tool.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

FOLDER = "model_listing"
ALL_VERSIONS = f"{FOLDER}/pretrained_models_all_versions.json"
SERVED = f"{FOLDER}/pre_trained_models.json"
"""The one that ``ModelHelper.isModelAllowed`` of ML Commons reads."""
LISTINGS = (ALL_VERSIONS, SERVED)

Entry = dict[str, Any]
STYLE = json_rows.Style(2)
HINT = "Correct {name} by hand, take the last good version from git, or make it anew: release-tool listing rebuild."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One version that can be had."""

    name: str
    """Registered name: ``huggingface/sentence-transformers/all-MiniLM-L6-v2``."""
    version: str
    formats: tuple[str, ...]
    """As they stand in object keys."""
    description: str | None = None
    """Null: what the listing says stays."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing file: its entries, and the text that they came from."""

    items: tuple[Item, ...]
    read: tuple[Item, ...] = ()
    source: str | None = None
    """Null where there is no file yet."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, in their order."""
        return tuple(dict(item.data) for item in self.items)

    def data(self) -> bytes:
        """Return the file; in the manner that it was written in, where that is a usual one."""
        if self.source is not None and self.items == self.read:
            return self.source.encode()
        return json_rows.render(self.items, json_rows.style_of(self.source or "\n", STYLE)).encode()

    def names(self) -> list[str]:
        """Return the names of all entries, in their order."""
        return [item.data["name"] for item in self.items]

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a name; null without one."""
        return next((dict(item.data) for item in self.items if item.data["name"] == name), None)

    def with_entry(self, name: str, entry: Entry | None, order: Sequence[str] = ()) -> Listing:
        """Return the listing with an entry replaced, inserted by its name, or left out (null).

        Args:
            name: of the entry.
            entry: what is to stand there.
            order: names in the order that they are to have, where it is not by name.
        """
        names = self.names()
        if entry is None:
            return self.with_items(item for item in self.items if item.data["name"] != name)
        if name in names and not order:
            place = names.index(name)
            return self.with_items((*self.items[:place], _changed(self.items[place], entry), *self.items[place + 1 :]))
        by_name = {item.data["name"]: item for item in self.items}
        by_name[name] = _changed(by_name[name], entry) if name in by_name else Item(entry)
        wanted = insert(put_back(order, names, by_name, text_key) if order else names, name, text_key)
        return self.with_items(by_name[item] for item in wanted)

    def with_items(self, items: Iterable[Item]) -> Listing:
        """Return the listing with other entries."""
        return Listing(tuple(items), self.read, self.source)


def _changed(item: Item, entry: Entry) -> Item:
    """Return an entry with other values; the very same one, with its own text, where none differs, nor their order."""
    same = item.data == entry and list(item.data) == list(entry)
    return item if same and list(item.data.get("versions", ())) == list(entry.get("versions", ())) else Item(entry)


def parse(data: bytes | None, name: str) -> Listing:
    """Read a listing file.

    Args:
        data: the file; null where there is none, which is an empty listing.
        name: ``ALL_VERSIONS`` or ``SERVED``, which tells what its entries must hold.

    Raises:
        RecordError: it is none, with the entry.
    """
    if data is None:
        return Listing(())
    hint = HINT.format(name=name)
    try:
        text = data.decode()
        items = json_rows.parse(text, Item, deep=True)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecordError(f"{name}, line {line}: it is not UTF-8 text.", hint=hint) from error
    except json_rows.Fault as fault:
        raise RecordError(f"{name}, entry {fault.item} (line {fault.line}): {fault}.", hint=hint) from fault
    seen: set[str] = set()
    for number, item in enumerate(items, 1):
        wrong = _fault(item.data, name, seen)
        if wrong:
            raise RecordError(f"{name}, entry {number}: {wrong}.", hint=hint)
        seen.add(item.data["name"])
    return Listing(items, items, text)


def _fault(entry: Mapping[str, Any], name: str, seen: set[str]) -> str | None:
    if not isinstance(entry.get("name"), str):
        return "it has no name"
    if entry["name"] in seen:
        return f"{entry['name']} stands there twice"
    if name == SERVED:
        lists = (entry.get("version"), entry.get("format"))
        return None if all(_is_words(one) for one in lists) else "its version and format are no lists of texts"
    versions = entry.get("versions")
    if not isinstance(versions, dict) or not all(isinstance(facts, dict) for facts in versions.values()):
        return "its versions are no object of objects"
    wrong = next((version for version, facts in versions.items() if not _is_words(facts.get("format"))), None)
    return None if wrong is None else f"the format of version {wrong} is no list of texts"


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def versions_of(listing: Listing, name: str) -> dict[str, tuple[str, ...]]:
    """Return version → formats of a name, as ``pretrained_models_all_versions.json`` has them."""
    entry = listing.entry(name)
    return {} if entry is None else {version: tuple(facts["format"]) for version, facts in entry["versions"].items()}


def pairs(listing: Listing) -> set[tuple[str, str]]:
    """Return every (name, version) of either listing."""
    found: set[tuple[str, str]] = set()
    for entry in listing.entries:
        versions = entry["versions"] if "versions" in entry else entry["version"]
        found.update((entry["name"], version) for version in versions)
    return found


def pair_key(pair: tuple[str, str]) -> tuple[object, ...]:
    """Return what (name, version) is ordered by."""
    return pair[0], version_key(pair[1])


def add_version(listing: Listing, one: Listed) -> Listing:
    """Return ``pretrained_models_all_versions.json`` with a version: formats added, the description replaced."""
    entry = listing.entry(one.name) or {"name": one.name, "versions": {}}
    versions: dict[str, Any] = entry["versions"]
    facts = dict(versions.get(one.version, {"format": []}))
    facts["format"] = insert_all(facts["format"], one.formats, text_key)
    if one.description is not None or "description" not in facts:
        facts["description"] = one.description or ""
    order = insert(list(versions), one.version, version_key)
    changed = {**entry, "versions": {item: facts if item == one.version else versions[item] for item in order}}
    return listing.with_entry(one.name, changed)


def add_served(listing: Listing, one: Listed) -> Listing:
    """Return ``pre_trained_models.json`` with a version and its formats."""
    entry = listing.entry(one.name) or {"name": one.name, "version": [], "format": []}
    changed = {
        **entry,
        "version": insert(entry["version"], one.version, version_key),
        "format": insert_all(entry["format"], one.formats, text_key),
    }
    return listing.with_entry(one.name, changed)


def take_version(listing: Listing, name: str, version: str) -> Listing:
    """Return ``pretrained_models_all_versions.json`` without a version; an entry without versions goes, too."""
    entry = listing.entry(name)
    if entry is None or version not in entry["versions"]:
        return listing
    left = {item: facts for item, facts in entry["versions"].items() if item != version}
    return listing.with_entry(name, {**entry, "versions": left} if left else None)


def take_served(listing: Listing, name: str, version: str, formats: Mapping[str, Collection[str]]) -> Listing:
    """Return ``pre_trained_models.json`` without a version, and without the formats that only this one had.

    Args:
        listing: the file.
        name: of the model.
        version: what goes.
        formats: version → formats of the model, as far as they are known; where one is not, no format goes.
    """
    entry = listing.entry(name)
    if entry is None or version not in entry["version"]:
        return listing
    left = [item for item in entry["version"] if item != version]
    if not left:
        return listing.with_entry(name, None)
    kept = entry["format"]
    if version in formats and all(item in formats for item in left):
        needed = {fmt for item in left for fmt in formats[item]}
        kept = [fmt for fmt in kept if fmt in needed or fmt not in formats[version]]
    return listing.with_entry(name, {**entry, "version": left, "format": kept})


def place_of(key: str) -> tuple[str, str, str] | None:
    """Return name, version and format of an object key that lies where an archive's files lie; null for another."""
    parts = key.split("/")
    if parts[0] != ROOT or len(parts) < 6 or parts[1] == FOLDER:
        return None
    return "/".join(parts[1:-3]), parts[-3], parts[-2]
