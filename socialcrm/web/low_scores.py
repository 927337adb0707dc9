"""Low scores: the list that supervisors work through, and the mail that tells them of a new one."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Select, func, select, update
from sqlmodel import col

from connectors.base import ConnectorError
from connectors.smtp import SmtpServer, send_mail
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.message import Analysis
from socialcrm.domain.people import Agent, Role
from socialcrm.domain.survey import LowScore, Survey
from socialcrm.domain.survey_form import SCALES, contradicts
from socialcrm.engine.line import Line
from socialcrm.web.guard import needs
from socialcrm.web.i18n import translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

MAY = (Role.SUPERVISOR, Role.ADMIN)
MOST = 200
NOTE_LENGTH = 500
SUBJECT = N_("Low score: %(score)s of %(highest)s")
TEXT = N_("A customer gave a low score after a conversation that %(agent)s ended:")
NOBODY = N_("nobody in particular")
CALL = N_("The survey asks that somebody calls the customer.")
TOLD_WITHIN = timedelta(days=1)
"""Older ones are on the page only: a mail server that comes back after a week does not flood anybody."""


@routes.get("/automation/surveys/low", name="low_scores")
@needs(*MAY)
async def low_scores(request: web.Request) -> web.Response:
    """Those that nobody has looked into, oldest first, or those that are done, newest first."""
    line, is_done = request.app[LINE], request.query.get("done") == "yes"
    async with line.database.read() as session:
        found = (await session.execute(_listed(is_done=is_done))).all()
        waiting = await session.scalar(select(func.count()).where(col(LowScore.done_at).is_(None)))
        angry = (await session.execute(_angry(line))).all()
    return await page(
        request,
        "surveys/low.html",
        nav="automation",
        found=found,
        is_done=is_done,
        waiting=waiting or 0,
        angry=[row for row in angry if _contradicts(row)],
        highest={kind: scale[-1] for kind, scale in SCALES.items()},
        note_length=NOTE_LENGTH,
    )


@routes.post(r"/automation/surveys/low/{id:\d+}", name="low_score_done")
@needs(*MAY)
async def done(request: web.Request) -> web.Response:
    """Somebody looked into it, or takes that back."""
    line, form = request.app[LINE], await request.post()
    is_done = form.get("undo") != "yes"
    values: dict[str, Any] = {"done_at": None, "done_by_id": None}
    if is_done:
        note = str(form.get("note", "")).strip()[:NOTE_LENGTH]
        values = {"done_at": line.now(), "done_by_id": request[AGENT].id, "note": note}
    change = update(LowScore).where(col(LowScore.id) == int(request.match_info["id"][:18])).values(**values)
    async with line.database.write() as session:
        if not getattr(await session.execute(change), "rowcount", 0):
            raise web.HTTPNotFound
    raise web.HTTPSeeOther("/automation/surveys/low" if is_done else "/automation/surveys/low?done=yes")


def _listed(*, is_done: bool) -> Select[Any]:
    handles = select(col(Identity.handle)).where(
        col(Identity.contact_id) == col(Survey.contact_id), col(Identity.channel_id) == col(Survey.channel_id)
    )
    names: tuple[Any, ...] = (
        col(Channel.name).label("channel"),
        col(Contact.name).label("contact"),
        col(Agent.name).label("agent"),
        handles.limit(1).scalar_subquery().label("handle"),
    )
    query = (
        select(LowScore, Survey, *names)
        .join(Survey, col(Survey.id) == col(LowScore.survey_id))
        .join(Channel, col(Channel.id) == col(Survey.channel_id))
        .join(Contact, col(Contact.id) == col(Survey.contact_id))
        .outerjoin(Agent, col(Agent.id) == col(Survey.agent_id))
        .limit(MOST)
    )
    if is_done:
        return query.where(col(LowScore.done_at).is_not(None)).order_by(col(LowScore.done_at).desc())
    return query.where(col(LowScore.done_at).is_(None)).order_by(col(LowScore.wants_call).desc(), col(LowScore.made_at))


def _angry(line: Line) -> Select[Any]:
    """Comments of the last 30 days beside a score that is not low; which of them contradict it is decided in words."""
    columns: tuple[Any, ...] = (
        col(Analysis.sentiment).label("sentiment"),
        col(Analysis.is_complaint).label("is_complaint"),
        col(Analysis.unsure).label("unsure"),
        col(Contact.name).label("contact"),
    )
    return (
        select(Survey, *columns)
        .join(Analysis, col(Analysis.message_id) == col(Survey.comment_message_id))
        .join(Contact, col(Contact.id) == col(Survey.contact_id))
        .where(col(Survey.sent_at) >= line.now() - timedelta(days=30), col(Survey.score).is_not(None))
        .where((col(Analysis.sentiment) == "negative") | col(Analysis.is_complaint))
        .order_by(col(Survey.sent_at).desc())
        .limit(MOST)
    )


def _contradicts(row: Any) -> bool:
    """Only what the model is sure of is held against a good score."""
    sentiment = "" if "sentiment" in row.unsure else row.sentiment
    is_complaint = row.is_complaint and "complaint" not in row.unsure
    return contradicts(row.Survey.kind, row.Survey.score, sentiment, is_complaint)


async def tell_supervisors(line: Line) -> None:
    """Mail supervisors about low scores that nobody was told of. Each is claimed first, so that several processes tell
    of it once; when no mail could be handed in it is told of later."""
    if not line.settings.mail.host:
        return
    untold = (col(LowScore.told_at).is_(None), col(LowScore.done_at).is_(None))
    fresh = col(LowScore.made_at) >= line.now() - TOLD_WITHIN
    async with line.database.read() as session:
        agent_name: Any = col(Agent.name).label("agent")
        query = (
            select(LowScore, Survey, agent_name)
            .join(Survey, col(Survey.id) == col(LowScore.survey_id))
            .outerjoin(Agent, col(Agent.id) == col(Survey.agent_id))
            .where(*untold, fresh)
            .order_by(col(LowScore.id))
            .limit(MOST)
        )
        found = (await session.execute(query)).all()
        people = select(Agent).where(col(Agent.role) == Role.SUPERVISOR, col(Agent.is_active))
        supervisors = (await session.execute(people)).scalars().all() if found else []
    for low, survey, agent in found:
        mine = update(LowScore).where(col(LowScore.id) == low.id)
        async with line.database.write() as session:
            claimed = await session.execute(mine.where(*untold).values(told_at=line.now()).returning(col(LowScore.id)))
            is_ours = claimed.scalar_one_or_none() is not None
        if is_ours and not await _tell(line, low, survey, agent or "", supervisors):
            async with line.database.write() as session:
                await session.execute(mine.values(told_at=None))


async def _tell(line: Line, low: LowScore, survey: Survey, agent: str, people: Sequence[Agent]) -> bool:
    """Whether anybody was told; logs why not, without addresses."""
    mail = line.settings.mail
    server = SmtpServer(mail.host, mail.port, mail.security, mail.username, mail.password)
    told = False
    for person in people:
        say = translations(person.locale).gettext
        values = {"score": survey.score, "highest": SCALES[survey.kind][-1], "agent": agent or say(NOBODY)}
        text = [say(TEXT) % values, f"{line.settings.public_url}/inbox/{survey.conversation_id}"]
        if low.wants_call:
            text.append(say(CALL))
        try:
            await send_mail(server, mail.sender, person.email, say(SUBJECT) % values, "\n\n".join(text) + "\n")
            told = True
        except ConnectorError as error:
            log.warning("supervisors could not be told of low score %s: %s", low.id, error.reason)
    return told or not people
