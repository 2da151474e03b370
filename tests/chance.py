"""Chance that is the same every time."""

from __future__ import annotations

import random


def seeded(seed):
    """Return a source of numbers that are drawn alike in each run.

    The rule S311 is there for keys and tokens, which nobody may guess. Here everybody must: a failing test has to draw
    the same texts again, and what can't be guessed (``secrets``, ``SystemRandom``) can't be given a seed.
    """
    return random.Random(seed)  # noqa: S311 - has to be drawn again, see above
