"""Changes of a cluster's settings: what a person asks for, what is there, and the one request that makes them.

Always persistent: a transient value is gone with the next full restart, and until then it hides the persistent one.
Addresses are added to what is trusted already; nobody loses one by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from release_tool.core.ml.cluster_settings import (
    BY_NAME,
    PREFIX,
    Effective,
    Kind,
    Setting,
    ValueFault,
    parse_value,
)
from release_tool.core.ml.request import Request
from release_tool.core.ml.trusted import SETTING as TRUSTED_ENDPOINTS
from release_tool.core.ml.trusted import expression_for, is_trusted, merged, trusted_of
from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = "default"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s*^$|()\[\]\\{}]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting before and after."""

    name: str
    before: Any
    after: Any
    """Null: the value is taken away, and the default holds."""
    note: str | None = None
    """What a person should know; a sentence."""

    @property
    def is_none(self) -> bool:
        """Whether the setting is what was asked for already."""
        return self.after is not None and _same(self.before, self.after)


def _same(before: Any, after: Any) -> bool:
    if isinstance(after, list):
        return isinstance(before, list) and [str(one) for one in before] == [str(one) for one in after]
    return str(before).lower() == str(after).lower()


def plan_changes(
    asked: Iterable[str], effective: Effective, version: str
) -> tuple[tuple[Change, ...], tuple[Fault, ...]]:
    """Return the changes that ``NAME=VALUE`` stand for, and what is wrong with any of them.

    Args:
        asked: ``NAME=VALUE``; ``NAME`` alone where one value lets things be done; ``NAME=default`` takes a value away.
        effective: what is there.
        version: of the server.
    """
    changes: dict[str, Change] = {}
    faults = []
    for one in asked:
        name, equals, value = one.partition("=")
        name = name.strip().removeprefix(PREFIX)
        before = changes[name].after if name in changes else _before(effective, name)
        try:
            setting = _setting(name, effective, version)
            after = _after(setting, value if equals else None, before)
        except ValueFault as fault:
            faults.append(Fault(f"--apply {one[:120]}", str(fault)))
            continue
        first = changes[name].before if name in changes else before
        changes[name] = Change(name=name, before=first, after=after, note=_note(setting, version))
    return tuple(changes.values()), tuple(faults)


def _before(effective: Effective, name: str) -> Any:
    found = effective.all.get(name)
    return None if found is None else found.value


def _setting(name: str, effective: Effective, version: str) -> Setting:
    setting = BY_NAME.get(name)
    stands = effective.all.get(name)
    if stands is not None and stands.source == "transient":
        raise ValueFault(
            f"a transient value, {str(stands.value)[:60]!r}, hides what would be written; take it away first: PUT "
            f'/_cluster/settings {{"transient": {{"{PREFIX}{name}": null}}}}'
        )
    if setting is None:
        if stands is None:
            close = get_close_matches(name, {*BY_NAME, *effective.all}, n=1)
            raise ValueFault("there is no such setting" + (f"; did you mean {close[0]}?" if close else ""))
        kind = Kind.LIST if isinstance(stands.value, list) else Kind.TEXT
        return Setting(name=name, kind=kind, what="")
    # A server that tells its defaults knows best what it has; one that does not is judged by its version.
    if stands is None and not setting.is_known(version):
        raise ValueFault(f"servers know it from {setting.since} on, this one is {version}")
    if stands is None and setting.instead and not setting.is_heeded(version):
        raise ValueFault(f"it is called {setting.instead} from {setting.until} on")
    return setting


def _note(setting: Setting, version: str) -> str | None:
    if setting.until and not setting.is_heeded(version):
        also = f"; {setting.instead} took its place" if setting.instead else ""
        return f"{setting.name} has no effect from {setting.until} on{also}."
    return None


def _after(setting: Setting, value: str | None, before: Any) -> Any:
    if value is None:
        if setting.opens is None:
            raise ValueFault(f"give its value: {setting.kind.value}")
        value = setting.opens
    if value.strip().lower() == DEFAULT:
        return None
    after = parse_value(setting, value)
    if setting.kind is Kind.EXPRESSION:
        return with_address(str(before or ""), after)
    if setting.kind is Kind.EXPRESSIONS:
        return with_endpoint(_listed(before), after)
    return after


def _listed(before: Any) -> list[Any]:
    """Return a list as it stands; old servers print their defaults as one text."""
    if isinstance(before, list):
        return before
    return list(trusted_of({"defaults": {TRUSTED_ENDPOINTS: before}}).expressions) if before else []


def is_address(text: str) -> bool:
    """Tell whether a text is an address and not a regular expression."""
    return _ADDRESS.fullmatch(text) is not None and bool(urlsplit(text).scheme)


def with_address(expression: str, added: str) -> str:
    """Return an expression that trusts what it did before and an address, or what another expression trusts.

    The server looks for it anywhere in an address (``find``), so each branch brings its own anchors.

    Raises:
        ValueFault: what is added is no regular expression.
    """
    new = _expression(added)
    if expression and ((is_address(added) and _finds(expression, added)) or _has_branch(expression, new)):
        return expression
    return f"{expression}|(?:{new})" if expression else new


def _has_branch(expression: str, new: str) -> bool:
    return expression == new or expression.endswith(f"|(?:{new})") or f"|(?:{new})|" in expression


def _finds(expression: str, address: str) -> bool:
    try:
        return re.search(expression, address) is not None
    except re.error:
        return False


def _expression(added: str) -> str:
    if is_address(added):
        parts = urlsplit(added)
        if parts.netloc:
            return expression_for(added)
        # Of files only those of the same folder: a node has others that nobody should register.
        folder = re.sub(r"([.+])", r"\\\1", parts.path.rpartition("/")[0])
        return f"^{parts.scheme}://{folder}/[^/]*$"
    try:
        re.compile(added)
    except re.error as error:
        # Java knows a few things more, and all of them begin with a backslash or a bracket that Python reads.
        raise ValueFault(f"it is no regular expression: {error}") from error
    return added


def with_endpoint(expressions: list[Any], added: str) -> list[str]:
    """Return the whole list with an address, or an expression, at its end; the list itself where it has it.

    Raises:
        ValueFault: what is added is no regular expression.
    """
    have = [str(one) for one in expressions]
    if is_address(added):
        return have if is_trusted(added, have) else list(merged(have, [added]))
    new = _expression(added)
    return have if new in have else [*have, new]


def write(changes: Iterable[Change]) -> Request:
    """Return the request that makes all changes at once, where they outlive a restart."""
    return Request(
        method="PUT", path="/_cluster/settings",
        body={"persistent": {PREFIX + change.name: change.after for change in changes}},
    )  # fmt: skip
