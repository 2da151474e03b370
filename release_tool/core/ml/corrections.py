"""What a request as a page of instructions writes it lacks for the server that gets it: each correction has a name.

Sources: the pages of 2.4 to 2.14, ML Commons' parsers of the tags 2.4.0.0 to 3.8.0.0, and answers of a 3.6 node.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import server_text
from release_tool.core.ml.api import ML, is_since
from release_tool.core.ml.credentials import with_names
from release_tool.core.ml.guardrails import MODEL, SIDES
from release_tool.core.ml.register import WITHOUT_MODEL_CONFIG, ordered
from release_tool.core.ml.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD"})
POOLING = {"weightedmean": "weighted_mean", "lasttoken": "last_token", "meansqrtlen": "mean_sqrt_len"}
NEW_PARSER = "3.1"
"""First OpenSearch that reads model_config by the function_name before it, and that refuses signs in names."""
_FENCE = re.compile(r"^\s*```[a-z]*\s*$", re.MULTILINE)
_INCLUDE = re.compile(r"^\s*\{%.*%\}\s*$", re.MULTILINE)
_TRIPLE = re.compile(r'"""(.*?)"""', re.DOTALL)
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One thing that was changed."""

    name: str
    """Stays the same, so that people can look it up."""
    sentence: str


class NotARequest(ValueError):
    """A text is no request; what it says is the end of a sentence."""


def read_request(text: str) -> tuple[Request, tuple[Correction, ...]]:
    """Return the request of a page: method and path in the first line, JSON below, as the Dev Tools take it.

    Raises:
        NotARequest: it is something else.
    """
    lines = _INCLUDE.sub("", _FENCE.sub("", text)).strip().split("\n", 1)
    method, _, target = lines[0].strip().partition(" ")
    target = target.strip()
    if method not in METHODS or not target or any(char.isspace() for char in target):
        raise NotARequest("it does not begin with a method and a path, such as POST /_plugins/_ml/models/_register")
    path, _, query = target.partition("?")
    if re.search(r"<[^/]*>", path):
        raise NotARequest(f"its path {path} has a place that is still to be filled in")
    made: list[Correction] = []
    if not path.startswith("/"):
        path = f"/{path}"
    body = _body(lines[1], made) if len(lines) == 2 and lines[1].strip() else None
    words = dict(part.partition("=")[::2] for part in query.split("&")) if query else {}
    return Request(method=method, path=path, body=body, query=words), tuple(made)


def _body(text: str, made: list[Correction]) -> dict[str, Any]:
    plain = _TRIPLE.sub(lambda found: json.dumps(found[1]), text)
    if plain != text:
        made.append(Correction(name="triple-quotes", sentence="Text in triple quotes is no JSON; it is escaped."))
    without = _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], plain)
    if without != plain:
        made.append(Correction(name="trailing-comma", sentence="A comma before a closing bracket is left out."))
    try:
        data = json.loads(without)
    except ValueError as error:
        raise NotARequest(f"what follows the path is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise NotARequest("what follows the path is no JSON object")
    return data


def correct(request: Request, version: str) -> tuple[Request, tuple[Correction, ...]]:
    """Return a request as a server of this version takes it, with what was changed.

    Args:
        request: as it was written.
        version: of the server.
    """
    made: list[Correction] = []
    request = _renamed(request, version, made)
    if request.body is None:
        return request, tuple(made)
    body = dict(request.body)
    if request.path.endswith(("/models/_register", "/models/_upload", "/_register_meta", "/models/meta")):
        for rule in _RULES:
            body = rule(body, version, made)
    elif request.path.startswith(f"{ML}/connectors/"):
        body = _secret(_signs(body, version, made), version, made)
    elif "/model_groups/" in request.path:
        body = _signs(body, version, made)
    elif request.path == "/_cluster/settings":
        _without_effect(body, version, made)
    changed = Request(method=request.method, path=request.path, body=body, query=request.query)
    return changed, tuple(made)


_OLD_ENDS = {"_upload": "_register", "meta": "_register_meta", "_load": "_deploy", "_unload": "_undeploy"}


def _renamed(request: Request, version: str, made: list[Correction]) -> Request:
    """Give a path the name that a server of the version has for it: the old ones still work, the new ones don't yet."""
    head, _, last = request.path.rpartition("/")
    new_to_old = {new: old for old, new in _OLD_ENDS.items()}
    if not request.path.startswith(f"{ML}/models") or is_since(version, "2.7") or last not in new_to_old:
        return request
    old = new_to_old[last]
    made.append(Correction(name="old-name", sentence=f"OpenSearch {version} calls {last} {old}."))
    return Request(method=request.method, path=f"{head}/{old}", body=request.body, query=request.query)


def _task_type(body: dict[str, Any], _: str, made: list[Correction]) -> dict[str, Any]:
    if "model_task_type" not in body:
        return body
    sentence = "model_task_type is read by no server any more; it is called function_name."
    made.append(Correction(name="model-task-type", sentence=sentence))
    if "function_name" in body:
        return {key: value for key, value in body.items() if key != "model_task_type"}
    return {"function_name" if key == "model_task_type" else key: value for key, value in body.items()}


def _function(body: dict[str, Any], version: str, made: list[Correction]) -> dict[str, Any]:
    if "function_name" in body or not is_since(version, NEW_PARSER) or "model_config" not in body:
        return body
    sentence = "Without function_name a server since 3.1 reads model_config wrongly; TEXT_EMBEDDING is the default."
    made.append(Correction(name="function-name", sentence=sentence))
    return ordered({**body, "function_name": "TEXT_EMBEDDING"})


def _order(body: dict[str, Any], version: str, made: list[Correction]) -> dict[str, Any]:
    keys = list(body)
    both = "function_name" in body and "model_config" in body
    if not both or keys.index("function_name") < keys.index("model_config"):
        return body
    if is_since(version, NEW_PARSER):
        sentence = "function_name must stand before model_config: a server since 3.1 reads the one by the other."
        made.append(Correction(name="key-order", sentence=sentence))
    return ordered(body)


def _pooling(body: dict[str, Any], _: str, made: list[Correction]) -> dict[str, Any]:
    config = body.get("model_config")
    mode = str(config.get("pooling_mode", "")).lower() if isinstance(config, dict) else ""
    if not isinstance(config, dict) or mode not in POOLING:
        return body
    made.append(Correction(name="pooling-mode", sentence=f"The server calls {mode} {POOLING[mode]}."))
    return {**body, "model_config": {**config, "pooling_mode": POOLING[mode]}}


def _signs(body: dict[str, Any], version: str, made: list[Correction]) -> dict[str, Any]:
    if not is_since(version, NEW_PARSER):
        return body
    changed = dict(body)
    for key in ("name", "description"):
        text = body.get(key)
        if isinstance(text, str) and server_text(text) != " ".join(text.split()):
            changed[key] = server_text(text)
            sentence = f"The {key} holds signs that a server refuses since 3.1, such as &; they are written otherwise."
            made.append(Correction(name="character-set", sentence=sentence))
    return changed


def _sparse(body: dict[str, Any], version: str, made: list[Correction]) -> dict[str, Any]:
    function = str(body.get("function_name", "")).upper()
    if "model_config" not in body or function not in WITHOUT_MODEL_CONFIG or not is_since(version, NEW_PARSER):
        return body
    sentence = "A sparse model with a model_config can't be deployed since 3.1; it is left out."
    made.append(Correction(name="sparse-model-config", sentence=sentence))
    return {key: value for key, value in body.items() if key != "model_config"}


def _format(body: dict[str, Any], _: str, made: list[Correction]) -> dict[str, Any]:
    text = body.get("model_format")
    if not isinstance(text, str) or text == text.upper():
        return body
    made.append(Correction(name="model-format", sentence="model_format is written in capitals."))
    return {**body, "model_format": text.upper()}


def _secret(body: dict[str, Any], _: str, made: list[Correction]) -> dict[str, Any]:
    """Name a variable where a page has an ellipsis; a secret itself is not ours to move."""
    inner = body.get("connector", body)
    if not isinstance(inner, dict) or not isinstance(inner.get("credential"), dict):
        return body
    named, changed = with_names(inner["credential"])
    if not changed:
        return body
    sentence = f"The credential only hints at {', '.join(changed)}; the value is read from the environment."
    made.append(Correction(name="credential", sentence=sentence))
    filled = {**inner, "credential": named}
    return {**body, "connector": filled} if "connector" in body else filled


def _filter(body: dict[str, Any], _: str, made: list[Correction]) -> dict[str, Any]:
    guardrails = body.get("guardrails")
    if not isinstance(guardrails, dict) or guardrails.get("type") != MODEL:
        return body
    changed = {
        side: {**guardrails[side], "response_filter": ""}
        for side in SIDES
        if isinstance(guardrails.get(side), dict) and "response_filter" not in guardrails[side]
    }
    if not changed:
        return body
    sentence = "A guardrail model without response_filter can't be handed from node to node; an empty one is sent."
    made.append(Correction(name="response-filter", sentence=sentence))
    return {**body, "guardrails": {**guardrails, **changed}}


_RULES: tuple[Callable[[dict[str, Any], str, list[Correction]], dict[str, Any]], ...] = (
    _task_type, _function, _order, _pooling, _signs, _sparse, _format, _secret, _filter,
)  # fmt: skip


def _without_effect(body: dict[str, Any], version: str, made: list[Correction]) -> None:
    if "native_memory_threshold" in json.dumps(body) and is_since(version, "2.9"):
        sentence = "native_memory_threshold is sent and has no effect since 2.9."
        made.append(Correction(name="no-effect", sentence=sentence))
