"""The setting that says which addresses a cluster's connectors may have: merged, never replaced.

Who writes the setting writes all of it, and the server's own list (Amazon's, OpenAI's, Cohere's) is gone with the
first value. So the list in effect is read, what lacks is added at its end, and the whole is written back. Source: ML
Commons ``Connector.validateConnectorURL`` (an expression must match all of an address), tag 3.6.0.0.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from release_tool.core.ml.request import Request
from release_tool.core.ml.shapes import inner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SETTING = "plugins.ml_commons.trusted_connector_endpoints_regex"
PRIVATE_IP = "plugins.ml_commons.connector.private_ip_enabled"
"""From 2.16 on: without it no address of a private network is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The list in effect."""

    expressions: tuple[str, ...]
    source: str
    """``transient``, ``persistent`` or ``defaults``: where it stands."""


def trusted_of(settings: Mapping[str, Any]) -> Trusted:
    """Return the list in effect of the answer to ``GET /_cluster/settings``, flat and with defaults.

    Raises:
        KeyError: the cluster has no such setting: it is older than connectors, or ML Commons lacks.
    """
    for source in ("transient", "persistent", "defaults"):
        found = inner(settings, source).get(SETTING)
        if found is not None:
            return Trusted(expressions=_expressions(found), source=source)
    raise KeyError(SETTING)


def _expressions(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(one) for one in value)
    text = str(value)
    if text.startswith("[") and text.endswith("]"):
        # Defaults of lists come as Java prints them; no expression of ours or of the server's holds ", ".
        return tuple(one for one in text[1:-1].split(", ") if one)
    return (text,) if text else ()


def is_trusted(url: str, expressions: Sequence[str]) -> bool | None:
    """Tell whether an address is trusted; null where an expression is Java's alone and no other one matches."""
    unknown = False
    for one in expressions:
        try:
            with warnings.catch_warnings():
                # Python warns of sets that it may read otherwise one day.
                warnings.simplefilter("ignore", FutureWarning)
                if re.fullmatch(one, url):
                    return True
        except re.error:
            unknown = True
    return None if unknown else False


def untrusted(urls: Sequence[str], expressions: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that no expression matches."""
    return tuple(url for url in urls if is_trusted(url, expressions) is False)


def expression_for(url: str) -> str:
    """Return an expression for an address's scheme, host and port, and any path there; for nothing wider."""
    parts = urlsplit(url)
    return f"^{parts.scheme}://{_escaped(parts.netloc)}(/.*)?$"


def _escaped(text: str) -> str:
    """Java and Python read these escapes alike; a comma would part a list in a file of settings."""
    return re.sub(r"([.\[\]])", r"\\\1", text)


def merged(expressions: Sequence[str], urls: Sequence[str]) -> tuple[str, ...]:
    """Return the whole list with what the addresses lack at its end; the list itself where they lack nothing.

    An address of which nothing is known gets an expression of its own, too: it harms nobody.
    """
    missing = dict.fromkeys(expression_for(url) for url in urls if not is_trusted(url, expressions))
    return (*expressions, *(one for one in missing if one not in expressions))


def write(expressions: Sequence[str]) -> Request:
    """Return the request that writes the whole list, where it outlives a restart."""
    return Request(method="PUT", path="/_cluster/settings", body={"persistent": {SETTING: list(expressions)}})
