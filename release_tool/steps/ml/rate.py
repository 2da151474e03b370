"""``100/minutes``: the type of an option for a rate limiter."""

from __future__ import annotations

from typing import Any

import click

from release_tool.core.ml.register import UNITS, RateLimiter


class Rate(click.ParamType[RateLimiter]):
    """A number and a unit of time."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RateLimiter:
        """Read it; the unit may be in one or in many, in any case."""
        if isinstance(value, RateLimiter):
            return value
        number, _, unit = str(value).partition("/")
        wanted = unit.strip().upper()
        wanted = wanted if wanted.endswith("S") else f"{wanted}S"
        try:
            limit = float(number)
        except ValueError:
            limit = 0.0
        if not 0 < limit < float("inf") or wanted not in UNITS:
            self.fail(f"{value!r} is no rate; such as 100/minutes ({', '.join(UNITS).lower()}).", param, ctx)
        return RateLimiter(limit=limit, unit=wanted)


RATE = Rate()
