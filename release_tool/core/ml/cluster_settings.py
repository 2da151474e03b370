"""The settings of ML Commons: what each is for, what values it takes, which servers know it and which still heed it.

Source: ``MLCommonsSettings`` and the code that reads them, tags 2.4.0.0 to 3.8.0.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import is_since
from release_tool.core.ml.shapes import inner
from release_tool.core.ml.trusted import SETTING as TRUSTED_ENDPOINTS
from release_tool.core.ml.trusted import trusted_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "plugins.ml_commons."


class Kind(StrEnum):
    """What values a setting takes."""

    SWITCH = "true or false"
    NUMBER = "a whole number"
    SIZE = "a size such as 5gb"
    TEXT = "a text"
    LIST = "texts with commas between them"
    EXPRESSION = "an address, or a regular expression for addresses"
    EXPRESSIONS = "an address, or a regular expression that matches all of one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One of them."""

    name: str
    """Without ``plugins.ml_commons.``."""
    kind: Kind
    what: str
    """What it is for; a clause."""
    opens: str | None = None
    """The value that lets things be done; null where there is none."""
    since: str = "2.4"
    """The first release whose plugin registers it."""
    until: str | None = None
    """The first version on which it has no effect; null while it has one."""
    instead: str | None = None
    """What took its place."""

    @property
    def key(self) -> str:
        """The whole name."""
        return PREFIX + self.name

    def is_known(self, version: str) -> bool:
        """Tell whether a server has it already."""
        return is_since(version, self.since)

    def is_heeded(self, version: str) -> bool:
        """Tell whether it has an effect."""
        return self.is_known(version) and not (self.until and is_since(version, self.until))


VIA_URL = "allow_registering_model_via_url"
VIA_FILE = "allow_registering_model_via_local_file"
ONLY_ML_NODE = "only_run_on_ml_node"
LOCAL_MODEL = "local_model.enabled"
REMOTE = "remote_inference.enabled"
CONTROLLER = "controller_enabled"
CUSTOM_PLAN = "allow_custom_deployment_plan"
ACCESS_CONTROL = "model_access_control_enabled"
TRUSTED_URL = "trusted_url_regex"
PRIVATE_IP = "connector.private_ip_enabled"
HEAP = "jvm_heap_memory_threshold"
DISK = "disk_free_space_threshold"
MAX_MODELS = "max_model_on_node"
LOCAL_ROLES = "task_dispatcher.eligible_node_role.local_model"
EXCLUDED = "exclude_nodes._name"

SETTINGS: tuple[Setting, ...] = (
    Setting(name=ONLY_ML_NODE, kind=Kind.SWITCH, opens="false", what="models run on nodes of the role ml only"),
    Setting(name=LOCAL_ROLES, kind=Kind.LIST, since="2.10", what="roles of the nodes that local models run on"),
    Setting(name=EXCLUDED, kind=Kind.LIST, since="2.7", what="names of the nodes that no model runs on"),
    Setting(name=LOCAL_MODEL, kind=Kind.SWITCH, opens="true", since="2.13", what="local models are served"),
    Setting(name=VIA_URL, kind=Kind.SWITCH, opens="true", since="2.8", what="models are registered by address"),
    Setting(name=VIA_FILE, kind=Kind.SWITCH, opens="true", since="2.8", what="archives are uploaded by chunks"),
    Setting(name=TRUSTED_URL, kind=Kind.EXPRESSION, what="addresses that archives are fetched from"),
    Setting(name=REMOTE, kind=Kind.SWITCH, opens="true", since="2.10", what="remote models are called"),
    Setting(
        name=TRUSTED_ENDPOINTS.removeprefix(PREFIX), kind=Kind.EXPRESSIONS, since="2.9",
        what="addresses that connectors may call",
    ),
    Setting(
        name=PRIVATE_IP, kind=Kind.SWITCH, opens="true", since="2.15",
        what="connectors may call addresses of a private network",
    ),
    Setting(
        name=CUSTOM_PLAN, kind=Kind.SWITCH, opens="true", since="2.7",
        what="one may choose the nodes that a model is deployed on",
    ),
    Setting(name=ACCESS_CONTROL, kind=Kind.SWITCH, since="2.8", what="model groups are open to some people only"),
    Setting(name=CONTROLLER, kind=Kind.SWITCH, opens="true", since="2.18", what="limits of rates hold"),
    Setting(
        name=HEAP, kind=Kind.NUMBER, since="2.9",
        what="per cent of the heap in use from which the breaker is open; 100 never",
    ),
    Setting(
        name=DISK, kind=Kind.SIZE, since="2.16", what="free space of the disk below which the breaker is open"
    ),
    Setting(
        name="native_memory_threshold", kind=Kind.NUMBER, since="2.5", until="2.9",
        what="per cent of the memory in use from which the breaker is open",
    ),
    Setting(name=MAX_MODELS, kind=Kind.NUMBER, what="models that a node runs at most"),
    Setting(
        name="max_upload_model_tasks_per_node", kind=Kind.NUMBER, until="2.7",
        instead="max_register_model_tasks_per_node", what="uploads at once on a node",
    ),
    Setting(
        name="max_load_model_tasks_per_node", kind=Kind.NUMBER, until="2.7",
        instead="max_deploy_model_tasks_per_node", what="loads at once on a node",
    ),
    Setting(
        name="max_register_model_tasks_per_node", kind=Kind.NUMBER, since="2.7", what="registers at once on a node"
    ),
    Setting(name="max_deploy_model_tasks_per_node", kind=Kind.NUMBER, since="2.7", what="deploys at once on a node"),
    Setting(name="max_ml_task_per_node", kind=Kind.NUMBER, what="tasks at once on a node"),
    Setting(
        name="ml_task_timeout_in_seconds", kind=Kind.NUMBER, since="2.5", what="seconds after which a task has failed"
    ),
    Setting(
        name="sync_up_job_interval_in_seconds", kind=Kind.NUMBER,
        what="seconds between two looks at which node runs what; 0 never",
    ),
    Setting(
        name="model_auto_deploy.enable", kind=Kind.SWITCH, opens="true", since="2.13",
        what="a remote model is deployed when it is first asked",
    ),
    Setting(
        name="model_auto_redeploy.enable", kind=Kind.SWITCH, opens="true", since="2.7",
        what="models are deployed again after a node comes or goes",
    ),
    Setting(name="safe_delete_model", kind=Kind.SWITCH, since="2.19", what="a model in use can't be deleted"),
    Setting(name="monitoring_request_count", kind=Kind.NUMBER, what="requests that a profile counts"),
    Setting(name="max_json_size", kind=Kind.NUMBER, since="3.5", what="characters that a request may have"),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}

_TRUE = {"true", "false"}
_SIZE = re.compile(r"\d+(?:\.\d+)?(?P<unit>b|kb|k|mb|m|gb|g|tb|t|pb|p)", re.IGNORECASE)
_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_WHOLE = re.compile(r"-?\d{1,9}")


class ValueFault(ValueError):
    """A value is none of a setting's; the text says why, as a clause."""


def parse_value(setting: Setting, text: str) -> Any:
    """Return a person's value as it is sent.

    Raises:
        ValueFault: the setting does not take it.
    """
    text = text.strip()
    match setting.kind:
        case Kind.SWITCH if text.lower() in _TRUE:
            return text.lower() == "true"
        case Kind.NUMBER if _WHOLE.fullmatch(text):
            return int(text)
        case Kind.SIZE if _SIZE.fullmatch(text):
            return text.lower()
        case Kind.LIST:
            return [part.strip() for part in text.split(",") if part.strip()]
        case Kind.TEXT | Kind.EXPRESSION | Kind.EXPRESSIONS if text:
            return text
    raise ValueFault(f"it takes {setting.kind.value}")


def size_of(text: str) -> int | None:
    """Return the bytes of a size such as ``5gb``; null where it is none."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    return int(float(text.strip()[: found.start("unit")]) * _UNITS[found["unit"][0].lower()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """What a setting is, and where that stands."""

    value: Any
    source: str
    """``transient``, ``persistent`` or ``default``: the plugin's own, or of the nodes' opensearch.yml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """All settings of ML Commons in effect, by their names without ``plugins.ml_commons.``."""

    all: Mapping[str, Stands] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a value as text; null where the server has no such setting."""
        found = self.all.get(name)
        return None if found is None else str(found.value)

    def is_on(self, name: str, *, unless_told: bool) -> bool:
        """Tell whether a switch is on; ``unless_told`` is what holds on a server without it."""
        text = self.text(name)
        return unless_told if text is None else text.lower() == "true"

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list; null where the server has no such setting."""
        found = self.all.get(name)
        if found is None:
            return None
        if isinstance(found.value, list):
            return tuple(str(one) for one in found.value)
        text = str(found.value).removeprefix("[").removesuffix("]")
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def texts_as_they_are(self, name: str) -> tuple[str, ...] | None:
        """Return a list of expressions, which may hold commas; null where the server has no such setting."""
        found = self.all.get(name)
        if found is None:
            return None
        if isinstance(found.value, list):
            return tuple(str(one) for one in found.value)
        return trusted_of({"persistent": {PREFIX + name: found.value}}).expressions

    def number(self, name: str) -> int | None:
        """Return a whole number; null where there is none."""
        text = self.text(name)
        return int(text) if text and _WHOLE.fullmatch(text) else None


def read_settings(reply: Any) -> Effective:
    """Return what is in effect of the answer to ``GET /_cluster/settings``, flat and with defaults."""
    found: dict[str, Stands] = {}
    # The later goes before the earlier.
    for part, source in (("defaults", "default"), ("persistent", "persistent"), ("transient", "transient")):
        for key, value in inner(reply, part).items():
            if key.startswith(PREFIX):
                found[key.removeprefix(PREFIX)] = Stands(value=value, source=source)
    return Effective(all=found)
