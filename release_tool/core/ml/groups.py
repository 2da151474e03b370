"""Bodies of model groups, and what of them contradicts itself. Source: ML Commons' ``ModelAccessControlHelper``."""

from __future__ import annotations

from typing import Any

from release_tool.errors import Fault

ACCESS_MODES = ("public", "private", "restricted")


def body(
    *,
    name: str | None = None,
    description: str | None = None,
    access_mode: str | None = None,
    backend_roles: tuple[str, ...] = (),
    add_all_backend_roles: bool | None = None,
) -> dict[str, Any]:
    """Return the body that makes or changes a group; what is null is left to the server."""
    found = {
        "name": name,
        "description": description,
        "access_mode": access_mode,
        "backend_roles": list(backend_roles) or None,
        "add_all_backend_roles": add_all_backend_roles,
    }
    return {key: value for key, value in found.items() if value is not None}


def faults(access_mode: str | None, backend_roles: tuple[str, ...], *, all_roles: bool | None) -> tuple[Fault, ...]:
    """Return what the server would refuse about who may see a group."""
    found = []
    if access_mode == "restricted" and not backend_roles and not all_roles:
        found.append(Fault("--access-mode", "restricted to nobody", "name --backend-role, or --all-backend-roles"))
    if access_mode in {"public", "private"} and (backend_roles or all_roles):
        found.append(Fault("--backend-role", f"says who sees it, and {access_mode} says it too", "leave one out"))
    if backend_roles and all_roles:
        found.append(Fault("--backend-role", "is named beside --all-backend-roles", "leave one out"))
    return tuple(found)
