"""A request as text that a person may run: for curl in a shell, or for the Dev Tools of Dashboards.

What stands in the environment, credentials before all, is written by its name and never by its value.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from release_tool.core.ml.clusters import Auth
from release_tool.core.ml.credentials import named_in
from release_tool.core.ml.register import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection

    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.core.ml.request import Request

_PLACE = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}|%24%7Benv\.([A-Za-z_][A-Za-z0-9_]*)%7D")
"""``${env.NAME}``, as it stands in a body or escaped in a path."""
TOLD = ("MODEL_ID", "TASK_ID", "MODEL_GROUP_ID", "CONNECTOR_ID")
"""Variables for what a cluster would have told."""


def curl(request: Request, cluster: ClusterAddress, *, archive: str = "model.zip") -> str:
    """Return a line of a POSIX shell.

    Args:
        request: what would be sent.
        cluster: where to.
        archive: name of the file whose chunk a request carries.
    """
    parts = [f"curl -sS -X {request.method}", _shell(f"{cluster.url}{request.target}", TOLD), *_shown(cluster)]
    payload = request.payload()
    feed = ""
    if request.content is not None:
        place = int(request.path.rpartition("/")[2])
        feed = f"tail -c +{place * CHUNK_BYTES + 1} {shlex.quote(archive)} | head -c {CHUNK_BYTES} | "
        parts += ["-H 'Content-Type: application/json'", "--data-binary @-"]
    elif payload is not None:
        parts += [
            f"-H 'Content-Type: {request.content_type}'",
            f"--data-binary {_shell(payload.decode(), _names(request))}",
        ]
    return feed + " \\\n  ".join(parts)


def dev_tools(request: Request) -> str:
    """Return a request as the console of Dev Tools takes it; a chunk can't be sent from there."""
    first = f"{request.method} {_named(request.target, TOLD)}"
    if request.content is not None:
        return f"# {first}: a chunk of the archive; the console can't send it, curl can."
    if request.body is not None:
        return f"{first}\n{_named(json.dumps(request.body, indent=2, ensure_ascii=False), _names(request))}"
    if request.lines is not None:
        return "\n".join([first, *(json.dumps(line, ensure_ascii=False) for line in request.lines)])
    return first


def _names(request: Request) -> tuple[str, ...]:
    """Return the variables that are filled in; what else looks like one, in a person's text, is sent as it is."""
    return (*TOLD, *named_in(request.body))


def _named(text: str, names: Collection[str]) -> str:
    return _PLACE.sub(lambda found: f"${found[1] or found[2]}" if (found[1] or found[2]) in names else found[0], text)


def _shell(text: str, names: Collection[str]) -> str:
    """Return text as one word of a shell, in which the variables alone are filled in."""
    words, end = [], 0
    for found in _PLACE.finditer(text):
        if (found[1] or found[2]) not in names:
            continue
        words += [_quoted(text[end : found.start()]), f'"${{{found[1] or found[2]}}}"']
        end = found.end()
    return "".join([*words, _quoted(text[end:])]) or "''"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'" if text else ""


def _shown(cluster: ClusterAddress) -> list[str]:
    files = []
    if cluster.ca:
        files.append(f"--cacert {shlex.quote(cluster.ca)}")
    match cluster.auth:
        case Auth.BASIC:
            files.append('-u "$RELEASE_TOOL_CLUSTER_USER:$RELEASE_TOOL_CLUSTER_PASSWORD"')
        case Auth.SIGV4:
            files.append(f"--aws-sigv4 {shlex.quote(f'aws:amz:{cluster.region}:{cluster.service}')}")
            files.append('-u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H "x-amz-security-token: $AWS_SESSION_TOKEN"')
        case Auth.CERTIFICATE:
            key = f" --key {shlex.quote(cluster.key)}" if cluster.key else ""
            files.append(f"--cert {shlex.quote(cluster.certificate or '')}{key}")
        case Auth.NONE:
            pass
    return files
