"""Addresses of Jenkins: the one that a person names, and a job's below it."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from release_tool.errors import Fault, RequestError


def check_server(address: str) -> str:
    """Return the address of a Jenkins without a final slash.

    Raises:
        RequestError: it is none, or it holds more than a place; it is not repeated then, it may hold a credential.
    """
    hint = "such as https://ci.example.org or https://example.org/jenkins"
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        raise RequestError((Fault("--server", "it is no address", hint),)) from None
    if parts.username or parts.password or parts.query or parts.fragment or "@" in address:
        problem = "it holds more than a place; credentials belong into the environment"
        raise RequestError((Fault("--server", problem, hint),))
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(char.isspace() for char in address):
        raise RequestError((Fault("--server", "it is neither http:// nor https:// and a host", hint),))
    return address.rstrip("/")


def job_path(job: str) -> str:
    """Return the path of a job, which may lie in folders: a/b → job/a/job/b."""
    return "/".join(f"job/{quote(part, safe='')}" for part in job.split("/"))
