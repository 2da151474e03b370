"""Text of others, shown in each place without breaking out of it."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.escape import (
    annotation,
    annotation_property,
    code,
    html_text,
    log_text,
    markdown,
    one_line,
    plain,
    server_text,
)

TEXT = st.text(st.characters(), max_size=60)
NASTY = st.text(st.sampled_from("a b\n\r\t%:,`|\\*_[]()<>#&~$@!\x1b\x00\u202e\u2028\ufeff\u0085.-+='\"中"), max_size=60)
ANY = TEXT | NASTY

INVISIBLE = "\x1b\x00\x07\x7f\x9b\u202e\u200b\u2028\u2066\ufeff"


def is_served(text: str) -> bool:
    """Hold a text against the server's own expression, ``[\\p{L}\\p{N}\\s.,!?():@\\-_/'"]*``, category by category."""
    return all(
        unicodedata.category(char)[0] in "LN" or char in " \t\n\x0b\f\r" or char in ".,!?():@-_/'\"" for char in text
    )


@given(ANY)
def test_server_text_is_idempotent_and_within_the_servers_characters(text):
    once = server_text(text)
    assert server_text(once) == once
    assert is_served(once)
    assert once == " ".join(once.split())


@given(st.text(st.characters(categories=("Lu", "Ll", "Nd"), max_codepoint=0x17F)))
def test_server_text_keeps_words(text):
    assert server_text(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "served"),
    [
        ("maps sentences & paragraphs", "maps sentences and paragraphs"),
        ("R&D", "R and D"),
        ("a &amp; b", "a and b"),
        ("a && b", "a and and b"),
        ("<b>x</b>; [y] = 100%", "b x /b y 100"),
        ("naïve 中文 ١٢", "naïve 中文 ١٢"),
        ("  many\n\tspaces  ", "many spaces"),
        ("&", "and"),
        ("***", ""),
    ],
)
def test_server_text_by_example(text, served):
    assert server_text(text) == served


@given(ANY)
def test_plain_text_holds_nothing_that_moves_the_cursor_or_hides(text):
    shown = plain(text)
    assert not any(unicodedata.category(char) == "Cc" and char not in "\n\t" for char in shown)
    assert not set(shown) & set(INVISIBLE)
    shown.encode()


@given(ANY)
def test_one_line_is_one_line(text):
    assert len(one_line(text).splitlines()) <= 1


@given(ANY)
def test_an_annotation_is_one_command_and_parses_back(text):
    shown = annotation(text)
    assert len(shown.splitlines()) <= 1
    back = shown.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
    assert back == plain(text) or "\r" in text


@given(ANY | st.text(st.sampled_from(":# [\n\r\u2028x"), max_size=30))
def test_no_line_of_a_log_is_a_command_to_the_runner(text):
    for line in re.split(r"[\r\n\u0085\u2028\u2029]", log_text(text)):
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


@given(ANY)
def test_a_property_can_not_end_itself(text):
    assert not set(annotation_property(text)) & set(":,\n\r")


@given(ANY)
def test_markdown_parses_back_to_the_text_and_has_no_live_mark(text):
    shown = markdown(text)
    assert re.sub(r"\\(.)", r"\1", shown.replace("@<!-- -->", "@")) == one_line(text)
    live = re.sub(r"\\.", "", shown.replace("@<!-- -->", "@"))
    assert not set(live) & set("`*_[]<#|~$&@")
    assert not re.search(r":\S", live)


@given(ANY)
def test_html_parses_back_to_the_text_and_has_no_live_mark(text):
    shown = html_text(text)
    assert html.unescape(shown) == html.unescape(html.escape(plain(text), quote=True))
    assert not set(shown) & set("<>\"'")


@given(ANY)
def test_code_is_fenced_longer_than_any_run_inside(text):
    shown = code(text)
    if not shown:
        assert not one_line(text)
        return
    fence = re.match(r"`+", shown).group()
    inner = shown[len(fence) : -len(fence)]
    assert fence not in inner
    assert not re.search(r"(?<!\\)\|", inner)
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("char", INVISIBLE)
def test_each_invisible_character_is_made_visible(char):
    assert char not in plain(f"a{char}b")
