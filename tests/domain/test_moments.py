"""Times as customers write them and as they are told."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.moments import read_wish, spoken
from tests.domain.bots import SUNDAY, ZONE


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("demain 10h30", "23 10:30", "23 10:30"),
        ("Lundi matin svp", "23 08:00", "23 12:00"),
        ("25/11 à 15h", "25 15:00", "25 15:00"),
        ("14", "22 14:00", "22 14:00"),
        ("9h", "23 09:00", "23 09:00"),
        ("tomorrow at 3pm", "23 15:00", "23 15:00"),
        ("next tuesday at 11", "24 11:00", "24 11:00"),
        ("monday 9.30", "23 09:30", "23 09:30"),
        ("الاثنين على 14:00", "23 14:00", "23 14:00"),
        ("غدا على الساعة ١٠", "23 10:00", "23 10:00"),
        ("بعد غد صباحا", "24 08:00", "24 12:00"),
        ("غدوة على 10 ونصف", "23 10:30", "23 10:30"),
        ("٣ مساء", "22 15:00", "22 15:00"),
        ("ghodwa 3la 10", "23 10:00", "23 10:00"),
        ("ghodwa sbah", "23 08:00", "23 12:00"),
        ("nhar el khmis la3chiya", "26 13:00", "26 18:00"),
        ("apres-demain 8h", "24 08:00", "24 08:00"),
        ("2026-11-30 10:00", "30 10:00", "30 10:00"),
    ],
)
def test_a_wish_is_read_in_every_language(text: str, start: str, end: str) -> None:
    wish = read_wish(text, SUNDAY, ZONE)
    assert wish is not None
    assert (f"{wish.start:%d %H:%M}", f"{wish.end:%d %H:%M}") == (start, end)


@pytest.mark.parametrize("text", ["je ne sais pas", "", "25h", "le 31/02", "bientôt", "كاش نهار", "0550 12 34 56"])
def test_what_names_no_time_is_none(text: str) -> None:
    assert read_wish(text, SUNDAY, ZONE) is None


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    wish = read_wish(text, SUNDAY, ZONE)
    assert wish is None or wish.start <= wish.end


def test_a_time_is_told_as_one_says_it() -> None:
    said = {
        language: spoken(datetime(2026, 11, 23, 7, 30, tzinfo=UTC), SUNDAY, ZONE, language) for language in LANGUAGES
    }
    assert said["en"] == "tomorrow at 08:30"
    assert said["fr"] == "demain à 08:30"
    assert said["ar"] == "غدا على الساعة 08:30"
    assert len(set(said.values())) == len(LANGUAGES)
    assert spoken(datetime(2026, 11, 25, 7, 30, tzinfo=UTC), SUNDAY, ZONE, "fr") == "mercredi 25 novembre à 08:30"
    assert spoken(SUNDAY, SUNDAY, ZONE, "en") == "today at 10:00"


@given(st.datetimes(datetime(2026, 11, 22, 11), datetime(2026, 11, 23, 22)), st.sampled_from(LANGUAGES))
def test_what_is_told_of_the_next_two_days_is_read_back(moment: datetime, language: str) -> None:
    at = moment.replace(second=0, microsecond=0, tzinfo=ZONE)
    wish = read_wish(spoken(at, SUNDAY, ZONE, language), SUNDAY, ZONE)
    assert wish is not None
    if at.hour >= 7:  # "at 3" means the afternoon to everybody
        assert wish.start == at
