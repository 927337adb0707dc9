"""What a survey asks, of whom and when: mistakes in words, conditions, quiet hours, the sample."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.survey import Skipped
from socialcrm.domain.survey_form import (
    Audience,
    Form,
    FormError,
    Occasion,
    Sending,
    after_quiet,
    choose,
    contradicts,
    is_drawn,
    open_items,
    read_form,
    score_of,
)

ALGIERS = ZoneInfo("Africa/Algiers")
PARIS = ZoneInfo("Europe/Paris")


def item(name: str, kind: str = "yes_no", **more: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "text": {"fr": name}, **more}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "questionnaire"}, "needs at least one question"),
        ({"kind": "csat", "items": [item("a"), item("a")]}, "Question 3: there is another one called a."),
        ({"kind": "csat", "items": [item("score")]}, "another one called score"),
        ({"kind": "csat", "items": [{"id": "a", "type": "text"}]}, "Question 2: it has no words in any language."),
        ({"kind": "csat", "items": [item("a", "scale", low=5, high=1)]}, "it goes from 5 to 1"),
        ({"kind": "csat", "items": [item("a", "scale", low=0, high=50)]}, "at most 11 steps"),
        ({"kind": "csat", "items": [item("a", "choice")]}, "it needs 2 to 10 choices; it has 0."),
        (
            {"kind": "csat", "items": [item("a", "choice", options=[{"value": "x", "text": {"fr": "X"}}] * 2)]},
            "same value",
        ),
        (
            {"kind": "csat", "items": [item("a", when={"item": "b", "value": "yes"}), item("b")]},
            "none called b before it",
        ),
        (
            {"kind": "csat", "items": [item("a", when={"item": "score", "op": "at_most", "value": "7"})]},
            "would never be asked",
        ),
        (
            {"kind": "csat", "items": [item("a"), item("b", when={"item": "a", "op": "at_least", "value": "yes"})]},
            "need a question with a scale",
        ),
        (
            {"kind": "csat", "items": [item("a", "text"), item("b", when={"item": "a", "value": "x"})]},
            "cannot follow a free text",
        ),
        ({"kind": "csat", "low": {"at_most": 9}}, "A low score is between 1 and 5; 9 is not."),
        ({"kind": "questionnaire", "items": [item("a")], "low": {"at_most": 1}}, "gives no score"),
        ({"kind": "csat", "sending": {"quiet": "25:00-08:00"}}, "sending.quiet"),
        ({"kind": "csat", "sending": {"share": 101}}, "sending.share"),
        ({"kind": "stars"}, "kind"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_its_question(body: dict[str, Any], words: str) -> None:
    with pytest.raises(FormError) as error:
        read_form(body)
    assert words in str(error.value)


FORM = read_form(
    {
        "kind": "csat",
        "items": [
            item("why", "text", when={"item": "score", "op": "at_most", "value": "3"}),
            item("again", when={"item": "score", "op": "at_least", "value": "4"}),
            item(
                "where",
                "choice",
                options=[{"value": v, "text": {"fr": v}} for v in "ab"],
                when={"item": "again", "value": "no"},
            ),
        ],
    }
)


def test_a_question_is_asked_after_the_answer_that_it_waits_for() -> None:
    def names(answers: dict[str, Any]) -> tuple[list[str], bool]:
        shown, may_follow = open_items(FORM, answers)
        return [i.id for i in shown], may_follow

    assert names({}) == (["score"], True)
    assert names({"score": "2"}) == (["why"], False)
    assert names({"score": "2", "why": ""}) == ([], False)
    assert names({"score": "5"}) == (["again"], True)
    assert names({"score": "5", "again": "no"}) == (["where"], False)
    assert names({"score": "5", "again": "yes"}) == ([], False)


@given(st.lists(st.sampled_from(["1", "2", "3", "4", "5", "yes", "no", "a", "b", ""]), min_size=4, max_size=4))
def test_whatever_is_answered_it_comes_to_an_end(values: list[str]) -> None:
    answers: dict[str, Any] = {}
    for value in values:
        shown, _ = open_items(FORM, answers)
        if not shown:
            break
        choices = shown[0].values
        answers[shown[0].id] = value if not choices or value in choices else choices[0]
    assert open_items(FORM, answers) == ([], False)


@pytest.mark.parametrize(
    ("at", "quiet", "expected"),
    [
        ("2026-03-01T12:00", "21:00-08:00", "2026-03-01T12:00"),
        ("2026-03-01T21:00", "21:00-08:00", "2026-03-02T08:00"),
        ("2026-03-02T07:59", "21:00-08:00", "2026-03-02T08:00"),
        ("2026-03-02T08:00", "21:00-08:00", "2026-03-02T08:00"),
        ("2026-03-02T12:30", "12:00-14:00", "2026-03-02T14:00"),
        ("2026-03-28T23:00", "22:00-08:00", "2026-03-29T08:00"),  # the night in which Paris's clocks go forward
        ("2026-03-28T23:00", "00:00-00:00", "2026-03-28T23:00"),
        ("2026-03-28T23:00", "", "2026-03-28T23:00"),
    ],
)
def test_what_falls_into_quiet_hours_waits_for_their_end(at: str, quiet: str, expected: str) -> None:
    for zone in (ALGIERS, PARIS):
        moved = after_quiet(datetime.fromisoformat(at).replace(tzinfo=zone).astimezone(UTC), quiet, zone)
        assert moved.astimezone(zone).strftime("%Y-%m-%dT%H:%M") == expected


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 23), st.integers(0, 59)),
)
def test_nothing_is_sent_earlier_or_a_day_late_and_never_in_quiet_hours(
    at: datetime, hours: tuple[int, int, int, int]
) -> None:
    quiet = f"{hours[0]:02}:{hours[1]:02}-{hours[2]:02}:{hours[3]:02}"
    moved = after_quiet(at, quiet, PARIS)
    assert timedelta(0) <= moved - at <= timedelta(hours=25)
    assert after_quiet(moved, quiet, PARIS) == moved


def test_the_sample_is_the_same_whoever_draws_it_and_about_as_large_as_asked() -> None:
    drawn = [n for n in range(20_000) if is_drawn(3, n, 30)]
    assert drawn == [n for n in range(20_000) if is_drawn(3, n, 30)]
    assert 5_700 < len(drawn) < 6_300
    assert set(drawn) <= {n for n in range(20_000) if is_drawn(3, n, 60)}, "a larger share keeps who was in"
    assert not any(is_drawn(3, n, 0) for n in range(1000))
    assert all(is_drawn(3, n, 100) for n in range(1000))


OCCASION = Occasion(1, "echo", "shop", "support", "ar", is_by_bot=False, has_case=True, is_public=False)


@pytest.mark.parametrize(
    ("audience", "is_meant"),
    [
        ({}, True),
        ({"channels": ("echo",)}, True),
        ({"channels": ("shop", "other")}, True),
        ({"channels": ("other",)}, False),
        ({"teams": ("support",), "languages": ("ar",)}, True),
        ({"teams": ("technique",)}, False),
        ({"languages": ("fr",)}, False),
        ({"by": "agent", "case": "with", "kind": "private"}, True),
        ({"by": "bot"}, False),
        ({"case": "without"}, False),
        ({"kind": "public"}, False),
    ],
)
def test_the_first_survey_that_is_meant_for_a_conversation_is_chosen(audience: dict[str, Any], is_meant: bool) -> None:
    picky = Form(sending=Sending(audience=Audience(**audience)))
    everybody = Form(kind="nps")
    chosen = choose([(1, picky), (2, everybody)], OCCASION)
    assert not isinstance(chosen, Skipped)
    assert chosen[0] == (1 if is_meant else 2)
    assert choose([(1, picky)], OCCASION) == ((1, picky) if is_meant else Skipped.NO_FORM)
    assert choose([(1, Form(sending=Sending(share=0)))], OCCASION) is Skipped.SAMPLED_OUT


@pytest.mark.parametrize(
    ("kind", "value", "score"),
    [
        ("csat", "5", 5),
        ("csat", "0", None),
        ("nps", "10", 10),
        ("nps", "11", None),
        ("ces", "7", 7),
        ("case_check", "no", 0),
    ],
)
def test_a_score_is_one_of_its_scale(kind: str, value: str, score: int | None) -> None:
    assert score_of(kind, value) == score


def test_high_scores_with_angry_words_contradict_each_other() -> None:
    assert contradicts("csat", 5, "negative", is_complaint=False)
    assert contradicts("nps", 10, "neutral", is_complaint=True)
    assert not contradicts("csat", 5, "positive", is_complaint=False)
    assert not contradicts("csat", 2, "negative", is_complaint=True)
    assert not contradicts("questionnaire", None, "negative", is_complaint=True)
