import html
import re
from math import log10

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.report.style import count_axis, label, on_count_axis, translucent, wrapped


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=["C"])))
def test_a_label_is_shown_letter_by_letter(text: str) -> None:
    safe = label(text)
    assert not re.search(r"[<>]", safe)
    assert html.unescape(safe) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("&lt;", "&amp;lt;"),
        ("two\nlines\x00\u202e", "two lines  "),
        ("broken \udcff name", "broken   name"),
        ("\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u200c\u0631\u0648\u0645"),  # Persian
        ("\U0001f469\u200d\U0001f52c\u200b", "\U0001f469\u200d\U0001f52c "),  # a scientist
    ],
)
def test_markup_entities_and_control_characters_lose_their_effect(text: str, safe: str) -> None:
    assert label(text) == safe


def test_a_long_label_keeps_both_ends() -> None:
    assert label("white-tailed eagle", 11) == "white…eagle"
    assert label("white-tailed", 12) == "white-tailed"
    assert label("<<<<<<<<<<<<", 3) == "&lt;…&lt;"


def test_lines_are_broken_before_they_are_made_safe() -> None:
    assert wrapped("<a> <b>", 4) == "&lt;a&gt;<br>&lt;b&gt;"


def test_an_axis_of_counts_has_round_ticks() -> None:
    axis = count_axis([500, 5])
    assert axis["ticktext"] == ["5", "10", "20", "50", "100", "200", "500"]
    assert axis["range"][0] < log10(5)
    assert log10(500) < axis["range"][1]
    assert count_axis([1280, 5])["ticktext"] == ["10", "100", "1,000"]


def test_an_axis_of_counts_shows_zero_below_one() -> None:
    axis = count_axis([0, 20])
    assert axis["ticktext"] == ["0", "1", "2", "5", "10", "20"]
    assert axis["tickvals"][0] == on_count_axis(0) == 0.5


def test_an_axis_of_nearly_equal_counts_has_its_ends_as_ticks() -> None:
    assert count_axis([37, 37])["ticktext"] == ["37"]
    assert count_axis([30, 45])["ticktext"] == ["30", "45"]


def test_a_colour_becomes_translucent() -> None:
    assert translucent("#1A80C4", 0.5) == "rgba(26,128,196,0.5)"
