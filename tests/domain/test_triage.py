"""What should happen to a message, from facts, rules and the time alone."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.conversation import Priority
from socialcrm.domain.engagement import Engagement
from socialcrm.domain.facts import Facts
from socialcrm.domain.fields import is_within
from socialcrm.domain.rulebook import read
from socialcrm.domain.triage import decide, higher, ready

FACTS = Facts(
    text="The bill is wrong",
    language="en",
    sentiment="negative",
    is_complaint=True,
    intent="complaint",
    is_sure=False,
    connector="telegram",
    channel_key="k7",
    kind="comment",
    local_time=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("08:00-17:00", ["08:00", "16:59:59"], ["07:59:59", "17:00", "00:00"]),
        ("22:00-06:00", ["22:00", "23:59:59", "00:00", "05:59:59"], ["06:00", "12:00", "21:59:59"]),
        ("00:00-23:59", ["00:00", "12:00"], ["23:59"]),
        ("18:00-00:00", ["18:00", "23:59:59"], ["00:00", "17:59"]),
    ],
)
def test_the_first_minute_is_inside_the_last_one_is_not_and_midnight_may_pass(
    hours: str, inside: list[str], outside: list[str]
) -> None:
    assert [text for text in inside if not is_within(hours, time.fromisoformat(text))] == []
    assert [text for text in outside if is_within(hours, time.fromisoformat(text))] == []


@given(st.times(), st.times(), st.times())
def test_any_time_is_inside_a_span_or_inside_the_other_way_round(now: time, start: time, end: time) -> None:
    there, back = f"{start:%H:%M}-{end:%H:%M}", f"{end:%H:%M}-{start:%H:%M}"
    if f"{start:%H:%M}" != f"{end:%H:%M}":
        assert is_within(there, now) != is_within(back, now)


@pytest.mark.parametrize(
    ("when", "because"),
    [
        ({"language": ["fr", "ar"]}, "language is en, not fr or ar"),
        ({"sentiment": ["positive"]}, "sentiment is negative, not positive"),
        ({"complaint": False}, "it is a complaint"),
        ({"intent": ["spam"]}, "intent is complaint, not spam"),
        ({"is_sure": True}, "the analysis is unsure"),
        ({"channel": ["webchat"]}, "it came by telegram, not webchat"),
        ({"kind": ["review"]}, "it is a comment, not a review"),
        ({"words": ["bill late", "refund"]}, "none of its words is in the message"),
        ({"hours": "10:00-17:00"}, "it is 09:30, outside 10:00-17:00"),
    ],
)
def test_a_condition_that_fails_says_what_was_found_instead(when: dict[str, object], because: str) -> None:
    test = ready(read({"name": "r", "when": when, "then": {}}, "Rule")).test
    assert not test.holds(FACTS)
    assert test.failed(FACTS) == because


def test_all_conditions_that_are_given_must_hold() -> None:
    holds = {
        "language": ["en"],
        "sentiment": ["negative"],
        "complaint": True,
        "intent": ["complaint"],
        "is_sure": False,
        "channel": ["k7"],
        "kind": ["comment"],
        "words": ["wrong BILL"],
        "hours": "09:00-10:00",
    }
    for missing in (None, *holds):
        when = {**holds, **({"language": ["fr"]} if missing else {})}
        test = ready(read({"name": "r", "when": when, "then": {}}, "Rule")).test
        assert test.holds(FACTS) != bool(missing)


def test_asking_for_a_person_wins_over_the_questions_and_a_rules_reply_over_both() -> None:
    rules = (read({"name": "r", "when": {"complaint": True}, "then": {"reply": "greeting"}}, "Rule"),)
    engagement = Engagement(rules, ("a person",), {}, ())
    asks = replace(FACTS, text="give me a person", words=frozenset())
    decision = decide(asks, engagement)
    assert decision.reply is not None
    assert (decision.reply.template, decision.hands_over) == ("greeting", True)
    assert decide(asks, Engagement((), ("a person",), {}, ())).wants_person
    assert decide(FACTS, engagement).hands_over is False


@given(st.sampled_from(["", *Priority]), st.sampled_from(["", *Priority]))
def test_the_higher_of_two_priorities_wins_in_either_order(one: str, other: str) -> None:
    assert higher(one, other) == higher(other, one)
    assert higher("", one) == one
    assert higher("urgent", one) == "urgent"
