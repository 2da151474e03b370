"""Turn template text and a page into HTML or Markdown.

Every printed value is escaped for its place by the environment itself; a template that forgets a filter still
can't let a model's name become markup. An undefined name is an error, not an empty place. Templates run in a
sandbox: one that a repository brings along can print the page and nothing else. Jinja is imported only here,
inside the functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import code, markdown, one_line, plain
from release_tool.core.history import Code
from release_tool.core.quantity import clip
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from release_tool.core.page import Page

MAX_VALUE_CHARACTERS = 800
"""Longer than any value that a person reads; only config.json and the command are printed at length."""

_WORDS = "[0-9-]{10} [0-9]{2}:[0-9]{2}:[0-9]{2}Z?|@?[A-Za-z0-9]++(?:(?:[./_-]|,? )[A-Za-z0-9]++)*|-"
_HARMLESS = re.compile(f"(?:`(?:{_WORDS})`|{_WORDS})(?: \\| (?:`(?:{_WORDS})`|{_WORDS}))*")
"""Cells that are a login, a time, or words between which single signs stand: nothing of it is markup anywhere."""

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/-]*)?")

_OF_A_TEMPLATE = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What the code of a template can raise beside jinja's own errors: ``1 + page.title``, an include."""


class Ready(str):
    """Markdown that a filter has made: printed as it is."""

    __slots__ = ()


def render_html(template: str, page: object, *, name: str = "review.html.j2") -> str:
    """Return the page as HTML.

    Raises:
        UsageError: the template is wrong or names what a page has not.
    """
    return _render(
        template, {"page": page}, name, autoescape=True, finalize=_html_value, filters={"block": _html_block}
    )


def render_markdown(template: str, page: Page, *, name: str = "review.md.j2") -> str:
    """Return the page as Markdown.

    Raises:
        UsageError: the template is wrong or names what a page has not.
    """
    return render_values(template, {"page": page}, name=name)


def render_values(template: str, values: Mapping[str, object], *, name: str) -> str:
    """Return Markdown made of named values.

    Raises:
        UsageError: the template is wrong or names what it was not given.
    """
    filters: dict[str, Callable[..., str]] = {
        "cell": _cell,
        "cells": _cells,
        "code": _code,
        "fence": _fence,
        "link": _link,
    }
    return _render(template, values, name, autoescape=False, finalize=_markdown_value, filters=filters)


def _render(
    template: str,
    values: Mapping[str, object],
    name: str,
    *,
    autoescape: bool,
    finalize: Callable[[Any], Any],
    filters: Mapping[str, Callable[..., str]],
) -> str:
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=finalize,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    try:
        text = environment.from_string(template).render(**values)
    except (TemplateError, *_OF_A_TEMPLATE) as error:
        raise UsageError(
            f"The template {name} can't be rendered: {one_line(str(error))[:300]}",
            hint=f"Correct templates/{name} of the repository, or remove it to use the packaged one.",
        ) from error
    return text.rstrip("\n") + "\n"


def _html_value(value: Any) -> Any:
    # SVG was escaped where it was made; jinja escapes the rest after this.
    return value if hasattr(value, "__html__") else clip(one_line(str(value)), MAX_VALUE_CHARACTERS)


def _html_block(value: str) -> Any:
    """Return text of several lines, escaped here, with its line breaks kept."""
    from markupsafe import Markup, escape

    return Markup(escape(plain(value)))  # noqa: S704 - escaped in the same breath


def _markdown_value(value: Any) -> str:
    return value if isinstance(value, Ready) else _cell(str(value))


def _cell(value: str) -> Ready:
    return Ready(markdown(clip(str(value), MAX_VALUE_CHARACTERS)))


def _cells(values: Any, absent: str = "") -> Ready:
    """Return the cells of one line of a table; ``absent`` stands where there is no value.

    Most lines hold nothing that could mean anything in Markdown, and a table may have thousands: these are looked at
    once, and not escaped sign by sign.
    """
    items = (values,) if isinstance(values, str) else values
    line = " | ".join([absent if item is None else f"`{item}`" if item.__class__ is Code else item for item in items])
    whole = _HARMLESS.fullmatch(line) and line.count("|") == len(items) - 1 and "www" not in line.lower()
    if whole and len(line) < MAX_VALUE_CHARACTERS:
        return Ready(line)
    cells = [absent if item is None else item for item in items]
    return Ready(" | ".join(_code(item) if isinstance(item, Code) else _cell(item) for item in cells))


def _code(value: str) -> Ready:
    return Ready(code(clip(str(value), MAX_VALUE_CHARACTERS)))


def _link(value: str) -> Ready:
    """Return an address as a link; one with signs that could mean anything in Markdown as code."""
    return Ready(f"<{value}>") if _ADDRESS.fullmatch(str(value)) else _code(value)


def _fence(value: str) -> Ready:
    """Return text as a fenced block whose fence is longer than any run of backticks inside."""
    text = plain(str(value))
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Ready(f"{fence}\n{text}\n{fence}")
