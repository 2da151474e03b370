"""Addresses of servers that get a credential: what they may hold, and which stay on this machine. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def address_problem(address: str) -> str | None:
    """Say why this is not the address of a server; null where it is. The address is not repeated in what is said."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return "it is no address"
    if parts.username or parts.password or parts.query or parts.fragment or "@" in address:
        return "it holds more than a place; credentials belong into the environment"
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(char.isspace() for char in address):
        return "it is neither http:// nor https:// and a host"
    return None


def is_in_clear(address: str) -> bool:
    """Tell whether a credential would travel unencrypted to another machine."""
    return urlsplit(address).scheme == "http" and not is_this_machine(address)


def is_this_machine(address: str) -> bool:
    """Tell whether an address without a problem is one of this machine's own."""
    host = urlsplit(address).hostname
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
