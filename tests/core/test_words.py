"""Words of all scripts."""

from __future__ import annotations

from release_tool.core.words import words_of


def test_words_are_folded_and_scripts_without_spaces_are_cut_into_pairs():
    assert words_of("Größe der ÄPFEL, 2-mal") == ["grösse", "der", "äpfel", "2", "mal"]
    assert words_of("東京タワー") == ["東京", "京タ", "タワ", "ワー"]
    assert words_of("在abc中") == ["在", "abc", "中"]
    assert words_of("снег идёт") == ["снег", "идёт"]
