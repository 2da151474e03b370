"""The options of register that say how a model is registered, and the values that they make."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from release_tool.core.ml.groups import ACCESS_MODES
from release_tool.core.ml.register import Wishes
from release_tool.steps.ml.rate import RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

group_options: tuple[Callable[[Any], Any], ...] = (
    click.option("--access-mode", type=click.Choice(ACCESS_MODES), help="Who sees a group that is made."),
    click.option("--backend-role", "backend_roles", multiple=True, metavar="ROLE", help="Sees it; repeatable."),
    click.option("--all-backend-roles", is_flag=True, default=None, help="Whoever has a role of yours sees it."),
)
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--name", metavar="TEXT", help="Name of the model on the cluster.  [default: that of its config]"),
    click.option("--version", metavar="TEXT", help="Its version; of a pretrained model the one that is wanted."),
    click.option("--description", metavar="TEXT", help="Its description.  [default: that of its config]"),
    click.option("--group", metavar="ID|NAME", help="Model group; made where there is none of this name."),
    *group_options,
    click.option("--enable/--disable", "enabled", default=None, help="Whether it may be asked once it is deployed."),
    click.option("--rate-limit", type=RATE, metavar="N/UNIT", help="How often it may be asked, such as 100/minutes."),
    click.option("--auto-deploy/--no-auto-deploy", default=None, help="Whether the first question deploys it."),
    click.option("--ttl", type=click.IntRange(min=-1), metavar="MINUTES", help="Undeploy after so long without one."),
    click.option(
        "--model-config", "overrides", multiple=True, metavar="KEY=VALUE",
        help="Replace a key of the archive's model_config, such as pooling_mode=cls; repeatable.",
    ),
)  # fmt: skip

NAMES = (
    "name", "version", "description", "group", "access_mode", "backend_roles", "all_backend_roles", "enabled",
    "rate_limit", "auto_deploy", "ttl", "overrides",
)  # fmt: skip


def add_options(options: tuple[Callable[[Any], Any], ...]) -> Callable[[F], F]:
    """Return a decorator that adds options; the command gets them as keyword arguments."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


wish_options = add_options(_OPTIONS)
"""Adds what ``wishes_of`` reads."""


def wishes_of(asked: Mapping[str, Any]) -> Wishes:
    """Return what a person asks for; a group is asked for apart (see ``group_body``).

    Raises:
        RequestError: --model-config is no KEY=VALUE, or who may see a group contradicts itself.
    """
    from release_tool.core.ml.groups import faults
    from release_tool.errors import RequestError

    wrong = faults(asked["access_mode"], asked["backend_roles"], all_roles=asked["all_backend_roles"])
    if wrong:
        raise RequestError(wrong)
    return Wishes(
        name=asked["name"],
        version=asked["version"],
        description=asked["description"],
        is_enabled=asked["enabled"],
        rate_limiter=asked["rate_limit"],
        auto_deploy=asked["auto_deploy"],
        ttl_minutes=asked["ttl"],
        model_config=dict(_override(text) for text in asked["overrides"]),
        **({} if asked["group"] else _access(asked)),
    )


def _access(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "access_mode": asked["access_mode"],
        "backend_roles": tuple(asked["backend_roles"]),
        "add_all_backend_roles": asked["all_backend_roles"],
    }


def group_body(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the group that ``--group`` names is made where there is none."""
    from release_tool.core.ml.groups import body

    return body(**_access(asked)) if asked["group"] else {}


def _override(text: str) -> tuple[str, Any]:
    from release_tool.errors import Fault, RequestError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RequestError((Fault("--model-config", f"{text[:80]!r} is no KEY=VALUE", "such as pooling_mode=cls"),))
    try:
        read = json.loads(value)
    except ValueError:
        return key, value
    # all_config is a text that holds JSON, whatever it looks like.
    return key, value if key == "all_config" else read


def named(wishes: Wishes, **changes: Any) -> Wishes:
    """Return wishes with what the person left open filled in."""
    return replace(wishes, **{key: value for key, value in changes.items() if getattr(wishes, key) is None})
