"""Chance that is the same every time."""

from __future__ import annotations

import random


def seeded(seed):
    """Return a source of numbers that are drawn alike in each run."""
    return random.Random(seed)  # noqa: S311 - for tests, no secret
