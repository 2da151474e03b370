"""The body of a group from the options that say who sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.groups import body, faults
from release_tool.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


def body_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body.

    Raises:
        RequestError: who may see it contradicts itself.
    """
    wrong = faults(given["access_mode"], given["backend_roles"], all_roles=given["all_backend_roles"])
    if wrong:
        raise RequestError(wrong)
    return body(
        name=given["name"],
        description=given["description"],
        access_mode=given["access_mode"],
        backend_roles=tuple(given["backend_roles"]),
        add_all_backend_roles=given["all_backend_roles"],
    )
