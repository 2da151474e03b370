"""Fetch what lies beside an archive at an address, and hash the archive itself where a person consents."""

from __future__ import annotations

import hashlib
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from release_tool.core.escape import one_line
from release_tool.errors import RemoteFailed, Unreachable, UsageError

MAX_CONFIG_BYTES = 4 << 20
PART_BYTES = 1 << 20
SECONDS = 60.0
MAX_ARCHIVE_BYTES = 4 << 30


def fetch_config(url: str) -> dict[str, Any] | None:
    """Return the config.json that lies in the folder of an address; null where there is none.

    Raises:
        RemoteFailed: what lies there is no config.
        Unreachable: no answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return None
    place = parts._replace(path=f"{parts.path.rpartition('/')[0]}/config.json")
    beside = one_line(urlunsplit(place._replace(query="", fragment="")))  # a query may be a signature: it is not shown
    try:
        with _open(urlunsplit(place)) as stream:
            data = json.loads(stream.read(MAX_CONFIG_BYTES + 1)[:MAX_CONFIG_BYTES])
    except urllib.error.HTTPError as error:
        if error.code in {403, 404}:
            return None
        raise Unreachable(f"{beside} answers {error.code}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{beside} can't be fetched: {one_line(str(error))}") from error
    except (ValueError, RecursionError) as error:
        raise RemoteFailed(f"{beside} is no JSON.", hint="Name the config with --config.") from error
    if not isinstance(data, dict) or "model_format" not in data:
        raise RemoteFailed(f"{beside} is no register request.", hint="Name the config with --config.")
    return data


def fetch_sha256(url: str) -> str:
    """Read an archive to its end and return its sha256; nothing is kept.

    Raises:
        UsageError: the address is neither http nor https.
        Unreachable: it can't be read to its end.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise UsageError("Only http and https can be downloaded.", hint="Give the archive's --sha256.")
    digest, read = hashlib.sha256(), 0
    try:
        with _open(url) as stream:
            wanted = int(stream.headers.get("content-length") or 0)
            while part := stream.read(PART_BYTES):
                digest.update(part)
                read += len(part)
                if read > MAX_ARCHIVE_BYTES:
                    raise UsageError("What lies there is larger than a cluster takes (4 GiB).", hint="Name another.")
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"The archive can't be downloaded: {one_line(str(error))}") from error
    if wanted and read != wanted:
        raise Unreachable(f"The archive ended after {read:,} of {wanted:,} bytes.")
    return digest.hexdigest()


def _open(url: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url), timeout=SECONDS)  # noqa: S310 - http and https only
