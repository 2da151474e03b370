"""The changelog: one line goes in, nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from release_tool.core.changelog import MARKER, insert, named, read
from release_tool.errors import RecordError

DIGEST = "6f1c09ab2d3e" + "0" * 52
OTHER = "a" * 64
ENTRY = f"- `acme/tiny` 1.0.0, digest `{DIGEST[:12]}`."
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"

OURS = f"# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n### Models\n\n{MARKER}\n"
THEIRS = (
    "# CHANGELOG\n\n## [Unreleased]\n\n### Added\n- a1\n\n### Changed\n- c1\n- c2\n\n### Fixed\n- f1\n\n"
    "## [1.0.0]\n\n### Changed\n- old\n"
)


def inserted(old, new):
    """Return the one piece by which a text has grown; fail when anything else changed.

    A piece that begins as what follows it ends can be found in several places; the one with the entry in it is meant.
    """
    size = len(new) - len(old)
    pieces = [new[at : at + size] for at in range(len(old) + 1) if new[:at] + new[at + size :] == old]
    assert pieces, "something else changed"
    return max(pieces, key=lambda piece: piece.count(ENTRY))


lines = st.sampled_from(
    [
        "# Changelog", "## [Unreleased]", "## [Unreleased 2.x]", "## [1.0.0]", "## [0.9.0] - 2024-01-01", "### Added",
        "### Changed", "### Changed in docs", "### Fixed", "### Models", "#### Deep", "- a line", "* another", "", "",
        "text", "```", "~~~~", "  ```python", MARKER, f"  {MARKER}", "<!-- a comment -->", "## Not bracketed",
        "\x0bodd\u2028line",
    ]
)  # fmt: skip


@given(
    text=st.lists(lines, max_size=25),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    mark=st.sampled_from(["", BOM]),
)
@example(text=[], end="\n", last=False, mark="")
@example(text=[""], end="\n", last=False, mark=BOM)
def test_law_nothing_changes_but_one_piece_that_holds_the_entry_once(text, end, last, mark):
    old = mark + end.join(text) + (end if last and text else "")
    new = insert(old, ENTRY, DIGEST)
    piece = inserted(old, new)
    assert piece.count(ENTRY) == 1
    assert ENTRY in new.replace("\r\n", "\n").split("\n")
    if end in old:
        assert piece.replace(end, "").count("\n") == 0
    assert new.startswith(mark)
    assert insert(new, ENTRY, DIGEST) == new
    assert insert(new, "- other words", DIGEST) == new


@given(text=st.lists(lines, max_size=25), end=st.sampled_from(["\n", "\r\n"]))
def test_law_two_entries_survive_in_either_order(text, end):
    old = end.join(text)
    other = f"- `acme/two` 1.0.0, digest `{OTHER[:12]}`."
    one_way = insert(insert(old, ENTRY, DIGEST), other, OTHER)
    other_way = insert(insert(old, other, OTHER), ENTRY, DIGEST)
    for new in (one_way, other_way):
        assert new.count(ENTRY) == new.count(other) == 1
    one_lines, other_lines = (sorted(new.replace("\r\n", "\n").split("\n")) for new in (one_way, other_way))
    assert one_lines == other_lines


@given(st.text(max_size=300))
def test_law_any_text_at_all_keeps_every_sign(text):
    new = insert(text, ENTRY, DIGEST)
    assert inserted(text, new).count(ENTRY) == 1


def test_an_entry_stands_right_after_the_marker():
    assert insert(OURS, ENTRY, DIGEST) == f"{OURS}{ENTRY}\n"


def test_the_newest_entry_stands_first_and_a_blank_line_before_the_list_stays():
    text = f"{OURS}\n- `acme/old`, digest `{OTHER[:12]}`.\n\n## [0.1.0]\n"
    assert insert(text, ENTRY, DIGEST) == f"{OURS}\n{ENTRY}\n- `acme/old`, digest `{OTHER[:12]}`.\n\n## [0.1.0]\n"


def test_a_marker_inside_a_block_of_code_is_none():
    text = f"# Changelog\n\n```\n{MARKER}\n## [Unreleased]\n```\n\n## [Unreleased]\n"
    assert insert(text, ENTRY, DIGEST) == f"{text}\n### Changed\n{ENTRY}\n"


def test_without_a_marker_it_goes_to_the_end_of_changed():
    assert insert(THEIRS, ENTRY, DIGEST) == THEIRS.replace("- c2\n", f"- c2\n{ENTRY}\n")


def test_changed_is_made_after_added():
    old = "## [Unreleased]\n\n### Added\n- a1\n\n## [1.0.0]\n- x\n"
    assert (
        insert(old, ENTRY, DIGEST) == f"## [Unreleased]\n\n### Added\n- a1\n\n### Changed\n{ENTRY}\n\n## [1.0.0]\n- x\n"
    )


def test_changed_is_made_before_the_first_other_heading():
    old = "## [Unreleased]\n\n### Fixed\n- f1\n"
    assert insert(old, ENTRY, DIGEST) == f"## [Unreleased]\n\n### Changed\n{ENTRY}\n\n### Fixed\n- f1\n"


def test_changed_is_made_in_an_empty_section():
    old = "# C\n\n## [Unreleased]\n\n## [1.0.0]\n- x\n"
    assert insert(old, ENTRY, DIGEST) == f"# C\n\n## [Unreleased]\n\n### Changed\n{ENTRY}\n\n## [1.0.0]\n- x\n"


def test_a_released_section_is_never_touched():
    old = "# C\n\n## [1.4.0]\n\n### Changed\n- x\n"
    assert (
        insert(old, ENTRY, DIGEST)
        == f"# C\n\n## [Unreleased]\n\n### Changed\n{ENTRY}\n\n## [1.4.0]\n\n### Changed\n- x\n"
    )


def test_a_heading_that_only_begins_so_is_another_one():
    old = "## [Unreleased]\n\n### Changed defaults\n- d\n"
    assert insert(old, ENTRY, DIGEST) == f"## [Unreleased]\n\n### Changed\n{ENTRY}\n\n### Changed defaults\n- d\n"


def test_where_the_last_section_has_no_final_newline_no_line_is_cut():
    old = "## [Unreleased]\n\n### Changed\n- c1"
    assert insert(old, ENTRY, DIGEST) == f"{old}\n{ENTRY}"


def test_a_release_that_the_file_names_anywhere_is_not_named_again():
    old = f"## [Unreleased]\n\n## [1.0.0]\n- by hand: {DIGEST}\n"
    assert insert(old, ENTRY, DIGEST) == old


def test_digests_are_found_whole_or_cut_and_nothing_shorter():
    assert named(f"`{DIGEST[:12]}` {OTHER} abcdef0 {'9' * 11}") == {DIGEST[:12], OTHER[:12]}


def test_a_file_that_is_not_text_is_named_with_its_line():
    with pytest.raises(RecordError, match=r"CHANGELOG\.md, line 3: it is not UTF-8"):
        read(b"# C\n\n\xff\n")
