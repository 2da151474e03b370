"""A connector: what ML Commons needs to ask a model that somebody else serves.

``read_connector`` checks one before it is sent, with the server's own rules and with those that it has not: a text
that never reaches the model, a placeholder that nobody fills, a secret where it would be kept in the clear. Source of
the rules: ML Commons ``MLCreateConnectorInput``, ``HttpConnector``, ``AwsConnector`` and ``ConnectorAction``, tag
3.6.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.ml.api import ML, search
from release_tool.core.ml.connector_actions import action_faults, action_notes
from release_tool.core.ml.credentials import ACCESS_KEY, ROLE_ARN, SECRET_KEY, check_credential, with_names
from release_tool.core.ml.placeholders import as_text, filled
from release_tool.core.ml.request import Request, segment
from release_tool.core.ml.safe_text import safe_text_fault
from release_tool.core.request import closest
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SINCE = "2.9"
"""The first OpenSearch with connectors."""
HTTP = "http"
AWS_SIGV4 = "aws_sigv4"
PROTOCOLS = (HTTP, AWS_SIGV4)
"""Those of models; the two of MCP (3.0) lead to tools."""

FIELDS = (
    "name", "description", "version", "protocol", "parameters", "credential", "access_mode", "backend_roles",
    "add_all_backend_roles", "client_config", "actions",
)  # fmt: skip
"""What a request may say, in the order in which it is sent."""
KEPT_BY_SERVER = frozenset({"created_time", "last_updated_time", "owner", "access", "connector_id", "tenant_id"})
"""What the server adds when it is asked for a connector; it takes none of them."""
ACCESS_MODES = ("public", "private", "restricted")
CLIENT_FIELDS = (
    "max_connection", "connection_timeout", "read_timeout", "retry_backoff_millis", "retry_timeout_seconds",
    "max_retry_times", "retry_backoff_policy", "skip_ssl_verification",
)  # fmt: skip
BACKOFF = ("constant", "exponential_equal_jitter", "exponential_full_jitter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A connector that may be sent."""

    body: dict[str, Any]
    """Its credential names variables or ARNs; see ``credentials.with_secrets``."""
    notes: tuple[str, ...] = ()
    """Sentences about what the server takes and what will surprise somebody."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters, empty where it has none."""
        found: dict[str, Any] = self.body.get("parameters") or {}
        return found


def read_connector(data: Any, *, where: str = "", version: str | None = None, update: bool = False) -> Checked:
    """Check a connector and put its fields in order.

    Args:
        data: JSON, as a person wrote it or as a server gave it.
        where: what stands before the names of fields in faults, such as ``connector.``.
        version: of the server; null leaves out what depends on it.
        update: only what changes is given.

    Raises:
        RequestError: all of its faults, each by the name of its field.
    """
    if not isinstance(data, dict):
        raise RequestError((Fault(where.rstrip(".") or "connector", "is no JSON object"),))
    given, named = _named(data)
    faults = tuple(_faults(given, update=update, version=version))
    if faults:
        raise RequestError(tuple(Fault(f"{where}{one.field}", one.problem, one.hint) for one in faults))
    body = {name: given[name] for name in FIELDS if name in given}
    notes = [f"credential.{name} is only hinted at: it is read from the environment." for name in named]
    return Checked(body=body, notes=(*notes, *_notes(body)))


def _named(data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    given = {name: value for name, value in data.items() if name not in KEPT_BY_SERVER}
    if not isinstance(given.get("credential"), dict):
        return given, ()
    given["credential"], named = with_names(given["credential"])
    return given, named


def _faults(data: Mapping[str, Any], *, update: bool, version: str | None) -> Iterator[Fault]:
    for name in data:
        if name not in FIELDS:
            yield Fault(name, "is no field of a connector; the server would skip it", closest(name, FIELDS))
    yield from _identity_faults(data, update=update)
    parameters = data.get("parameters", {})
    if not isinstance(parameters, dict):
        yield Fault("parameters", "is no object")
        parameters = {}
    yield from _circles(parameters)
    yield from _credential_faults(data, update=update)
    yield from _client_faults(data.get("client_config", {}))
    yield from _access_faults(data)
    if "actions" in data or not update:
        yield from _actions_faults(data, parameters, version, update=update)


def _identity_faults(data: Mapping[str, Any], *, update: bool) -> Iterator[Fault]:
    for name in ("name", "version", "protocol"):
        if not update and data.get(name) in (None, ""):
            yield Fault(name, "is missing")
    for name in ("name", "description"):
        yield from safe_text_fault(name, data.get(name))
    version = data.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, (str, int, float))):
        yield Fault("version", "is neither a text nor a number")
    protocol = data.get("protocol")
    if protocol not in (None, "") and protocol not in PROTOCOLS:
        yield Fault("protocol", f"is {one_line(str(protocol))!r}", closest(str(protocol), PROTOCOLS))


def _circles(parameters: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in parameters.items():
        try:
            filled(f"${{parameters.{name}}}", parameters)
        except ValueError as error:
            yield Fault(f"parameters.{name}", f"leads back to itself: {error}")
        if value is None:
            yield Fault(f"parameters.{name}", "is null; the server would send the word null", "leave it out")


def _credential_faults(data: Mapping[str, Any], *, update: bool) -> Iterator[Fault]:
    credential = data.get("credential")
    if credential is None and update:
        return
    if not isinstance(credential, dict) or not credential:
        yield Fault("credential", "is missing or empty", "the server wants one, even where the model asks for none")
        return
    yield from check_credential(credential)
    if data.get("protocol") != AWS_SIGV4:
        return
    if ROLE_ARN not in credential:
        for name in (ACCESS_KEY, SECRET_KEY):
            if name not in credential:
                yield Fault(f"credential.{name}", "is missing; aws_sigv4 signs with it", f"or give {ROLE_ARN}")
    parameters = data.get("parameters") if isinstance(data.get("parameters"), dict) else {}
    for name in ("region", "service_name"):
        if name not in credential and name not in (parameters or {}):
            yield Fault(f"parameters.{name}", "is missing; aws_sigv4 signs with it")


def _client_faults(config: Any) -> Iterator[Fault]:
    if not isinstance(config, dict):
        yield Fault("client_config", "is no object")
        return
    for name, value in config.items():
        field = f"client_config.{name}"
        if name not in CLIENT_FIELDS:
            yield Fault(field, "is no setting of the server's client", closest(name, CLIENT_FIELDS))
        elif name == "retry_backoff_policy":
            if str(value).lower() not in BACKOFF:
                yield Fault(field, f"is {one_line(str(value))!r}", closest(str(value).lower(), BACKOFF))
        elif name == "skip_ssl_verification":
            if not isinstance(value, bool):
                yield Fault(field, "is neither true nor false")
        elif isinstance(value, bool) or not isinstance(value, int) or value < (-1 if name == "max_retry_times" else 0):
            yield Fault(field, "is no number that counts anything")


def _access_faults(data: Mapping[str, Any]) -> Iterator[Fault]:
    mode, roles, every = data.get("access_mode"), data.get("backend_roles"), data.get("add_all_backend_roles")
    if mode is not None and mode not in ACCESS_MODES:
        yield Fault("access_mode", f"is {one_line(str(mode))!r}", closest(str(mode), ACCESS_MODES))
    if mode in ("public", "private") and (roles or every):
        yield Fault("backend_roles", f"go with access_mode restricted, not with {mode}")
    if mode == "restricted" and not roles and not every:
        yield Fault("backend_roles", "are missing; access_mode is restricted")
    if roles and every:
        yield Fault("add_all_backend_roles", "and backend_roles exclude each other")


def _actions_faults(
    data: Mapping[str, Any], parameters: dict[str, Any], version: str | None, *, update: bool
) -> Iterator[Fault]:
    actions = data.get("actions")
    if not isinstance(actions, list) or not actions:
        yield Fault("actions", "is missing or empty")
        return
    credential = data.get("credential")
    known = None if update and not isinstance(credential, dict) else credential
    for place, action in enumerate(actions):
        for one in action_faults(
            action, parameters, known, version=version, is_open=update and "parameters" not in data
        ):
            yield Fault(f"actions[{place}]{'.' if one.field else ''}{one.field}", one.problem, one.hint)
    types = [str(action.get("action_type", "")).lower() for action in actions if isinstance(action, dict)]
    unnamed = [
        str(action.get("action_type", "")).lower()
        for action in actions
        if isinstance(action, dict) and not action.get("name")
    ]
    for name in sorted({name for name in unnamed if unnamed.count(name) > 1}):
        yield Fault("actions", f"hold {unnamed.count(name)} of {name}; the server asks the first one only")
    if types and not {"predict", "execute", "batch_predict"} & set(types):
        yield Fault("actions", "hold nothing that a model is asked by", "add one with action_type predict")


def _notes(body: Mapping[str, Any]) -> Iterator[str]:
    credential = body.get("credential") or {}
    if ROLE_ARN in credential and ACCESS_KEY not in credential and body.get("protocol") == AWS_SIGV4:
        yield (
            "credential.roleArn is taken by Amazon OpenSearch Service only: a cluster of one's own answers "
            "'Missing credential'."
        )
    if (body.get("client_config") or {}).get("skip_ssl_verification"):
        yield "client_config.skip_ssl_verification sends the credential to whoever answers."
    for place, action in enumerate(body.get("actions", ())):
        for note in action_notes(action, body.get("parameters") or {}):
            yield f"actions[{place}]: {note}"


def endpoints(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses of a connector's actions, filled as the server fills them when it judges their trust."""
    parameters = body.get("parameters") or {}
    return tuple(dict.fromkeys(filled(as_text(action["url"]), parameters) for action in body.get("actions", ())))


def predict_action(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the action that a prediction takes: the first one of its type; null where there is none."""
    found: dict[str, Any] | None = next(
        (one for one in body.get("actions", ()) if str(one.get("action_type", "")).lower() == "predict"), None
    )
    return found


def is_alike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Tell whether a connector of the server is the one that we would make, its credential left aside.

    Args:
        ours: the body of a checked connector.
        theirs: as the server shows it: parameters are texts there, types of actions in capitals.
    """
    return _comparable(ours) == _comparable(theirs)


def _comparable(connector: Mapping[str, Any]) -> dict[str, Any]:
    actions = [
        {
            **{name: value for name, value in one.items() if value is not None},
            "action_type": str(one["action_type"]).lower(),
        }
        for one in connector.get("actions") or ()
    ]
    return {
        **{name: str(connector.get(name) or "") for name in ("name", "description", "version", "protocol")},
        "parameters": {name: as_text(value) for name, value in (connector.get("parameters") or {}).items()},
        "actions": actions,
    }


def create(checked: Checked) -> Request:
    """Return the request that makes a connector; its secrets are still names."""
    return Request(method="POST", path=f"{ML}/connectors/_create", body=checked.body)


def get(connector_id: str) -> Request:
    """Return the request for a connector; the server keeps its credential to itself."""
    return Request(method="GET", path=f"{ML}/connectors/{segment(connector_id)}")


def update(connector_id: str, checked: Checked) -> Request:
    """Return the request that changes a connector; the server refuses it while a model that uses it is deployed."""
    return Request(method="PUT", path=f"{ML}/connectors/{segment(connector_id)}", body=checked.body)


def delete(connector_id: str) -> Request:
    """Return the request that deletes a connector; the server refuses it while a model uses it."""
    return Request(method="DELETE", path=f"{ML}/connectors/{segment(connector_id)}")


def find(text: str | None, *, size: int = 100) -> Request:
    """Return the request that searches connectors by a part of their name or description."""
    query: dict[str, Any] = {"match_all": {}}
    if text:
        query = {"multi_match": {"query": text, "fields": ["name", "description"]}}
    return search("connectors", {"query": query, "size": size})


def using(connector_id: str) -> Request:
    """Return the request for the models that use a connector."""
    query = {"bool": {"must": [{"match_phrase": {"connector_id": connector_id}}]}}
    return search("models", {"query": query, "size": 100, "_source": ["name", "model_state"]})
