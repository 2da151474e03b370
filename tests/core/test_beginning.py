"""A summary that is too large for GitHub: its beginning, whole sections of it, and where the rest is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.beginning import beginning

PAGE = (
    "**Ready.**\n\n# Title\n\n## First\n\n- one\n\n## Second\n\n```\n## no heading\n```\n\n## Third\n\nend\n"
    + "filler\n" * 40
)
NOTE = "\n**Cut here: this is more than GitHub shows.** See below.\n"


def test_what_fits_is_left_as_it_is():
    assert beginning(PAGE, len(PAGE.encode())) == PAGE


@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        ("end", "## Third"),
        ("## Third", "## Third"),
        ("```\n\n## Th", "## Third"),
        ("no heading\n```", "## Second"),
        ("## no heading", "## Second"),
        ("## Second", None),
        ("- one", None),
        ("# Title", None),
    ],
)
def test_it_ends_before_a_section_that_does_not_fit(end, wanted):
    """There is room for all but the last byte of ``end``, so its line is the first that has none."""
    room = PAGE.index(end) + len(end) - 1 + len(NOTE)
    got = beginning(PAGE, room, "See below.")
    assert got.endswith(NOTE)
    kept = got.removesuffix(NOTE)
    if wanted is not None:
        assert kept == PAGE[: PAGE.index(wanted)]
    else:
        assert PAGE.startswith(kept)
        assert kept == "" or kept.endswith("\n")
        assert PAGE.index(end) - len("\n") <= len(kept) + 2


def test_without_room_for_the_note_there_is_nothing():
    assert beginning(PAGE, len(NOTE) - 1, "See below.") == ""
    assert beginning(PAGE, 0) == ""
    assert beginning(PAGE, -5) == ""


@given(text=st.text("ab#`~ \n\u2028ü\U0001f600", max_size=200), room=st.integers(-10, 400))
def test_it_never_takes_more_room_than_there_is(text, room):
    got = beginning(text, room, "x")
    assert len(got.encode()) <= max(room, 0)
    assert text.startswith(got.split("\n**Cut here", maxsplit=1)[0])
