"""What the bot says when it is its turn, and why."""

from dataclasses import replace
from typing import Any

import pytest

from socialcrm.domain.bot import Plan
from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.phrases import word_set
from socialcrm.domain.play import State, World, begin
from socialcrm.domain.speak import MOST_SAID, Heard, Match, Reply, Trust, Turn, decide
from tests.domain.bots import FRIDAY, SHIPPED, world

HOURS = Match("opening-hours", 0.8)


def heard(text: str = "when do you open", **more: Any) -> Heard:
    told = Heard(text, word_set(text), "direct_message", "en", "question", True, False)
    return replace(told, **more)


def turn(**more: Any) -> Turn:
    made = Turn(
        handler="bot",
        is_bot=False,
        heard=heard(),
        picked="",
        wants_person=False,
        state=None,
        flow=None,
        is_invited=False,
        is_first=True,
        is_limited=False,
        has_spoken=False,
        said_lately=0,
        match=None,
        threshold=0.6,
        trust=Trust(0, 0),
    )
    return replace(made, **more)


def say(made: World | None = None, plan: Plan | None = None, **more: Any) -> Reply:
    return decide(turn(**more), made or world(), plan or Plan())


def why(reply: Reply) -> str:
    return str(reply.lines[-1]["because"])


def test_the_faq_answers_from_the_threshold_on_and_below_it_only_suggests() -> None:
    reply = say(match=HOURS)
    assert (reply.answered, reply.counts) == ("opening-hours", True)
    assert "Saturday" in reply.played.texts[0]
    below = say(match=replace(HOURS, score=0.59))
    assert below.played.texts == ()
    assert why(below) == "'opening-hours' is the likest question with 0.59, below 0.60"
    assert below.lines[-1]["did"] == "suggested to the agent"
    assert say(match=HOURS, threshold=None).played.texts == ()
    assert say(match=replace(HOURS, is_exact=True), threshold=None).answered == "opening-hours"
    assert say(match=HOURS, plan=Plan(answers=False)).played.texts == ()


def test_a_complaint_and_thanks_get_no_answer_of_the_faq() -> None:
    assert say(match=HOURS, heard=heard(is_complaint=True)).played.texts == ()
    assert say(match=HOURS, heard=heard(intent="praise")).played.texts == ()
    assert say(match=HOURS, heard=heard(intent="praise", is_intent_sure=False)).answered


def test_in_public_only_an_intent_that_was_often_found_right_is_answered() -> None:
    public = heard(kind="comment")
    few = say(match=HOURS, heard=public, trust=Trust(20, 20))
    assert why(few) == "it is public, and the intent question was judged 20 times only, of 30"
    bad = say(match=HOURS, heard=public, trust=Trust(30, 40))
    assert why(bad) == "it is public, and the intent question is right 75% of 40 times, below 85%"
    assert bad.lines[-1]["did"] == "suggested to the agent"
    assert say(match=HOURS, heard=public, trust=Trust(36, 40)).answered == "opening-hours"
    assert say(match=HOURS, heard=replace(public, is_late=True), trust=Trust(40, 40)).played.texts == ()
    for greeted in (Plan(greets=True, tells_closed=True),):
        assert say(world(now=FRIDAY), greeted, heard=public).played.texts == ()


@pytest.mark.parametrize(
    ("more", "because"),
    [
        ({"is_bot": True}, "the other side is a bot"),
        ({"can_answer": False, "wants_person": True}, "This channel cannot carry an answer."),
        ({"handler": "human"}, "a person is looking after this conversation"),
        ({"handler": "closed"}, "the conversation is closed"),
        ({"is_limited": True, "match": HOURS}, "this person had one within 12 h"),
        ({"heard": heard(is_found=True), "match": HOURS}, "a watched word found it: nobody wrote to us"),
        ({"heard": None}, "nothing was asked"),
        ({}, "nothing is set up for it"),
    ],
)
def test_it_is_silent_where_it_has_to_be_and_says_why(more: dict[str, Any], because: str) -> None:
    reply = say(**more)
    assert reply.played.texts == ()
    assert why(reply) == because


def test_switched_off_it_only_announces_that_people_take_over() -> None:
    assert say(plan=Plan(is_on=False), match=HOURS).played.texts == ()
    assert say(plan=Plan(is_on=False), wants_person=True, handler="human").played.texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_asks_for_a_person_hears_the_place_in_the_queue_or_the_next_opening(language: str) -> None:
    made = world(language)
    plain = say(made, wants_person=True, handler="human", is_limited=True).played.texts[0]
    assert plain == made.reply("handover")
    waiting = say(world(language, place="77"), wants_person=True, handler="human").played.texts[0]
    assert waiting.startswith(plain)
    assert "77" in waiting
    closed = say(world(language, FRIDAY, opening="8:00", place="77"), wants_person=True, handler="human")
    assert "8:00" in closed.played.texts[0]
    assert "77" not in closed.played.texts[0]


def test_out_of_hours_it_says_when_people_are_back_and_an_answer_of_the_faq_comes_first() -> None:
    plan, night = Plan(tells_closed=True, greets=True), world(now=FRIDAY, opening="on Sunday at 08:00")
    reply = say(night, plan)
    assert "on Sunday at 08:00" in reply.played.texts[0]
    assert reply.counts
    assert say(night, plan, match=HOURS).answered == "opening-hours"
    assert say(night, plan, heard=heard(intent="praise"), is_first=False).played.texts == ()
    assert say(world(), plan, is_first=False).played.texts == ()


def test_the_first_message_is_greeted_and_what_follows_is_its_answer() -> None:
    reply = say(plan=Plan(greets=True))
    assert (reply.invites, reply.counts) == (True, True)
    invited = say(match=HOURS, is_first=False, is_limited=True, is_invited=True)
    assert invited.answered == "opening-hours"
    assert say(plan=Plan(greets=True), is_first=False).played.texts == ()
    assert say(plan=Plan(greets=True), heard=heard(is_complaint=True)).played.texts == ()


def test_a_menu_begins_with_the_first_message_and_a_flow_with_its_words_even_within_the_window() -> None:
    both = [SHIPPED["welcome"], SHIPPED["callback"]]
    menu = say(starting=both)
    assert menu.played.state == State("welcome", "menu")
    assert menu.counts
    assert say(starting=both, is_first=False).played.state is None
    asked = say(starting=both, is_limited=True, heard=heard("please call me back"))
    assert asked.played.state == State("callback", "phone")
    assert not asked.counts
    assert say(starting=both, heard=heard("call me back", kind="comment")).played.state is None


def test_a_question_in_the_middle_of_a_flow_is_answered_and_the_flow_asks_again() -> None:
    made = world()
    state = begin(made, SHIPPED["callback"]).state
    exact = replace(HOURS, is_exact=True)
    reply = say(made, state=state, flow=SHIPPED["callback"], match=exact, heard=heard("opening hours please"))
    assert reply.answered == "opening-hours"
    assert len(reply.played.texts) == 2
    assert reply.played.state == state, "it does not count as a bad answer"


def test_what_talks_like_a_bot_is_left_to_people_without_a_word() -> None:
    for more in ({"said_lately": MOST_SAID}, {"heard": heard(same_count=4), "has_spoken": True}):
        reply = say(match=HOURS, **more)
        assert reply.played.texts == ()
        assert reply.played.hands_over
