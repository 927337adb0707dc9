"""Text as it is kept and shown."""

from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.words import clean, preview


@given(st.text(st.characters()))
def test_a_cleaned_text_can_be_stored_anywhere_and_cleaning_it_again_changes_nothing(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_whatever_people_can_see_is_kept(text: str) -> None:
    assert clean(text) == text


def test_line_ends_tabs_bidi_and_joined_emoji_are_kept_and_control_signs_go() -> None:
    kept = "a\tb\r\nc\u202e\u200b\u200d👩🏽‍🚒"
    assert clean(kept) == kept
    assert clean("a\0b\x07c\x1bd\x7fe\ud83d") == "abcde"


@given(st.text(st.characters()), st.integers(1, 60))
def test_a_preview_is_one_line_of_at_most_its_length(text: str, length: int) -> None:
    line = preview(text, length)
    assert len(line) <= length
    assert line == line.strip()
    assert len(line.splitlines()) <= 1


def test_a_preview_says_that_there_is_more() -> None:
    assert preview("one\n\n two  three") == "one two three"
    assert preview("word " * 100, 10) == "word word…"
    assert preview("x" * 140) == "x" * 140
    assert preview("x" * 141) == "x" * 139 + "…"
