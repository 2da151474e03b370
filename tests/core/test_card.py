"""Licence and description, taken from a text that anybody may have written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.card import (
    LISTED_LICENCES,
    MAX_DESCRIPTION_CHARACTERS,
    LicenceVerdict,
    accepts,
    licence_facts,
    read_card,
    verdict,
)


def facts_of(front, accepted=None):
    return licence_facts(read_card(f"---\n{front}\n---\n# M\n".encode()), accepted)


@pytest.mark.parametrize(
    ("front", "declared", "expected"),
    [
        ("license: apache-2.0", "apache-2.0", LicenceVerdict.LISTED),
        ('license: "MIT"  # plain', "MIT", LicenceVerdict.LISTED),
        ("license:\n- mit\n- apache-2.0", "mit, apache-2.0", LicenceVerdict.LISTED),
        ("license: [mit, cc-by-4.0]", "mit, cc-by-4.0", LicenceVerdict.LISTED),
        ("license: cc-by-nc-4.0", "cc-by-nc-4.0", LicenceVerdict.UNLISTED),
        ("license: [mit, gpl-3.0]", "mit, gpl-3.0", LicenceVerdict.UNLISTED),
        ("license: Apache 2.0", "Apache 2.0", LicenceVerdict.UNLISTED),
        ("license: other\nlicense_name: not-apache-2.0", "other (not-apache-2.0)", LicenceVerdict.UNLISTED),
        ("language: en", None, LicenceVerdict.MISSING),
        ("license:", None, LicenceVerdict.MISSING),
        ("license: null", None, LicenceVerdict.MISSING),
        ("base_model: x/bar-apache-2.0", None, LicenceVerdict.MISSING),
        ("  license: mit", None, LicenceVerdict.MISSING),
        ("extra:\n  license: mit", None, LicenceVerdict.MISSING),
    ],
)
def test_the_licence_is_what_the_front_matter_plainly_says(front, declared, expected):
    facts = facts_of(front)
    assert facts.declared == declared
    assert verdict(facts) is expected


@pytest.mark.parametrize(
    "front",
    [
        "license: |\n  apache-2.0",
        "license: >-\n  mit",
        "license: &x mit",
        "license: *x",
        "license: !!str mit",
        "license: {id: mit}",
        "license: mit\n  and nothing else",
        "license: [mit, &x gpl-3.0]",
        "license:\n- mit\n- |\n  gpl-3.0",
        "license: mit\nlicense: *other",
        "license: " + "m" * 5000,
    ],
)
def test_what_goes_beyond_the_plain_subset_never_counts_as_an_open_licence(front):
    assert not facts_of(front).listed


def test_a_licence_given_twice_counts_with_both_values():
    facts = facts_of("license: mit\nlicense: cc-by-nc-4.0")
    assert facts.declared == "mit, cc-by-nc-4.0"
    assert not facts.listed


@pytest.mark.parametrize("card", [None, b"", b"license: mit", b"---\nlicense: mit\n", b"# T\n---\nlicense: mit\n---\n"])
def test_without_a_closed_front_matter_at_the_top_there_is_no_licence(card):
    assert verdict(licence_facts(read_card(card), None)) is LicenceVerdict.MISSING


def test_carriage_returns_and_a_byte_order_mark_do_not_hide_the_front_matter():
    card = read_card(b"\xef\xbb\xbf---\r\nlicense: mit\r\ntags: [Sparse, x]\r\n---\r\n")
    assert card.licences == ("mit",)
    assert card.tags == ("sparse", "x")


def test_listed_licences_are_written_as_the_hub_writes_them():
    assert all(word == word.lower() and " " not in word for word in LISTED_LICENCES)
    assert not {"gpl-3.0", "agpl-3.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "openrail", "llama3", "other"} & LISTED_LICENCES


@pytest.mark.parametrize(
    ("front", "accepted", "right"),
    [
        ("license: gpl-3.0", "GPL-3.0", True),
        ("license: gpl-3.0", "mit", False),
        ("license: [mit, gpl-3.0]", "gpl-3.0", True),
        ("license: other\nlicense_name: acme", "acme", True),
        ("language: en", "mit", True),
        ("license: gpl-3.0", None, True),
    ],
)
def test_an_acceptance_must_name_what_the_card_declares(front, accepted, right):
    assert accepts(facts_of(front, accepted)) is right


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("# T\n\nOne two three. Four.\n", "One two three. Four."),
        (
            "# T\nThis is a [model](https://x.y/z): It maps *sentences* & `code`.\n",
            "This is a model: It maps sentences & code.",
        ),
        ("[![b](x)](y) ![c](d)\n\n# T\n\n[![b](x)](y)\n\nIt does this well.", "It does this well."),
        ("# T\n\n<p align='center'><img src=x></p>\n\n<b>It</b> does &lt;this&gt; well.", "It does <this> well."),
        ("# T\n\n```\ncode here is not prose\n```\n\nIt does this well.", "It does this well."),
        ("# T\n\n- a list item here\n- b\n\n| a | b | c |\n|---|---|---|\n\nIt does this well.", "It does this well."),
        ("# T\n\n## Usage\n\nIt does this well.", "It does this well."),
        ("No title but it does this.", "No title but it does this."),
        ("Words before the title here.\n\n# T\n", "Words before the title here."),
        ("# T\n\n215M pairs (of text) stay.", "215M pairs (of text) stay."),
        ("# T\n\nsnake_case_name stays, _emphasis_ goes.", "snake_case_name stays, emphasis goes."),
        ("# T\n\nIt runs `rm -rf $(x)` and ${y} too.", "It runs rm -rf $(x) and ${y} too."),
        ("# T\n\n<!-- hidden words go\n\nhere --> It does this well.", "It does this well."),
        ("", None),
        ("# Only a title here\n", None),
        ("```\nnever closed code block text", None),
    ],
)
def test_the_description_is_the_first_prose_under_the_title(body, expected):
    assert read_card(f"---\nlicense: mit\n---\n{body}".encode()).description == expected


def test_a_long_paragraph_ends_with_a_whole_sentence():
    text = " ".join(f"Sentence number {index} ends here." for index in range(100))
    description = read_card(f"# T\n\n{text}".encode()).description
    assert len(description) <= MAX_DESCRIPTION_CHARACTERS
    assert description.endswith("ends here.")


def test_terminal_sequences_do_not_pass():
    assert "\x1b" not in read_card(b"# T\n\nIt \x1b[2J\x1b[31mdoes this.").description


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: ("---\n" + text).encode("utf-8", "replace")))
def test_any_bytes_make_a_card(data):
    card = read_card(data)
    facts = licence_facts(card, None)
    assert facts.listed <= (facts.declared is not None)
    if card.description is not None:
        assert 0 < len(card.description) <= MAX_DESCRIPTION_CHARACTERS
        assert "\n" not in card.description


@pytest.mark.parametrize(
    "part", ["![", "[", "[x](", "<a ", "<!--", "```\n", "# ", "**", "- ", "(", "&lt;", "\n\n", "https://"]
)
def test_a_card_made_to_be_slow_is_read_in_time(part):
    started = time.process_time()
    read_card(("---\nlicense: mit\n---\n# T\n\n" + part * (400_000 // len(part))).encode())
    assert time.process_time() - started < 5
