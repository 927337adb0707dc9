"""One complaint: what happened, what the customer wrote, and what somebody does with it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import (
    Case,
    CaseEvent,
    CaseStatus,
    CaseStep,
    Origin,
    Outcome,
    Redress,
    WaitsFor,
    as_reference,
)
from socialcrm.domain.casework import MOVES, CannotMove, check_move, is_overdue
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.incident import Incident
from socialcrm.domain.message import Direction, Message
from socialcrm.domain.people import Agent, Role, Team
from socialcrm.engine import case_file, case_links, case_opening, case_time, cases, news, tell
from socialcrm.engine.line import Line
from socialcrm.web.cases import choices, zone_of
from socialcrm.web.conversation import ACTING, done, find, said
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page

routes = web.RouteTableDef()

SHOWN = 8
"""Newest messages of each conversation on the page of a case."""
LONGEST = 2000
OUTCOMES = (Outcome.CONFIRMED, Outcome.SILENT, Outcome.UNFOUNDED, Outcome.WITHDRAWN)
STANDARD = {
    "begin": "case_working",
    "customer": "case_waiting_customer",
    "outside": "case_waiting_outside",
    "resolve": "case_solved",
    "close": "case_closed",
    "reopen": "case_reopened",
}
"""What an agent does -> the text that the customer is told unless the agent writes another one."""


@routes.get(r"/cases/{id:\d{1,18}}", name="case")
async def show(request: web.Request) -> web.Response:
    """The page of a case."""
    return await _page(request)


@routes.post(r"/cases/{id:\d{1,18}}/{deed:[a-z]+}", name="case_do")
@needs(*ACTING)
async def do(request: web.Request) -> web.StreamResponse:
    """Do something with a case; what speaks against it stands on the page."""
    line, form = request.app[LINE], {key: str(value) for key, value in (await request.post()).items()}
    deed = DEEDS.get(request.match_info["deed"])
    if deed is None:
        raise web.HTTPNotFound
    try:
        async with line.database.write() as session:
            case = await _locked(session, request)
            await deed(session, line, case, request[AGENT], form)
    except CannotMove as error:
        return await _page(request, status=409, error=said(request, error), form=form)
    line.live.ring()
    line.work.set()
    back = "/cases?view=board" if form.get("back") == "board" else f"/cases/{request.match_info['id']}"
    raise web.HTTPSeeOther(back)


@routes.post(r"/inbox/{id:\d{1,18}}/case", name="conversation_case")
@needs(*ACTING)
async def open_by_hand(request: web.Request) -> web.StreamResponse:
    """Open a case for a conversation."""
    line = request.app[LINE]
    try:
        async with line.database.write() as session:
            conversation = await find(session, request)
            await case_opening.open_case(session, line, conversation, origin=Origin.AGENT, by=request[AGENT])
    except CannotMove as error:
        raise web.HTTPConflict(text=said(request, error)) from None
    return await done(request)


async def _locked(session: AsyncSession, request: web.Request) -> Case:
    case = await case_file.lock(session, int(request.match_info["id"]))
    if case is None:
        raise web.HTTPNotFound(text=say(request, "There is no such complaint."))
    return case


async def _page(
    request: web.Request, status: int = 200, error: str = "", form: Mapping[str, str] | None = None
) -> web.Response:
    line = request.app[LINE]
    async with line.database.read() as session:
        case = await session.get(Case, int(request.match_info["id"]))
        if case is None:
            raise web.HTTPNotFound(text=say(request, "There is no such complaint."))
        context = await choices(session) | await _about(session, case) | await _words(session, line, case)
    return await page(
        request,
        "cases/case.html",
        status,
        nav="cases",
        case=case,
        error=error,
        form=form or {},
        is_late=is_overdue(case, line.now()),
        may=[move.value for move in MOVES[case.status]],
        may_act=request[AGENT].role in ACTING,
        outcomes=OUTCOMES,
        redresses=[redress for redress in Redress if redress],
        said=translations(language(request)).gettext,
        moment=datetime.fromisoformat,
        zone=zone_of(request),
        **context,
    )


async def _about(session: AsyncSession, case: Case) -> dict[str, Any]:
    """Who, where, and everything that happened."""
    conversations = await case_links.linked(session, case)
    channels = {c.channel_id for c in conversations}
    names = select(col(Channel.id), col(Channel.name)).where(col(Channel.id).in_(channels))
    messages = {}
    for conversation in conversations:
        query = (
            select(Message)
            .where(
                col(Message.conversation_id) == conversation.id,
                col(Message.direction).in_((Direction.IN.value, Direction.OUT.value)),
            )
            .order_by(col(Message.id).desc())
            .limit(SHOWN)
        )
        messages[conversation.id] = list(reversed((await session.execute(query)).scalars().all()))
    events = select(CaseEvent).where(col(CaseEvent.case_id) == case.id).order_by(col(CaseEvent.id))
    people = select(col(Agent.id), col(Agent.name))
    return {
        "contact": await session.get_one(Contact, case.contact_id),
        "conversations": conversations,
        "channel_names": {number: name for number, name in (await session.execute(names)).all()},
        "messages": messages,
        "complaint": await session.get_one(Message, case.message_id),
        "events": (await session.execute(events)).scalars().all(),
        "people": {number: name for number, name in (await session.execute(people)).all()},
        "incident": await session.get(Incident, case.incident_id) if case.incident_id else None,
        "duplicate_of": await session.get(Case, case.duplicate_of_id) if case.duplicate_of_id else None,
        "others": await _others(session, case),
    }


async def _others(session: AsyncSession, case: Case) -> dict[str, Any]:
    """What may belong to it too: other cases and conversations of the same person."""
    same = select(Case).where(col(Case.contact_id) == case.contact_id, col(Case.id) != case.id)
    query = select(Conversation).where(col(Conversation.contact_id) == case.contact_id)
    known = {c.id for c in await case_links.linked(session, case)}
    found = (await session.execute(query.order_by(col(Conversation.id).desc()).limit(20))).scalars()
    return {
        "cases": (await session.execute(same.order_by(col(Case.id).desc()).limit(10))).scalars().all(),
        "conversations": [conversation for conversation in found if conversation.id not in known],
    }


async def _words(session: AsyncSession, line: Line, case: Case) -> dict[str, Any]:
    """Where the customer would be told something, and in which words."""
    spoken = await tell.language_of(session, line, case)
    place = await tell.place_of(session, line, case)
    later = await case_time.later(session, line, case)
    return {
        "spoken": spoken,
        "place": None if isinstance(place, str) else place,
        "untold": place if isinstance(place, str) else "",
        "standard": {deed: tell.in_words(line, spoken, key, case) for deed, key in STANDARD.items()},
        "later": later,
    }


Deed = Callable[[AsyncSession, Line, Case, Agent, Mapping[str, str]], Awaitable[object]]


def _text(form: Mapping[str, str]) -> str:
    text = form.get("text", "").replace("\r\n", "\n").strip()
    if len(text) > LONGEST:
        raise CannotMove(f"The text has at most {LONGEST} characters.")
    return text


async def _begin(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    if case.status not in (CaseStatus.OPEN, CaseStatus.WAITING):
        check_move(case, CaseStatus.WORKING)
        raise CannotMove("Somebody else was quicker: the complaint has this status already.")
    await cases.begin(session, line, case, by, tells=form.get("tells") == "yes", text=_text(form))


async def _wait(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    whom = WaitsFor.CUSTOMER if form.get("for") == WaitsFor.CUSTOMER else WaitsFor.OUTSIDE
    await cases.wait(session, line, case, by, whom, tells=form.get("tells") == "yes", text=_text(form))


async def _resolve(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    await _edit(session, line, case, by, form)
    await cases.resolve(session, line, case, by, text=_text(form))


async def _close(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    await _edit(session, line, case, by, form)
    if form.get("outcome") not in list(OUTCOMES):
        raise CannotMove("Choose how it ended.")
    tells = "case_closed" if form.get("tells") == "yes" else ""
    await cases.close(session, line, case, by, Outcome(form["outcome"]), tells=tells, text=_text(form))


async def _reopen(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    if case.status not in (CaseStatus.RESOLVED, CaseStatus.CLOSED):
        raise CannotMove("Somebody else was quicker: the complaint is open already.")
    await cases.reopen(session, line, case, by, because="agent", tells=form.get("tells") == "yes", text=_text(form))


async def _delay(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    try:
        due_at = datetime.fromisoformat(form.get("due", "")).replace(tzinfo=tell.zone_of(line))
    except ValueError:
        raise CannotMove("Choose the day and time until when it should be solved.") from None
    await cases.delay(session, line, case, by, due_at, _text(form), tells=form.get("tells") == "yes")


async def _note(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    if not (text := _text(form)):
        raise CannotMove("Write the note first.")
    case_file.note(session, line, case, CaseStep.NOTE, by, None, text=text)


async def _edit(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    names = ("reason", "severity", "cause", "redress", *case_links.TEXTS)
    await case_links.edit(session, line, case, by, {name: form[name] for name in names if name in form})


async def _give(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    team = await session.get(Team, int(form["team"])) if form.get("team", "").isdecimal() else None
    agent = await session.get(Agent, int(form["agent"])) if form.get("agent", "").isdecimal() else None
    if agent is not None and (not agent.is_active or agent.role == Role.ANALYST):
        raise CannotMove("There is no such agent any more.")
    await case_links.give(session, line, case, by, team, agent)


async def _acknowledge(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    await case_opening.acknowledge(session, line, case, by)


async def _link(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    number = form.get("conversation", "").strip().rpartition("/")[2]
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise CannotMove("Give the number of a conversation, or its address.")
    if await session.get(Conversation, int(number)) is None:
        raise CannotMove("There is no such conversation.")
    await case_links.link(session, line, case, int(number), by, "agent")


async def _unlink(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    if form.get("conversation", "").isdecimal():
        await case_links.unlink(session, line, case, int(form["conversation"]), by)


async def _merge(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    reference = as_reference(form.get("reference", ""))
    if not reference:
        raise CannotMove("This is no reference: one of its signs is wrong or missing.")
    found = (await session.execute(select(col(Case.id)).where(col(Case.reference) == reference))).scalar_one_or_none()
    if found is None:
        raise CannotMove("There is no complaint with this reference.")
    if found == case.id:
        raise CannotMove("A complaint is no duplicate of itself.")
    both = {each.id: each for each in await case_file.lock_all(session, [case.id or 0, found])}
    tells = form.get("tells") == "yes"
    await case_links.merge(session, line, both[case.id], both[found], by, tells=tells)


async def _leave(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    await news.leave(session, line, case, by)


async def _join(session: AsyncSession, line: Line, case: Case, by: Agent, form: Mapping[str, str]) -> None:
    if not form.get("incident", "").isdecimal():
        raise CannotMove("Choose an incident.")
    await news.join(session, line, int(form["incident"]), [case.id or 0], by)


DEEDS: Mapping[str, Deed] = {
    "begin": _begin,
    "wait": _wait,
    "resolve": _resolve,
    "close": _close,
    "reopen": _reopen,
    "delay": _delay,
    "note": _note,
    "edit": _edit,
    "give": _give,
    "acknowledge": _acknowledge,
    "link": _link,
    "unlink": _unlink,
    "merge": _merge,
    "leave": _leave,
    "join": _join,
}
