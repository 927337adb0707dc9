"""Surveys of every kind, over channels with and without buttons, in five languages; whom they spare, and what a low
score sets off."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col

from socialcrm.domain.rows import (
    Contact,
    Conversation,
    ConversationEvent,
    Identity,
    LowScore,
    Question,
    Resolution,
    Survey,
    SurveyForm,
)
from socialcrm.engine import survey as step
from socialcrm.engine import survey_answers, survey_forms
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import resolve
from socialcrm.engine.schedule import drain
from tests.engine.scripted import begin, on_one_database
from tests.story import Clock, Story, line_with

GREETINGS = {
    "fr": "bonjour à tous",
    "en": "hello everybody there",
    "ar": "السلام عليكم ورحمة الله وبركاته",
    "arq-Latn": "wach rakom khawti",
    "arq-Arab": "واش راكم خاوتي",
}
FOUR = {"fr": "4/5", "en": "four", "ar": "٤", "arq-Latn": "rab3a", "arq-Arab": "نعطيكم ٤"}
NOW_SENDING = {"delay_minutes": 0, "rest_days": 0}


async def make(line: Line, body: Mapping[str, Any], **sending: Any) -> SurveyForm:
    """A survey that is on, before all others."""
    whole = {**body, "sending": {**NOW_SENDING, **sending}}
    async with line.database.write() as session:
        row = await survey_forms.save(session, line, None, str(body.get("kind", "csat")), whole, None)
        row.is_on, row.position = True, 0
        row.position = -(row.id or 0)
    return row


async def resolved(
    line: Line, connector: str = "echo", text: str = GREETINGS["fr"], key: str = "", **more: Any
) -> Story:
    """A conversation that ended."""
    story, _ = await begin(line, connector, key or connector)
    await story.customer_writes(text, **more)
    await end(story)
    return story


async def end(story: Story) -> None:
    async with story.line.database.write() as session:
        await resolve(session, story.line, await session.get_one(Conversation, (await story.conversation()).id), None)
    await drain(story.line)


async def presses(story: Story, label: str) -> None:
    [*_, question] = [row for row in story.sent() if row["buttons"]]
    buttons: Any = question["buttons"]
    await story.customer_presses(next(value for text, value in buttons if text == label))


def texts(story: Story) -> list[str]:
    return [str(row["text"]) for row in story.sent()]


async def skipped(story: Story) -> list[str]:
    return [r.survey_reason for r in await story.rows(Resolution)]


@pytest.mark.parametrize("language", GREETINGS)
@on_one_database
async def test_in_every_language_a_number_answers_where_there_are_no_buttons(line: Line, language: str) -> None:
    story, script = await begin(line, "forgetful")
    await story.customer_writes("bonjour")
    async with line.database.write() as session:
        await session.execute(update(Contact).values(language=language))
    await end(story)
    assert script.got[0].startswith(line.engagement.reply(language, "survey_question"))
    await story.customer_writes(FOUR[language])
    survey, conversation = await story.survey(), await story.conversation()
    assert (survey.score, survey.language, conversation.status) == (4, language, "resolved")
    assert script.got[1:] == [line.engagement.reply(language, "survey_comment")]
    assert (await story.messages())[-1].is_choice


@pytest.mark.parametrize(("text", "score"), [("10", 10), ("٠", 0), ("9/10", 9)])
@on_one_database
async def test_a_recommendation_from_nought_to_ten_has_more_steps_than_this_channel_has_buttons(
    line: Line, text: str, score: int
) -> None:
    await make(line, {"kind": "nps"})
    story = await resolved(line)
    assert texts(story)[0].startswith("Recommanderiez-vous")
    assert story.sent()[0]["buttons"] == []
    await story.customer_writes(text)
    survey = await story.survey()
    assert (survey.kind, survey.score) == ("nps", score)


async def test_how_easy_it_was_has_seven_buttons(line: Line) -> None:
    await make(line, {"kind": "ces", "text": {"fr": "C'était facile ?"}})
    story = await resolved(line)
    [sent] = story.sent()
    assert (sent["text"], [label for label, _ in sent["buttons"]]) == (
        "C'était facile ?",
        [str(n) for n in range(1, 8)],
    )
    await presses(story, "7")
    assert (await story.survey()).score == 7


async def test_a_problem_that_is_not_solved_brings_the_conversation_back(line: Line) -> None:
    await make(
        line, {"kind": "case_check", "low": {"at_most": 0, "reopens": True, "calls": True}, "asks_comment": False}
    )
    story = await resolved(line)
    await presses(story, line.engagement.reply("fr", "case_no"))
    survey, conversation, [low] = await story.survey(), await story.conversation(), await story.rows(LowScore)
    assert (survey.score, conversation.status, conversation.priority) == (0, "open", "high")
    assert (conversation.unread_count, conversation.waiting_since_at is not None) == (1, True)
    assert (low.survey_id, low.wants_call, low.done_at) == (survey.id, True, None)
    reopened = [e for e in await story.rows(ConversationEvent) if e.kind == "reopened"]
    assert reopened[-1].data == {"because": "low_score", "score": 0}


QUESTIONS: dict[str, Any] = {
    "kind": "questionnaire",
    "items": [
        {"id": "shop", "type": "opinion", "text": {"fr": "La boutique ?", "ar": "المحل؟"}},
        {"id": "bought", "type": "yes_no", "text": {"fr": "Avez-vous acheté ?"}},
        {
            "id": "what",
            "type": "choices",
            "text": {"fr": "Quoi ?"},
            "options": [{"value": v, "text": {"fr": v.title()}} for v in ("box", "sim", "phone")],
            "when": {"item": "bought", "value": "yes"},
        },
        {
            "id": "why",
            "type": "text",
            "text": {"fr": "Pourquoi pas ?"},
            "is_optional": True,
            "when": {"item": "bought", "value": "no"},
        },
    ],
    "asks_comment": False,
}


async def test_a_questionnaire_goes_on_as_it_is_answered(line: Line) -> None:
    await make(line, QUESTIONS)
    story = await resolved(line)
    assert texts(story)[0] == f"{line.engagement.reply('fr', 'survey_form')}\nLa boutique ?"
    await presses(story, "Passable")
    assert texts(story)[-1] == "Avez-vous acheté ?"
    await story.customer_writes("wah")
    assert texts(story)[-1].splitlines()[:4] == ["Quoi ?", "1. Box", "2. Sim", "3. Phone"]
    await story.customer_writes("1 et 3")
    survey = await story.survey()
    assert survey.answers == {"shop": "passable", "bought": "yes", "what": "box,phone"}
    assert (survey.score, survey.completed_at is not None, (await story.conversation()).status) == (
        None,
        True,
        "resolved",
    )
    assert texts(story)[-1] == line.engagement.reply("fr", "survey_thanks")
    assert len(texts(story)) == 4


async def test_a_free_text_may_be_left_out_and_one_that_is_given_is_understood(line: Line) -> None:
    await make(line, QUESTIONS)
    for key, answer in (("one", ""), ("two", "Trop cher et la vendeuse était désagréable")):
        story = await resolved(line, key=key)
        await presses(story, "Mauvais")
        await presses(story, "Non")
        if answer:
            await story.customer_writes(answer)
        else:
            await presses(story, line.engagement.reply("fr", "survey_skip"))
        survey = await story.survey()
        assert survey.answers == {"shop": "bad", "bought": "no", "why": answer}
        assert survey.completed_at is not None
    message, analysis = await story.last_understood()
    assert (message.text, analysis.sentiment) == (answer, "negative")


async def test_a_question_after_a_low_score_only(line: Line) -> None:
    why = {
        "id": "why",
        "type": "text",
        "text": {"fr": "Qu'est-ce qui n'allait pas ?"},
        "when": {"item": "score", "op": "at_most", "value": "2"},
    }
    await make(line, {"kind": "csat", "items": [why], "asks_comment": False})
    happy, unhappy = await resolved(line, key="a"), await resolved(line, key="b")
    await presses(happy, line.engagement.reply("fr", "csat_5"))
    assert texts(happy)[-1] == line.engagement.reply("fr", "survey_thanks")
    await presses(unhappy, line.engagement.reply("fr", "csat_1"))
    assert texts(unhappy)[-1] == "Qu'est-ce qui n'allait pas ?"
    assert [s.completed_at is not None for s in await happy.rows(Survey)] == [True, False]


async def test_words_beside_the_number_are_the_comment(line: Line) -> None:
    story = await resolved(line, "forgetful")
    await story.customer_writes("2, personne ne m'a rappelé")
    survey, message = await story.survey(), (await story.messages())[-1]
    assert (survey.score, survey.comment, survey.comment_message_id) == (2, "personne ne m'a rappelé", message.id)
    assert line.engagement.reply("fr", "survey_thanks") in {m.text for m in await story.messages("out")}
    assert (await story.conversation()).status == "open", "its words complain"


async def test_a_low_score_is_told_to_supervisors_once_and_its_comment_is_asked_for_with_regret(line: Line) -> None:
    story = await resolved(line)
    await presses(story, line.engagement.reply("fr", "csat_2"))
    await presses(story, line.engagement.reply("fr", "csat_1"))
    assert len(await story.rows(LowScore)) == 1
    assert texts(story)[1:] == [line.engagement.reply("fr", "survey_sorry")]
    assert (await story.conversation()).status == "resolved", "nobody asked to reopen it"


async def test_buttons_that_were_sent_before_there_were_questions_still_count(line: Line) -> None:
    story = await resolved(line)
    async with line.database.write() as session:
        await session.execute(update(Question).values(expires_at=line.now()))
    token = (await story.survey()).token
    for value in (f"csat:{token}:6", f"csat:{token}:4", f"csat:{token}:1", f"csat:x{token}:4"):
        await story.customer_presses(value)
    assert (await story.survey()).score == 4
    assert [fate for fate, _ in await story.fates()][1:] == ["ignored", "stored", "stored", "ignored"]


async def test_nobody_gets_two_surveys_within_the_rest_over_all_channels(line: Line) -> None:
    clock = Clock()
    line = line_with(line, clock, survey={"rest_days": 7})
    first = await resolved(line, key="one")
    clock.forward(days=2)
    second, _ = await begin(line, "echo", "two")
    await second.customer_writes(GREETINGS["fr"])
    async with line.database.write() as session:  # the same person
        await session.execute(update(Conversation).values(contact_id=1))
        await session.execute(update(Identity).values(contact_id=1))
    await end(second)
    assert (await skipped(second), len(await first.rows(Survey))) == (["", "asked_recently"], 1)
    clock.forward(days=6)
    await second.customer_writes(GREETINGS["fr"])
    await end(second)
    assert len(await first.rows(Survey)) == 2


async def test_several_processes_at_once_ask_a_person_once_and_each_resolution_once(line: Line) -> None:
    line = line_with(line, Clock(), survey={"rest_days": 7})
    story, _ = await begin(line, "echo")
    for number in range(6):
        await story.customer_writes(GREETINGS["fr"], author=f"a{number}", drains=False)
    await drain(line)
    async with line.database.write() as session:  # three people with two conversations each
        for number in range(1, 7):
            contact = (number + 1) // 2
            await session.execute(update(Conversation).where(col(Conversation.id) == number).values(contact_id=contact))
            await resolve(session, line, await session.get_one(Conversation, number), None)
    one_each = replace(
        line, settings=line.settings.model_copy(update={"line": line.settings.line.model_copy(update={"batch": 1})})
    )
    for _ in range(6):
        await asyncio.gather(*(step.survey(one_each) for _ in range(3)))
    assert sorted(s.contact_id for s in await story.rows(Survey)) == [1, 2, 3]
    assert sorted(await skipped(story)) == ["", "", "", *["asked_recently"] * 3]


@on_one_database
async def test_what_ends_at_night_is_asked_about_in_the_morning(line: Line) -> None:
    clock = Clock(datetime(2026, 3, 1, 20, 30, tzinfo=UTC))  # 21:30 in Algiers
    line = line_with(line, clock, survey={"quiet_hours": "21:00-08:00"})
    story = await resolved(line)
    assert await story.rows(Survey) == []
    clock.forward(hours=10)  # 07:30
    await drain(line)
    assert await story.rows(Survey) == []
    clock.forward(minutes=30)
    await drain(line)
    assert (await story.survey()).sent_at == clock.at


@on_one_database
async def test_a_share_of_the_conversations_is_asked_about(line: Line) -> None:
    await make(line, {"kind": "csat"}, share=0)
    story = await resolved(line)
    assert await skipped(story) == ["sampled_out"]


@on_one_database
async def test_a_survey_for_some_and_another_one_for_the_rest(line: Line) -> None:
    await make(line, {"kind": "ces"}, audience={"channels": ["other"]})
    await make(line, {"kind": "nps"}, audience={"by": "agent"})
    story = await resolved(line)
    assert (await story.survey()).kind == "csat", "the standard one was taken along, and comes last"
    assert (await story.survey()).is_by_bot
    human, _ = await begin(line, "echo", "other")
    await human.customer_writes(GREETINGS["fr"])
    await human.agent_answers(await human.agent("Amina"), "Bonjour")
    await end(human)
    survey = await human.survey()
    assert (survey.kind, survey.is_by_bot) == ("nps", False)


async def test_after_a_public_comment_the_question_is_asked_in_private_or_not_at_all(line: Line) -> None:
    story = await resolved(line, kind="comment", thread="post-1")
    [sent] = story.sent()
    survey = await story.survey()
    assert (sent["action"], sent["buttons"], survey.token in str(sent["text"])) == ("private_reply", [], True)
    await story.customer_writes("5", kind="comment", thread="post-1")
    assert (await story.survey()).score is None, "in public everybody writes numbers"
    await story.customer_writes("5", thread="dm")
    assert (await story.survey()).score == 5
    await story.customer_writes("merci à vous", kind="comment", thread="post-1")
    assert (await story.survey()).comment == "", "and words in public are for everybody"
    assert [row["action"] for row in story.sent() if row["key"].startswith("survey")] == ["private_reply"]

    silent = await resolved(line, "public", kind="comment", thread="post-2")
    assert (await skipped(silent))[-1] == "public"
    assert len(await silent.rows(Survey)) == 1


@on_one_database
async def test_what_was_answered_on_the_page_meanwhile_is_no_answer_in_the_chat(line: Line) -> None:
    await make(line, QUESTIONS)
    story = await resolved(line, "forgetful")
    async with line.database.write() as session:
        row = await survey_answers.locked(session, (await story.survey()).token)
        assert row is not None
        await survey_answers.record(session, line, row, {"shop": "bad"}, is_in_chat=False)
    await story.customer_writes("1")
    assert (await story.survey()).answers == {"shop": "bad"}
    message = (await story.messages())[-1]
    assert (message.question_id, message.is_choice, (await story.conversation()).status) == (None, False, "open")


@on_one_database
async def test_who_asked_us_to_stop_is_left_alone(line: Line) -> None:
    story, _ = await begin(line)
    await story.customer_writes(GREETINGS["fr"])
    async with line.database.write() as session:
        await session.execute(update(Identity).values(stopped_at=line.now()))
    await end(story)
    assert await skipped(story) == ["stopped"]


async def test_one_reminder_for_those_who_said_nothing_and_none_for_others(line: Line) -> None:
    clock = Clock()
    line = line_with(line, clock, survey={"remind_hours": 24})
    silent, quick = await resolved(line, key="silent"), await resolved(line, key="quick")
    await presses(quick, line.engagement.reply("fr", "csat_5"))
    back = await resolved(line, key="back")
    await back.customer_writes("Ma connexion ne marche plus depuis trois jours")
    clock.forward(hours=24)
    await asyncio.gather(*(step.survey(line) for _ in range(3)))
    clock.forward(hours=48)
    await drain(line)
    reminder = line.engagement.reply("fr", "survey_reminder")
    reminded = [[text.startswith(reminder) for text in texts(story)].count(True) for story in (silent, quick, back)]
    assert reminded == [1, 0, 0]
    await presses(silent, line.engagement.reply("fr", "csat_4"))
    assert [s.score for s in await silent.rows(Survey)] == [4, 5, None]


async def test_what_was_asked_stays_as_it_was_when_the_survey_is_changed_later(line: Line) -> None:
    row = await make(line, QUESTIONS)
    story = await resolved(line)
    async with line.database.write() as session:
        again = await session.get_one(SurveyForm, row.id)
        await survey_forms.save(session, line, again, "New", {"kind": "nps", "sending": NOW_SENDING}, None)
    await presses(story, "Parfait")
    survey = await story.survey()
    assert (survey.kind, survey.form_version, survey.answers) == ("questionnaire", 1, {"shop": "perfect"})
    assert texts(story)[-1] == "Avez-vous acheté ?"


async def test_a_process_that_ends_in_the_middle_of_asking_asks_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    story, _ = await begin(line, "echo")
    await story.customer_writes(GREETINGS["fr"])
    with monkeypatch.context() as patch:
        patch.setattr(step, "put", dies)
        with pytest.raises(asyncio.CancelledError):
            await end(story)
    assert (await story.rows(Survey), await skipped(story)) == ([], [""])
    await drain(line)
    with monkeypatch.context() as patch:
        patch.setattr(survey_answers, "_go_on", dies)
        [sent] = story.sent()
        with pytest.raises(asyncio.CancelledError):
            await story.customer_presses(sent["buttons"][4][1])
    assert (await story.survey()).score is None
    await drain(line)
    assert (await story.survey()).score == 5
    assert len(texts(story)) == 2


@on_one_database
async def test_an_angry_comment_beside_the_best_score_comes_back_and_can_be_seen_as_such(line: Line) -> None:
    story = await resolved(line)
    await presses(story, line.engagement.reply("fr", "csat_5"))
    await story.customer_writes("Service catastrophique, personne ne répond et ma ligne est toujours coupée !")
    survey = await story.survey()
    message, analysis = await story.last_understood()
    assert (survey.comment_message_id, analysis.sentiment) == (message.id, "negative")
    assert (await story.conversation()).status == "open"


async def test_time_between_answers_does_not_matter_until_the_survey_ends(line: Line) -> None:
    clock = Clock()
    story = await resolved(line_with(line, clock))
    clock.forward(days=6, hours=23)
    await presses(story, line.engagement.reply("fr", "csat_4"))
    assert (await story.survey()).answered_at == clock.at
    late = await resolved(line_with(line, clock), key="late")
    clock.at += timedelta(days=7)
    await presses(late, line.engagement.reply("fr", "csat_4"))
    assert (await late.survey()).answered_at is None
