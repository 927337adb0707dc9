"""Making surveys on their page, the page behind a link for every kind, low scores and the barometer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import (
    Agent,
    Analysis,
    Contact,
    Conversation,
    LowScore,
    Message,
    Resolution,
    Survey,
    SurveyForm,
)
from socialcrm.domain.survey_form import read_form
from socialcrm.engine import survey_answers, survey_forms
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from socialcrm.web import survey_builder, surveys
from socialcrm.web.low_scores import tell_supervisors
from tests.engine.scripted import on_one_database
from tests.servers.mail import HOST, PASSWORD, mail_devel
from tests.story import line_with
from tests.web.desk import Desk, desk


@pytest.fixture
async def office(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as office:
        await office.sign_in("supervisor")
        yield office


async def rows(office: Desk, table: Any) -> list[Any]:
    async with office.line.database.read() as session:
        return list((await session.execute(select(table).order_by(col(table.id)))).scalars())


SENDING = {
    "delay_minutes": "5",
    "share": "100",
    "rest_days": "7",
    "remind_hours": "0",
    "expires_days": "7",
    "quiet_from": "21:00",
    "quiet_to": "08:00",
}
PAGE = {**SENDING, "kind": "questionnaire", "name": "Boutique", "items": "2", "do": "save"}
PAGE |= {"item-0-id": "q1", "item-0-type": "opinion", "item-0-text-fr": "La boutique ?", "item-0-text-ar": "المحل؟"}
PAGE |= {"item-1-id": "q2", "item-1-type": "text", "item-1-text-fr": "Pourquoi ?", "item-1-optional": "yes"}
PAGE |= {"item-1-when": "q1", "item-1-when-op": "is", "item-1-when-value": "bad"}


async def test_a_survey_is_made_changed_switched_and_deleted_without_scripts(office: Desk) -> None:
    status, text = await office.get("/automation/surveys")
    assert (status, "Standard survey" in text) == (200, True)
    status, text = await office.post("/automation/surveys/new", PAGE)
    assert (status, "Kept." in text) == (200, True)
    standard, made = await rows(office, SurveyForm)
    assert [standard.is_on, made.is_on, made.name, made.version] == [True, False, "Boutique", 1]
    form = read_form(made.body)
    assert [(i.id, i.type, i.is_optional) for i in form.items] == [("q1", "opinion", False), ("q2", "text", True)]
    assert form.items[1].when is not None
    assert (form.sending.quiet, form.items[1].when.value) == ("21:00-08:00", "bad")

    await office.post(f"/automation/surveys/{made.id}", {**PAGE, "name": "Magasin"})
    await office.post(f"/automation/surveys/{made.id}/switch")
    await office.post(f"/automation/surveys/{made.id}/up")
    standard, made = await rows(office, SurveyForm)
    assert (made.name, made.version, made.is_on, made.position < standard.position) == ("Magasin", 2, True, True)
    _, text = await office.get(f"/automation/surveys/{made.id}")
    assert "Version 1" in text
    await office.post(f"/automation/surveys/{made.id}/delete")
    assert (await office.get(f"/automation/surveys/{made.id}"))[0] == 404
    async with office.line.database.read() as session:
        assert [row.id for row, _ in await survey_forms.active(session, office.line) if row] == [standard.id]


@on_one_database
async def test_questions_and_choices_are_added_moved_and_removed_step_by_step(office: Desk) -> None:
    _, text = await office.post("/automation/surveys/new", {**PAGE, "do": "add", "add-type": "choice"})
    assert 'name="item-2-option-1-text-fr"' in text
    assert await rows(office, SurveyForm) == [], "nothing is kept before it is asked for"
    _, text = await office.post("/automation/surveys/new", {**PAGE, "do": "up:1"})
    assert text.index("Pourquoi ?") < text.index("La boutique ?")
    _, text = await office.post("/automation/surveys/new", {**PAGE, "do": "remove:0"})
    assert "La boutique ?</textarea>" not in text
    for do in ("remove:9", "up:x", "unoption:0:7", "down", "nonsense"):
        assert (await office.post("/automation/surveys/new", {**PAGE, "do": do}))[0] == 200, do


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": " "}, "Give the survey a name."),
        ({"share": "much"}, "a number from 0 to 100 is needed, not “much”"),
        ({"quiet_from": "9pm"}, "a time such as 21:00 is needed, not “9pm”"),
        ({"item-0-text-fr": "", "item-0-text-ar": ""}, "Question 1: it has no words in any language."),
        ({"item-1-when-value": "blue"}, "Question 2: its condition waits for blue"),
        ({"items": "0"}, "A questionnaire needs at least one question."),
    ],
)
@on_one_database
async def test_what_is_wrong_is_said_and_what_was_typed_stays(office: Desk, change: dict[str, str], words: str) -> None:
    status, text = await office.post("/automation/surveys/new", {**PAGE, **change})
    assert (status, words in text, 'role="alert"' in text) == (422, True, True)
    assert await rows(office, SurveyForm) == []
    if "items" not in change:
        assert "Pourquoi ?</textarea>" in text


@on_one_database
async def test_the_preview_shows_buttons_numbers_or_the_page_in_each_language(office: Desk) -> None:
    chat = await office.channel("webchat", name="Chat")
    mail = await office.channel("kannel", name="SMS")
    ask = {**PAGE, "do": "preview", "preview-language": "ar"}
    _, text = await office.post("/automation/surveys/new", {**ask, "preview-channel": str(chat.id)})
    assert "المحل؟" in text
    assert '<li dir="auto">ممتاز</li>' in text
    assert "Only if" in text
    _, text = await office.post("/automation/surveys/new", {**ask, "preview-channel": str(mail.id)})
    assert "1. ممتاز" in text
    _, text = await office.post("/automation/surveys/new", {**ask, "preview-channel": "link"})
    assert "srcdoc=" in text
    assert "dir=&#34;rtl&#34;" in text


@on_one_database
async def test_only_supervisors_and_administrators_make_surveys(office: Desk) -> None:
    for role in ("agent", "analyst"):
        await office.sign_in(role)
        for path in ("/automation/surveys", "/automation/surveys/new?kind=nps", "/automation/surveys/low"):
            assert (await office.get(path))[0] == 403
        assert (await office.post("/automation/surveys/new", PAGE))[0] == 403
    assert (await office.get("/reports/barometer"))[0] == 200, "analysts read it"


@on_one_database
async def test_every_kind_has_a_page_to_make_it(office: Desk) -> None:
    for kind in survey_builder.KINDS:
        assert (await office.get(f"/automation/surveys/new?kind={kind}"))[0] == 200
    assert (await office.get("/automation/surveys/new?kind=stars"))[0] == 404
    assert set(surveys.REASONS) >= {""}


async def invite(office: Desk, body: dict[str, Any], language: str = "fr", **more: Any) -> Survey:
    """A survey that somebody got."""
    channel, line = await office.channel(), office.line
    now = line.now()
    async with line.database.write() as session:
        form = await survey_forms.save(session, line, None, "A survey", body, None)
        contact = Contact(name="Karim", created_at=now)
        session.add(contact)
        await session.flush()
        conversation = Conversation(
            channel_id=channel.id or 0,
            contact_id=contact.id or 0,
            thread_key="t",
            kind="direct_message",
            status="resolved",
            opened_at=now,
            resolved_at=now,
            last_message_at=now,
        )
        session.add(conversation)
        await session.flush()
        resolution = Resolution(conversation_id=conversation.id or 0, resolved_at=now, survey="sent")
        session.add(resolution)
        await session.flush()
        survey = Survey(
            token=f"token-{channel.key[:10]}",
            resolution_id=resolution.id or 0,
            conversation_id=conversation.id or 0,
            contact_id=contact.id or 0,
            channel_id=channel.id or 0,
            form_id=form.id,
            form_version=form.version,
            kind=form.body["kind"],
            language=language,
            sent_at=now,
            expires_at=now + timedelta(days=7),
            **more,
        )
        session.add(survey)
    return survey


QUESTIONS = read_form(
    {
        "kind": "questionnaire",
        "items": [
            {"id": "q1", "type": "opinion", "text": {"fr": "La boutique ?", "ar": "المحل؟"}},
            {
                "id": "q2",
                "type": "choices",
                "text": {"fr": "Quoi ?"},
                "options": [{"value": v, "text": {"fr": v}} for v in ("box", "sim", "phone")],
                "when": {"item": "q1", "op": "is_not", "value": "none"},
            },
            {"id": "q3", "type": "text", "text": {"fr": "Pourquoi ?"}, "is_optional": True},
        ],
    }
).model_dump(mode="json")


async def test_a_questionnaire_is_answered_page_by_page_without_scripts(office: Desk) -> None:
    survey = await invite(office, QUESTIONS)
    path = f"/s/{survey.token}"
    _, text = await office.get(path)
    assert ("La boutique ?" in text, "Quoi ?" in text, "Questions suivantes" in text, "<script" in text) == (
        True,
        False,
        True,
        False,
    )
    status, text = await office.post(path, {"q3": "<b>non</b>"})
    assert (status, "&lt;b&gt;non&lt;/b&gt;</textarea>" in text) == (400, True)
    _, text = await office.post(path, {"q1": "bad", "q3": "trop loin"})
    assert ("Quoi ?" in text, "La boutique ?" in text, 'type="checkbox" name="q2"' in text) == (True, False, True)
    await office.post(path, {"q1": "perfect", "q2": ["box", "phone", "nothing"], "comment": "Merci"})
    [row] = await rows(office, Survey)
    assert row.answers == {"q1": "bad", "q2": "box,phone", "q3": "trop loin"}
    assert (row.comment, row.completed_at is not None) == ("Merci", True)
    assert (await office.post(path, {"q2": "sim"}))[0] == 409


@pytest.mark.parametrize(
    ("kind", "value", "score", "direction"),
    [("nps", "10", 10, "rtl"), ("ces", "1", 1, "rtl"), ("case_check", "no", 0, "rtl")],
)
@on_one_database
async def test_every_kind_of_score_has_its_page_in_arabic_too(
    office: Desk, kind: str, value: str, score: int, direction: str
) -> None:
    survey = await invite(
        office, {"kind": kind, "low": {"at_most": 0}} if kind == "case_check" else {"kind": kind}, "ar"
    )
    _, text = await office.get(f"/s/{survey.token}?score={value}")
    assert f'dir="{direction}"' in text
    assert text.count("checked") == 1
    assert (await office.post(f"/s/{survey.token}", {"score": "99"}))[0] == 400
    assert (await office.post(f"/s/{survey.token}", {"score": value}))[0] == 200
    assert [s.score for s in await rows(office, Survey)] == [score]


@on_one_database
async def test_a_low_score_with_words_on_the_page_is_listed_understood_and_ticked_off(office: Desk) -> None:
    survey = await invite(office, {"kind": "csat", "low": {"at_most": 2, "calls": True}})
    await office.post(f"/s/{survey.token}", {"score": "1", "comment": "Service lamentable, toujours en panne"})
    await drain(office.line)
    message = next(m for m in await rows(office, Message) if m.direction == "in")
    assert (message.text, message.direction, (await rows(office, Survey))[0].comment_message_id) == (
        "Service lamentable, toujours en panne",
        "in",
        message.id,
    )
    async with office.line.database.read() as session:
        assert (await session.get_one(Analysis, message.id)).sentiment == "negative"
    _, text = await office.get("/automation/surveys/low")
    assert ("Service lamentable" in text, "Call the customer" in text) == (True, True)
    [low] = await rows(office, LowScore)
    _, text = await office.post(f"/automation/surveys/low/{low.id}", {"note": "Rappelé"})
    assert "Service lamentable" not in text
    assert "Rappelé" in (await office.get("/automation/surveys/low?done=yes"))[1]
    await office.post(f"/automation/surveys/low/{low.id}", {"undo": "yes"})
    assert [low.done_at for low in await rows(office, LowScore)] == [None]
    assert (await office.post("/automation/surveys/low/99"))[0] == 404


@on_one_database
async def test_a_good_score_with_angry_words_is_flagged(office: Desk) -> None:
    survey = await invite(office, {"kind": "csat"})
    async with office.line.database.write() as session:
        await survey_answers.score(session, office.line, survey.token, 5, is_in_chat=False)
        await survey_answers.comment(
            session, office.line, survey.token, "Service catastrophique, personne ne répond jamais !"
        )
    await drain(office.line)
    _, text = await office.get("/automation/surveys/low")
    assert ("Good score, angry words" in text, "catastrophique" in text) == (True, True)


@on_one_database
async def test_each_figure_of_the_barometer_opens_its_rows(office: Desk) -> None:
    survey = await invite(office, {"kind": "nps"}, score=9, answered_at=office.line.now())
    _, text = await office.get("/reports/barometer?kind=nps&per=week")
    assert "kind=nps" in text
    _, text = await office.get("/reports/surveys?days=7&kind=nps&answered=yes")
    assert "9</strong>&nbsp;/&nbsp;10" in text
    assert "Karim" not in (await office.get("/reports/surveys?days=7"))[1], "of CSAT there is none"
    for path in (
        "barometer.json?kind=nps",
        "barometer.csv?kind=nps",
        "barometer.csv?part=agent",
        "barometer?kind=x&per=y",
    ):
        assert (await office.get(f"/reports/{path}"))[0] == 200, path
    assert survey.kind == "nps"


@on_one_database
async def test_supervisors_are_mailed_once_about_a_low_score_in_their_language(office: Desk, tmp_path: Path) -> None:
    async with office.line.database.write() as session:
        for email, role in (("sup@shop.example", "supervisor"), ("agent@shop.example", "agent")):
            session.add(Agent(email=email, name=email, role=role, locale="fr", created_at=office.line.now()))
    survey = await invite(office, {"kind": "nps", "low": {"at_most": 6, "calls": True}})
    await office.post(f"/s/{survey.token}", {"score": "3"})
    with mail_devel(tmp_path) as server:
        settings = {"host": HOST, "port": server.smtp_port, "security": "none", "sender": "crm@shop.example"}
        line = line_with(office.line, mail={**settings, "username": "crm@shop.example", "password": PASSWORD})
        await asyncio.gather(*(tell_supervisors(line) for _ in range(3)))
        await tell_supervisors(line)
        (mail,) = await server.mails("sup@shop.example")
        assert str(make_header(decode_header(mail["Subject"]))) == "Note basse : 3 sur 10"
        assert await server.mails("agent@shop.example") == []
    assert (await rows(office, LowScore))[0].told_at is not None
