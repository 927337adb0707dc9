"""Each resolution is followed by one question, and its answer is kept with whom it is about."""

from collections.abc import Callable
from typing import Any

import pytest

from socialcrm.domain.rows import Agent, Conversation, ConversationEvent, Resolution, Survey
from socialcrm.engine import survey as engine
from socialcrm.engine.assign import assign
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import reopen, resolve
from socialcrm.engine.schedule import drain
from tests.engine.scripted import begin, on_one_database
from tests.story import Clock, Story, line_with


async def resolved(line: Line, connector: str = "echo") -> tuple[Story, Agent]:
    """A conversation that Amina has resolved."""
    story = await Story.begin(line, connector, connector)
    amina = await story.agent("Amina")
    await story.customer_writes("bonjour à tous")
    await story.agent_resolves(amina)
    return story, amina


async def change(story: Story, what: Callable[..., Any], *more: Any) -> None:
    async with story.line.database.write() as session:
        await what(session, story.line, await session.get_one(Conversation, (await story.conversation()).id), *more)


def button(story: Story, score: int) -> str:
    """The value of a button under the newest question."""
    [*_, question] = [row for row in story.sent() if row["buttons"]]
    buttons: Any = question["buttons"]
    return str(buttons[score - 1][1])


async def test_one_question_for_each_resolution_and_a_second_for_a_second(line: Line) -> None:
    story, amina = await resolved(line)
    question = story.sent()[-1]
    assert question["text"] == line.engagement.reply("fr", "survey_question")
    assert [label for label, _ in question["buttons"]] == [
        line.engagement.reply("fr", f"csat_{n}") for n in range(1, 6)
    ]
    await story.agent_resolves(amina)  # it is resolved already
    await drain(line)
    assert len(await story.rows(Survey)) == len(await story.rows(Resolution)) == 1

    await story.customer_presses(button(story, 2))
    await change(story, reopen, amina)
    await story.agent_resolves(amina)
    await story.customer_presses(button(story, 5))
    assert [s.score for s in await story.rows(Survey)] == [2, 5]
    kinds = [e.kind for e in await story.rows(ConversationEvent)]
    assert (kinds.count("survey_sent"), kinds.count("survey_answered")) == (2, 2)


async def test_whom_it_is_about_is_kept_as_it_was_even_when_the_conversation_moves_on(line: Line) -> None:
    story, amina = await resolved(line)
    yacine = await story.agent("Yacine", team="technique")
    team = (await story.conversation()).team_id
    await change(story, assign, yacine.id, amina)
    async with line.database.write() as session:
        (await session.get_one(Conversation, (await story.conversation()).id)).team_id = None
    await story.customer_presses(button(story, 4))
    survey = await story.survey()
    assert (survey.score, survey.agent_id, survey.team_id) == (4, amina.id, team)
    assert team is not None


@on_one_database
async def test_the_first_score_counts_whatever_comes_after_it(line: Line) -> None:
    story, _ = await resolved(line)
    first = button(story, 3)
    for value in (
        first,
        button(story, 1),
        first,
        f"{first[:-1]}6",
        f"{first[:-1]}0",
        f"{first[:-1]}²",
        "csat::",
        "csat",
    ):
        await story.customer_presses(value)
    survey = await story.survey()
    assert survey.score == 3
    thanks = line.engagement.reply("fr", "survey_comment")
    assert [row["text"] for row in story.sent()].count(thanks) == 1
    assert {fate for fate, _ in await story.fates()} == {"stored", "ignored"}


async def test_a_text_after_the_score_is_the_comment_and_does_not_reopen(line: Line) -> None:
    story, _ = await resolved(line)
    await story.customer_presses(button(story, 5))
    await story.customer_writes("Parfait, très satisfait de votre service")
    survey, conversation = await story.survey(), await story.conversation()
    assert survey.comment == "Parfait, très satisfait de votre service"
    assert (conversation.status, conversation.unread_count, conversation.waiting_since_at) == ("resolved", 0, None)
    assert story.sent()[-1]["text"] == line.engagement.reply("fr", "survey_thanks")
    assert survey.comment in {m.text for m in await story.messages()}

    await story.customer_writes("encore une chose")  # one comment; this is a new message
    assert (await story.conversation()).status == "open"
    assert (await story.survey()).comment == survey.comment


@on_one_database
async def test_a_comment_that_complains_is_kept_and_brings_the_conversation_back(line: Line) -> None:
    story, amina = await resolved(line)
    await story.customer_presses(button(story, 1))
    await story.customer_writes("Ma connexion internet ne marche plus depuis trois jours, c'est inadmissible !")
    survey, conversation = await story.survey(), await story.conversation()
    assert survey.comment.startswith("Ma connexion")
    assert (conversation.status, conversation.agent_id, conversation.unread_count) == ("open", amina.id, 1)
    assert conversation.waiting_since_at is not None


@on_one_database
async def test_a_text_after_the_window_is_no_comment(line: Line) -> None:
    clock = Clock()
    story, _ = await resolved(line_with(line, clock, survey={"comment_minutes": 30}))
    await story.customer_presses(button(story, 5))
    clock.forward(minutes=30)
    await story.customer_writes("merci beaucoup")
    assert (await story.survey()).comment == ""
    assert (await story.conversation()).status == "open"


@on_one_database
async def test_an_invitation_that_expired_takes_no_score(line: Line) -> None:
    clock = Clock()
    story, _ = await resolved(line_with(line, clock, survey={"expires_days": 7}))
    clock.forward(days=7)
    await story.customer_presses(button(story, 5))
    assert (await story.survey()).score is None
    assert story.sent()[-1]["buttons"]


@on_one_database
async def test_a_channel_without_buttons_is_answered_by_number_or_by_the_link(line: Line) -> None:
    story, script = await begin(line_with(line, web={"public_url": "https://crm.example"}), "forgetful")
    amina = await story.agent("Amina")
    await story.customer_writes("hello")
    await story.agent_resolves(amina)
    survey = await story.survey()
    link = line.engagement.reply("en", "survey_by_number", url=f"https://crm.example/s/{survey.token}")
    assert script.got == [f"{line.engagement.reply('en', 'survey_question')}\n{link}"]
    assert (await story.messages("out"))[-1].buttons == []
    async with line.database.write() as session:
        await engine.score(session, story.line, survey.token, 4, is_in_chat=False)
    await drain(story.line)
    assert (await story.survey()).score == 4
    assert len(script.got) == 1, "the page says thank you"
    await story.customer_writes("5")
    assert (await story.survey()).score == 4, "it was answered: this is a message"
    assert (await story.conversation()).status == "open"


async def test_a_conversation_that_came_back_before_its_survey_was_due_is_not_asked(line: Line) -> None:
    clock = Clock()
    story, amina = await resolved(line_with(line, clock, survey={"delay_seconds": 60}))
    clock.forward(seconds=30)
    await story.customer_writes("attendez !")
    clock.forward(seconds=29)
    await story.agent_resolves(amina)
    clock.forward(seconds=2)  # the first resolution's time has come, and the conversation is resolved: by the second
    await drain(story.line)
    assert await story.rows(Survey) == []
    clock.forward(seconds=60)
    await drain(story.line)
    first, second = await story.rows(Resolution)
    assert (first.survey, second.survey) == ("skipped", "sent")
    assert len(await story.rows(Survey)) == 1


@pytest.mark.parametrize("delay", [0, 3600])
@on_one_database
async def test_the_question_comes_after_the_delay(line: Line, delay: int) -> None:
    clock = Clock()
    story, _ = await resolved(line_with(line, clock, survey={"delay_seconds": delay}))
    assert len(await story.rows(Survey)) == (delay == 0)
    clock.forward(seconds=delay)
    await drain(story.line)
    assert len(await story.rows(Survey)) == 1


@on_one_database
async def test_no_bot_and_nobody_is_asked_when_surveys_are_off(line: Line) -> None:
    story, script = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes("hello", is_bot=True)
    await story.agent_resolves(amina)
    off = await Story.begin(line_with(line, survey={"is_on": False}), "off")
    await off.customer_writes("hello")
    await off.agent_resolves(amina)
    assert (script.got, off.sent(), await story.rows(Survey)) == ([], [], [])
    assert {r.survey for r in await story.rows(Resolution)} == {"skipped"}


@on_one_database
async def test_what_nobody_resolved_is_about_nobody(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("hello")
    await change(story, resolve, None)
    await drain(line)
    assert (await story.survey()).agent_id is None
