"""Flows are played from question to question, in every language."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.play import Played, State, World, begin, go_on, slots
from tests.domain.bots import CALENDAR, FRIDAY, SHIPPED, SUNDAY, flow, say, world

ANSWERS = {
    "fr": ("mon numéro c'est le 0550 12 34 56", "demain 10h30", "oui"),
    "en": ("call 0550123456 please", "tomorrow at 10:30", "yes"),
    "ar": ("رقمي ٠٥٥٠١٢٣٤٥٦", "غدا على الساعة 10:30", "نعم"),
    "arq-Arab": ("هاهو 0550123456", "غدوة على 10:30", "إيه"),
    "arq-Latn": ("numéro ta3i 0550 12 34 56", "ghodwa 3la 10:30", "ih"),
}


def answer(made: World, played: Played, text: str, picked: str = "") -> Played:
    assert played.state is not None
    return go_on(made, SHIPPED[played.state.flow], played.state, text, picked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_call_back_is_left_at_the_number_and_time_that_were_written(language: str) -> None:
    made = world(language)
    played = begin(made, SHIPPED["callback"])
    for text in ANSWERS[language]:
        assert len(played.texts) == 1
        played = answer(made, played, text)
    assert played.call_back == ("+213550123456", datetime(2026, 11, 23, 9, 30, tzinfo=UTC), "")
    assert played.state is None
    assert "10:30" in played.texts[0]


def test_the_menu_is_answered_by_value_number_or_words_in_any_language() -> None:
    made = world("fr")
    menu = begin(made, SHIPPED["welcome"])
    assert [choice.label for choice in menu.choices][:2] == ["Horaires", "Signaler un problème"]
    for text, picked in (("", "hours"), ("1", ""), ("horaires", ""), ("Opening hours", ""), ("أوقات العمل", "")):
        assert "8 h 30" in answer(made, menu, text, picked).texts[0]
    assert answer(made, menu, "4").hands_over
    assert answer(made, menu, "3").state == State("callback", "phone", {"wish": "callback"})


def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_then_people_take_over() -> None:
    made = world()
    played = begin(made, SHIPPED["callback"])
    again = answer(made, played, "maybe later")
    assert again.is_repeat
    assert "0550 12 34 56" in again.texts[0]
    assert "Which number" in again.texts[0]
    assert answer(made, again, "no idea").hands_over == "the answer to 'phone' could not be read 2 times"
    assert answer(made, again, "0550123456").state == State("callback", "when", {"phone": "+213550123456"})


def test_whoever_wants_out_is_let_out() -> None:
    made = world()
    assert answer(made, begin(made, SHIPPED["callback"]), "never mind").texts == (made.reply("bot_cancelled"),)


@pytest.mark.parametrize("text", ["tomorrow at 6:00", "friday at 10", "24/12/2030 10:00", "yesterday", "today at 9:00"])
def test_nobody_is_promised_a_call_when_nobody_is_at_work(text: str) -> None:
    made = world()
    played = answer(made, begin(made, SHIPPED["callback"]), "0550123456")
    assert answer(made, played, text).is_repeat


@given(st.datetimes(datetime(2026, 11, 1), datetime(2027, 12, 31)))
def test_the_times_that_are_offered_are_within_working_hours_and_good_answers(moment: datetime) -> None:
    made = world(now=moment.replace(tzinfo=UTC))
    offered = slots(made)
    assert 1 <= len(offered) <= 4
    assert all(CALENDAR.is_open(at) and at > made.now + timedelta(minutes=29) for at in offered)
    played = answer(made, begin(made, SHIPPED["callback"]), "0550123456")
    assert len({choice.label for choice in played.choices}) == len(offered)
    for choice, at in zip(played.choices, offered, strict=True):
        assert answer(made, played, "", choice.value).kept["at"] == at.isoformat()


def test_a_time_that_was_offered_and_has_passed_since_is_asked_for_anew() -> None:
    made = world()
    played = answer(made, begin(made, SHIPPED["callback"]), "0550123456")
    later = replace(made, now=made.now + timedelta(days=4))
    assert answer(later, played, "", played.choices[0].value).is_repeat


def test_a_complaint_is_taken_with_its_reference_and_handed_over() -> None:
    made = world("ar")
    played = begin(made, SHIPPED["complaint"])
    for text in ("الانترنت مقطوعة منذ يومين", "0550123456"):
        played = answer(made, played, text)
    assert "«الانترنت مقطوعة منذ يومين»" in played.texts[0]
    assert answer(made, played, "لا").state == State("complaint", "what", played.kept)
    done = answer(made, played, "نعم")
    assert (done.opens_case, bool(done.hands_over)) == (True, True)
    assert "7K3-F9P-2" in done.texts[0]


def test_a_flow_can_decide_by_the_hours_and_by_what_was_answered() -> None:
    one = flow(
        '[[steps]]\nid = "way"\ndo = "if"\nvariable = "is_open"\nvalues = ["yes"]\nthen = "here"\notherwise = "away"\n'
        + say("here", "We are here", goto="end")
        + say("away", "We are back {opening}")
    )
    assert begin(world(), one).texts == ("We are here",)
    assert begin(world(now=FRIDAY, opening="on Sunday"), one).texts == ("We are back on Sunday",)


def test_a_flow_that_lost_its_step_goes_to_people() -> None:
    assert go_on(world(), SHIPPED["welcome"], State("welcome", "gone"), "hello").hands_over


@given(st.text(max_size=80), st.sampled_from(["welcome", "callback", "complaint"]), st.sampled_from(LANGUAGES))
def test_any_text_can_be_answered_with(text: str, name: str, language: str) -> None:
    made = world(language, SUNDAY)
    played = begin(made, SHIPPED[name])
    for _ in range(4):
        if played.state is None or played.hands_over:
            break
        played = go_on(made, SHIPPED[played.state.flow], played.state, text)
        assert played.texts or played.hands_over
