"""The checks of a connector's actions: address, headers, body, and the functions before and after."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from release_tool.core.escape import one_line
from release_tool.core.ml.api import is_since
from release_tool.core.ml.credentials import SECRET_ARN
from release_tool.core.ml.functions import POST_PROCESS, PRE_PROCESS, Function, is_name, misfit
from release_tool.core.ml.placeholders import CREDENTIAL, PARAMETERS, Placeholder, filled, inputs, placeholders
from release_tool.core.request import closest
from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TYPES = ("predict", "execute", "batch_predict", "cancel_batch_predict", "batch_predict_status")
METHODS = ("POST", "GET", "PUT", "DELETE")
FIELDS = (
    "action_type", "name", "method", "url", "headers", "request_body", "pre_process_function",
    "post_process_function",
)  # fmt: skip
UNREAD = frozenset({"supports_structured_output"})
"""Blueprints name it for later servers; 3.6 skips it."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET_HEADERS = re.compile(r"authorization|api[-_]?key|token|secret", re.IGNORECASE)
_ANY = re.compile(r"\$\{[^{}]*\}")
_SERVERS_OWN = frozenset({"http_body"})


def action_faults(
    action: Any, parameters: Mapping[str, Any], credential: Any, *, version: str | None, is_open: bool
) -> Iterator[Fault]:
    """Yield what is wrong with one action.

    Args:
        action: of the connector.
        parameters: of the connector.
        credential: of the connector; null where it is not known (an update that leaves it).
        version: of the server, where known.
        is_open: whether there may be parameters that are not known (an update that leaves them).
    """
    if not isinstance(action, dict):
        yield Fault("", "is no object")
        return
    for name, value in action.items():
        if name not in FIELDS and name not in UNREAD:
            yield Fault(name, "is no field of an action; the server would skip it", closest(name, FIELDS))
        elif name in FIELDS and name != "headers" and not isinstance(value, str):
            yield Fault(name, "is no text", "write JSON as a text" if name == "request_body" else "")
    texts = {name: value for name, value in action.items() if isinstance(value, str)}
    yield from _kind_faults(texts)
    try:
        yield from _url_faults(texts.get("url"), parameters, is_open=is_open)
        yield from _header_faults(action.get("headers", {}), parameters, credential, is_open=is_open)
        if "request_body" in texts or "request_body" not in action:
            yield from _body_faults(texts, parameters)
    except ValueError:
        return  # A circle among the parameters, which has a fault of its own.
    yield from _function_faults(texts, "pre_process_function", PRE_PROCESS, version)
    yield from _function_faults(texts, "post_process_function", POST_PROCESS, version)
    yield from _lost_text_faults(texts)


def _kind_faults(action: Mapping[str, str]) -> Iterator[Fault]:
    for name, known in (("action_type", TYPES), ("method", METHODS)):
        value = action.get(name)
        if not value:
            yield Fault(name, "is missing", "one of " + ", ".join(known))
        elif value.lower() not in {one.lower() for one in known}:
            yield Fault(name, f"is {one_line(value)!r}", closest(value, known))
    own = action.get("name")
    if own is not None and (not _NAME.fullmatch(own) or own.lower() in TYPES):
        yield Fault("name", "is no name of an action", "1 to 64 letters, digits, - and _, and no action_type")


def _url_faults(url: str | None, parameters: Mapping[str, Any], *, is_open: bool) -> Iterator[Fault]:
    if not url:
        yield Fault("url", "is missing")
        return
    whole = filled(url, parameters)
    left = placeholders(whole)
    yield from _misplaced("url", left, "an address")
    if not is_open:
        for one in left:
            if one.kind == PARAMETERS:
                yield Fault("url", f"names {one.text}, which parameters lack", "who asks could choose where it leads")
    if left:
        return
    try:
        parts = urlsplit(whole)
        _ = parts.port
    except ValueError:
        yield Fault("url", "is no address")
        return
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield Fault("url", f"is {one_line(whole)!r}", "it begins with https:// and a host")
    elif parts.username or parts.password:
        yield Fault("url", "holds a user or a password", "put it into credential and name it in a header")


def _header_faults(headers: Any, parameters: Mapping[str, Any], credential: Any, *, is_open: bool) -> Iterator[Fault]:
    if not isinstance(headers, dict):
        yield Fault("headers", "is no object")
        return
    for name, value in headers.items():
        field = f"headers.{name}"
        if not isinstance(value, str):
            yield Fault(field, "is no text")
            continue
        whole = filled(value, parameters)
        yield from _unknown(field, placeholders(whole))
        for one in placeholders(whole):
            if one.kind == PARAMETERS and not is_open:
                yield Fault(field, f"names {one.text}, which parameters lack")
            elif one.kind == CREDENTIAL and isinstance(credential, dict) and not _has(credential, one.name):
                yield Fault(field, f"names {one.text}, which credential lacks", closest(one.name, tuple(credential)))
        if _SECRET_HEADERS.search(name) and not any(one.kind == CREDENTIAL for one in placeholders(whole)):
            yield Fault(field, "holds the secret itself, or none", "put it into credential: ${credential.key}")


def _has(credential: Mapping[str, Any], name: str) -> bool:
    """A secret of AWS Secrets Manager is named by the ARN's field and a key inside: ``secretArn.my_key``."""
    return name in credential or (name.startswith(f"{SECRET_ARN}.") and SECRET_ARN in credential)


def _body_faults(action: Mapping[str, str], parameters: Mapping[str, Any]) -> Iterator[Fault]:
    body = action.get("request_body")
    if body is None:
        if action.get("method", "").upper() == "POST" and action.get("action_type", "").lower() == "predict":
            yield Fault("request_body", "is missing", "without it nothing of a question reaches the model")
        return
    whole = filled(body, parameters)
    yield from _misplaced("request_body", placeholders(whole), "a body")
    if not _may_be_json(whole):
        yield Fault(
            "request_body",
            "is no JSON, whatever its placeholders are filled with",
            "texts go in quotes, lists, numbers and objects without",
        )


def _may_be_json(body: str) -> bool:
    """Tell whether a body is JSON, or JSON a line, once placeholders in quotes are texts and the others values."""
    whole = _stood_in(body)
    return _parses(whole) or (bool(whole.strip()) and all(_parses(line) for line in whole.splitlines() if line.strip()))


def _stood_in(body: str) -> str:
    done, place = [], 0
    in_text = escaped = False
    while place < len(body):
        found = _ANY.match(body, place)
        if found:
            done.append("x" if in_text else "0")
            place = found.end()
            continue
        sign = body[place]
        if sign == '"' and not escaped:
            in_text = not in_text
        escaped = in_text and not escaped and sign == "\\"
        done.append(sign)
        place += 1
    return "".join(done)


def _parses(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _misplaced(field: str, found: tuple[Placeholder, ...], what: str) -> Iterator[Fault]:
    yield from _unknown(field, found)
    for one in found:
        if one.kind == CREDENTIAL:
            yield Fault(field, f"names {one.text}; the server fills credentials into headers, never into {what}")


def _unknown(field: str, found: tuple[Placeholder, ...]) -> Iterator[Fault]:
    for one in found:
        if one.kind not in (PARAMETERS, CREDENTIAL) or not one.name:
            yield Fault(
                field,
                f"names {one_line(one.text)}, which the server does not fill",
                closest(one.kind, (PARAMETERS, CREDENTIAL)),
            )


def _function_faults(
    action: Mapping[str, str], field: str, known: Mapping[str, Function], version: str | None
) -> Iterator[Fault]:
    name = action.get(field)
    if name is None or not is_name(name):
        return
    if name.strip() not in known:
        yield Fault(field, f"is {one_line(name)!r}, which is no built-in function", closest(name.strip(), tuple(known)))
    elif name != name.strip():
        yield Fault(field, "has white space around the name; the server would take it for a script")
    elif version is not None and not is_since(version, known[name].since):
        yield Fault(field, f"is {name}, which servers have from {known[name].since} on; this one is {version}")


def _lost_text_faults(action: Mapping[str, str]) -> Iterator[Fault]:
    function = PRE_PROCESS.get(action.get("pre_process_function", ""))
    if function is None or not function.gives or "request_body" not in action:
        return
    named = {one.name for one in placeholders(action["request_body"])}
    if not set(function.gives) & named:
        yield Fault(
            "request_body",
            f"never names ${{parameters.{function.gives[0]}}}, where {action['pre_process_function']} puts what is "
            "asked: the model would not see it",
        )


def action_notes(action: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a sound action will surprise somebody with."""
    pre, post = action.get("pre_process_function"), action.get("post_process_function")
    url = filled(str(action.get("url", "")), parameters)
    for function in (pre, post):
        if function and function in {**PRE_PROCESS, **POST_PROCESS} and (service := misfit(function, url)):
            yield f"{function} is not made for {service}, which the address names; the server takes it nevertheless."
    if url.startswith("http://") and action.get("headers"):
        yield f"{url} is not encrypted: who listens reads the credential."
    function = PRE_PROCESS.get(pre or "")
    if function is None:
        return
    missing = [
        name for name in inputs(str(action.get("request_body", "")), parameters)
        if name not in function.gives and f"${{parameters.{name}:-" not in str(action.get("request_body"))
    ]  # fmt: skip
    if missing:
        yield f"text_docs alone can't be asked: the body also wants {', '.join(missing)} among the parameters."
    if function.reads is not None and "input_docs_processed_step_size" not in parameters:
        yield (
            f"{pre} reads {function.reads} of the texts of a request and drops the others; "
            f"parameters.input_docs_processed_step_size {function.reads} parts them."
        )


def asked_for(action: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters that a prediction must bring, where no function makes them of its texts."""
    function = PRE_PROCESS.get(str(action.get("pre_process_function", "")))
    gives = function.gives if function else ()
    wanted = inputs(str(action.get("request_body", "")), parameters)
    return tuple(name for name in wanted if name not in gives and name not in _SERVERS_OWN)
