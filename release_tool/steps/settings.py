"""The settings of a repository, read from its root, and the addresses that its targets' names stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.bounded import NotReadable, read_bounded
from release_tool.core.request import closest
from release_tool.core.settings import SETTINGS_FILE, parse_settings
from release_tool.errors import Fault, RequestError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import ReleasePlan
    from release_tool.core.settings import Settings, Target

MAX_BYTES = 1 << 20


def read_settings(repo: Path) -> Settings:
    """Return the settings of a repository; none where it has no such file.

    Raises:
        UsageError: the file can't be read, or says what is not known here.
    """
    try:
        data = read_bounded(repo / SETTINGS_FILE, MAX_BYTES)
    except FileNotFoundError:
        data = None
    except (OSError, NotReadable) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{SETTINGS_FILE} can't be read: {what}.", hint="Look at what lies there.") from error
    return parse_settings(data)


def find_target(repo: Path, name: str, option: str) -> Target:
    """Return the target of a name.

    Raises:
        RequestError: there is none of that name.
        UsageError: as ``read_settings``.
    """
    return target_of(read_settings(repo), name, option)


def target_of(settings: Settings, name: str, option: str) -> Target:
    """Return the target of a name.

    Raises:
        RequestError: there is none of that name.
    """
    target = settings.target(name)
    if target is None:
        known = closest(name, settings.names) if settings.names else f"{SETTINGS_FILE} names none"
        raise RequestError((Fault(option, f"{name[:80]!r} is no target", known),))
    return target


def address_of(repo: Path, to: str) -> str:
    """Return the address that ``--to`` means: itself, or that of the target of this name.

    Raises:
        as ``find_target``
    """
    return to if ":" in to else find_target(repo, to, "--to").to


def is_served(settings: Settings, to: str) -> bool:
    """Tell whether people are served from ``--to``, the name or the address of a target.

    What is no target at all serves nobody, so that what lies there is no business of Jenkins's.
    """
    return any(target.serves and to.rstrip("/") in {target.name, target.to} for target in settings.targets)


def planned_address(repo: Path, plan: ReleasePlan, to: str | None) -> str | None:
    """Return where a release goes: what the plan says, else ``--to``, else null.

    Raises:
        UsageError: ``--to`` says another place than the plan, which was or will be approved.
        as ``find_target``
    """
    given = address_of(repo, to).rstrip("/") if to else None
    if plan.to is not None and given not in (None, plan.to):
        raise UsageError(
            f"The plan goes to {plan.request.upload_target}, {plan.to}.",
            hint="Leave --to out, or plan again for another --upload-target.",
        )
    return plan.to or given
