"""Untrusted text becomes one line without markup or hidden characters, in time linear in its length."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.news.untrusted import plain_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>Rates <b>rise</b></p><p>again</p>", "Rates rise again"),
        ("in<b>fla</b>tion", "inflation"),
        ("a<br>b", "a b"),
        ("before<script>alert('x')</script>after", "before after"),
        ("before<SCRIPT src=//evil>alert(1)</ScRiPt >after", "before after"),
        ("<style>p{}</style>text", "text"),
        ("&lt;img src=x onerror=alert(1)&gt;text", "text"),
        ("&amp;lt;script&amp;gt;alert(1)&amp;lt;/script&amp;gt;text", "text"),
        ("AT&amp;T &mdash; up 3 &lt; 5", "AT&T \u2014 up 3 < 5"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("text<!-- hidden -->more", "text more"),
        ("text<!-- never closed", "text"),
        ("text<script>never closed", "text"),
        ("line\r\n\tone\x00two\x1b[31m", "line one two [31m"),
        ("abc\u202edef\u2066g\u200bh\ufeff", "abcdefgh"),
        ("e" + "\u0301" * 50 + "x", "\u00e9\u0301\u0301x"),
        ("{{ 7*7 }} ${7*7} '; DROP TABLE news_articles; --", "{{ 7*7 }} ${7*7} '; DROP TABLE news_articles; --"),
    ],
)
def test_plain_text_keeps_only_visible_text(text: str, shown: str) -> None:
    assert plain_text(text, 500) == shown


def test_a_text_is_cut_between_words() -> None:
    assert plain_text("The quick brown fox jumps", 18) == "The quick brown\u2026"
    assert len(plain_text("x" * 1_000_000, 300)) == 300
    assert plain_text("anything", 0) == ""


@given(st.text(max_size=400), st.integers(0, 300))
def test_plain_text_never_has_markup_or_control_characters(text: str, most: int) -> None:
    shown = plain_text(text, most)
    assert len(shown) <= most
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in shown)
    assert not any(f"<{sign}" in shown for sign in "aZ/!?")


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<script>", "&lt;", "<a ", "<a href='", "&amp;", "</", "\u0301", "\u202e"]
)
def test_cleaning_time_grows_linearly(piece: str) -> None:
    def seconds(length: int) -> float:
        begun = time.process_time()
        plain_text(piece * (length // len(piece)), length)
        return time.process_time() - begun

    seconds(1_000)
    # Ten times the text may take ten times the time. A hundred times the time would mean quadratic growth.
    assert seconds(1_000_000) < 40 * max(seconds(100_000), 0.005)
