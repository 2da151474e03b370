"""Where a cluster is and how one shows oneself there: ``[clusters.NAME]`` of release-tool.toml, or an address.

.. code-block:: toml

    [clusters.search]
    url = "https://search.example.org:9200"
    auth = "basic"
    ca = "certificates/search.pem"

    [clusters.domain]
    url = "https://search-x.eu-central-1.es.amazonaws.com"
    auth = "sigv4"
    region = "eu-central-1"

A password never stands here: see ``services.cluster.credentials``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from release_tool.core.server_address import address_problem, is_in_clear

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
KEYS = ("url", "auth", "region", "service", "ca", "certificate", "key")
SERVICES = ("es", "aoss")
"""Names that AWS signs for: a domain, a serverless collection."""
_AWS_HOST = re.compile(r"\.(?P<region>[a-z0-9-]+)\.(?P<service>es|aoss)\.amazonaws\.com(?:\.cn)?$")
_REGION = re.compile(r"[a-z]{2}[a-z0-9-]{3,30}")


class Auth(StrEnum):
    """How one shows oneself to a cluster."""

    NONE = "none"
    BASIC = "basic"
    SIGV4 = "sigv4"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAddress:
    """One cluster; paths are those of the file, relative to the repository."""

    url: str
    """Without a final slash."""
    auth: Auth = Auth.NONE
    region: str | None = None
    service: str = "es"
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    name: str | None = None
    """In the settings; null for a bare address."""

    @property
    def is_in_clear(self) -> bool:
        """Whether a password would travel unencrypted to another machine."""
        return is_in_clear(self.url)

    @property
    def is_serverless(self) -> bool:
        """Whether it is a collection, which tells no version."""
        return self.auth is Auth.SIGV4 and self.service == "aoss"

    @property
    def shown(self) -> str:
        """How messages call it."""
        return self.name or self.url


def of_url(url: str, *, has_user: bool) -> ClusterAddress:
    """Return the cluster of a bare address: basic where a user is given, AWS's signature for hosts of AWS.

    Raises:
        ValueError: it is no address of a server; the text says why.
    """
    problem = address_problem(url)
    if problem:
        raise ValueError(problem)
    url = url.rstrip("/")
    if has_user:
        return ClusterAddress(url=url, auth=Auth.BASIC)
    found = _AWS_HOST.search(urlsplit(url).hostname or "")
    if found:
        return ClusterAddress(url=url, auth=Auth.SIGV4, region=found["region"], service=found["service"])
    return ClusterAddress(url=url)


def parse_clusters(found: Any, wrong: Callable[[str], Exception]) -> tuple[ClusterAddress, ...]:
    """Return the clusters of the settings, by name.

    Args:
        found: what stands under ``clusters``.
        wrong: makes the error of a sentence about the file.
    """
    if not isinstance(found, dict):
        raise wrong("has something else than tables under clusters")
    return tuple(_cluster(name, found[name], wrong) for name in sorted(found))


def _cluster(name: str, found: Any, wrong: Callable[[str], Exception]) -> ClusterAddress:
    where = f"clusters.{name}"[:80]
    if not CLUSTER_NAME.fullmatch(name):
        raise wrong(f"names a cluster {name[:80]!r}: lower-case letters, digits and '-', at most 32")
    if not isinstance(found, dict):
        raise wrong(f"has no table at {where}")
    for key, value in found.items():
        if key not in KEYS:
            raise wrong(f"says {where}.{key[:80]}, which means nothing: one of {', '.join(KEYS)}")
        if not isinstance(value, str) or not value:
            raise wrong(f"has no text at {where}.{key}")
    problem = address_problem(found.get("url", ""))
    if problem:
        raise wrong(f"has no address of a cluster at {where}.url: {problem}")
    try:
        auth = Auth(found.get("auth", Auth.NONE))
    except ValueError as error:
        raise wrong(f"has none of {', '.join(Auth)} at {where}.auth") from error
    host = _AWS_HOST.search(urlsplit(found["url"]).hostname or "")
    place = host.groupdict() if host and auth is Auth.SIGV4 else {}
    given = {**place, **found, "url": found["url"].rstrip("/"), "auth": auth}
    return _checked(ClusterAddress(**given, name=name), where, wrong)


def _checked(cluster: ClusterAddress, where: str, wrong: Callable[[str], Exception]) -> ClusterAddress:
    if cluster.auth is Auth.SIGV4:
        if cluster.region is None or not _REGION.fullmatch(cluster.region):
            raise wrong(f"has no region at {where}.region, such as eu-central-1")
        if cluster.service not in SERVICES:
            raise wrong(f"has neither es nor aoss at {where}.service")
    if cluster.auth is Auth.CERTIFICATE and cluster.certificate is None:
        raise wrong(f"has no path of the client's certificate at {where}.certificate")
    if cluster.key is not None and cluster.certificate is None:
        raise wrong(f"has a key at {where}.key, but no certificate")
    if (cluster.certificate or cluster.ca) and not cluster.url.startswith("https://"):
        raise wrong(f"has certificates at {where}, but its url is not https://")
    return cluster
