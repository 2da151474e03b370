"""The bodies of register requests: keys in the order that every server reads, and what an older server can't take.

Sources: ML Commons' ``MLRegisterModelInput`` and ``MLRegisterModelMetaInput``, tags 2.4.0.0 to 3.8.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import is_since
from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK_BYTES = 10_000_000
"""Bytes of each chunk but the last; the server takes no more."""

ORDER = (
    "name", "version", "description", "function_name", "model_format", "model_content_hash_value",
    "model_content_size_in_bytes", "total_chunks", "model_group_id", "access_mode", "backend_roles",
    "add_all_backend_roles", "is_enabled", "rate_limiter", "deploy_setting", "model_node_ids", "connector_id",
    "connector", "guardrails", "interface", "model_config", "url",
)  # fmt: skip
"""Of the keys: function_name decides how model_config is read, so it stands before it."""

SINCE = {
    "model_group_id": "2.8", "access_mode": "2.8", "backend_roles": "2.8", "add_all_backend_roles": "2.8",
    "is_enabled": "2.12", "rate_limiter": "2.12", "deploy_setting": "2.13", "guardrails": "2.13", "interface": "2.14",
    "connector_id": "2.9", "connector": "2.9",
}  # fmt: skip
"""First OpenSearch that knows a key; before it the key is skipped in silence, which is worse than a refusal."""

UNITS = ("NANOSECONDS", "MICROSECONDS", "MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS")
"""Java's TimeUnit: what a rate limiter counts in."""

WITHOUT_MODEL_CONFIG = frozenset({"SPARSE_ENCODING", "SPARSE_TOKENIZE"})
"""From 3.1 on a model_config of these ends in a ClassCastException at deploy; no server needs one."""

LOST_BY_CHUNKS = ("description", "is_enabled", "rate_limiter", "interface", "deploy_setting")
"""What the server drops from a model when its last chunk arrives (seen on 3.6): set again afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimiter:
    """How often anybody may ask the model."""

    limit: float
    unit: str

    def body(self) -> dict[str, str]:
        """Return it as the server takes it: the number is text there."""
        number = f"{self.limit:.12g}"
        return {"limit": number, "unit": self.unit}


NO_LIMIT = RateLimiter(limit=1e9, unit="SECONDS")
"""The server can't forget a rate limiter; nobody asks so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person asks of a model beside its bytes; null: the server's default."""

    name: str | None = None
    version: str | None = None
    description: str | None = None
    group_id: str | None = None
    is_enabled: bool | None = None
    rate_limiter: RateLimiter | None = None
    auto_deploy: bool | None = None
    ttl_minutes: int | None = None
    node_ids: tuple[str, ...] = ()
    interface: dict[str, Any] | None = None
    guardrails: dict[str, Any] | None = None
    access_mode: str | None = None
    backend_roles: tuple[str, ...] = ()
    add_all_backend_roles: bool | None = None
    model_config: dict[str, Any] = field(default_factory=dict)
    """Replaces single keys of the archive's own."""

    def body(self) -> dict[str, Any]:
        """Return the keys that are wished for, but model_config."""
        setting = {"is_auto_deploy_enabled": self.auto_deploy, "model_ttl_minutes": self.ttl_minutes}
        found = {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "model_group_id": self.group_id,
            "access_mode": self.access_mode,
            "backend_roles": list(self.backend_roles) or None,
            "add_all_backend_roles": self.add_all_backend_roles,
            "is_enabled": self.is_enabled,
            "rate_limiter": self.rate_limiter.body() if self.rate_limiter else None,
            "deploy_setting": {key: value for key, value in setting.items() if value is not None} or None,
            "model_node_ids": list(self.node_ids) or None,
            "guardrails": self.guardrails,
            "interface": self.interface,
        }
        return {key: value for key, value in found.items() if value is not None}


def ordered(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with its keys in the order that every server reads; others keep their order at the end."""
    known = [key for key in ORDER if key in body]
    return {key: body[key] for key in (*known, *(key for key in body if key not in ORDER))}


_FROM_CONFIG = (
    "name", "version", "description", "function_name", "model_format", "model_content_hash_value", "model_config",
    "model_content_size_in_bytes",
)  # fmt: skip


def _local(config: Mapping[str, Any], wishes: Wishes) -> dict[str, Any]:
    """Return what config.json and a person say of a local model."""
    body = {key: config[key] for key in _FROM_CONFIG if config.get(key) is not None}
    body.setdefault("function_name", str(config.get("model_task_type") or "TEXT_EMBEDDING"))
    body["function_name"] = str(body["function_name"]).upper()
    body["model_format"] = str(body.get("model_format") or "TORCH_SCRIPT").upper()
    body.setdefault("version", "1")
    model_config = {**(body.get("model_config") or {}), **wishes.model_config}
    if model_config and body["function_name"] not in WITHOUT_MODEL_CONFIG:
        body["model_config"] = model_config
    else:
        body.pop("model_config", None)
    return body | wishes.body()


def by_url(config: Mapping[str, Any], url: str, sha256: str, wishes: Wishes) -> dict[str, Any]:
    """Return the body that registers a local model by its address.

    Args:
        config: its config.json.
        url: where the server fetches the archive.
        sha256: of the archive, lower-case hex.
        wishes: of a person.
    """
    return ordered(_local(config, wishes) | {"model_content_hash_value": sha256, "url": url})


def by_chunks(config: Mapping[str, Any], size: int, sha256: str, wishes: Wishes) -> dict[str, Any]:
    """Return the body that opens an upload by chunks.

    Args:
        config: the archive's config.json.
        size: bytes of the archive.
        sha256: of the archive.
        wishes: of a person.
    """
    meta = {"model_content_hash_value": sha256, "model_content_size_in_bytes": size, "total_chunks": chunks_of(size)}
    return ordered(_local(config, wishes) | meta)


def pretrained(name: str, version: str, model_format: str, function_name: str, wishes: Wishes) -> dict[str, Any]:
    """Return the body that registers one of the project's own models; neither hash nor address is sent."""
    said = {"name": name, "version": version, "model_format": model_format.upper(), "function_name": function_name}
    return ordered({**wishes.body(), **said})


def chunks_of(size: int) -> int:
    """Return how many chunks an archive has."""
    return max(1, -(-size // CHUNK_BYTES))


def restored(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that must be set again after the last chunk; empty where none was asked for."""
    return {key: body[key] for key in LOST_BY_CHUNKS if key in body}


def too_new(body: Mapping[str, Any], version: str) -> tuple[Fault, ...]:
    """Return a fault for each key that a server of this version would skip in silence."""
    faults = [
        Fault(key, f"OpenSearch {version} does not know it; it came with {first}", "leave it out")
        for key, first in SINCE.items()
        if key in body and not is_since(version, first)
    ]
    ttl = (body.get("deploy_setting") or {}).get("model_ttl_minutes")
    if ttl is not None and is_since(version, "2.13") and not is_since(version, "2.14"):
        faults.append(
            Fault("deploy_setting.model_ttl_minutes", f"OpenSearch {version} does not know it", "leave it out")
        )
    return tuple(faults)
