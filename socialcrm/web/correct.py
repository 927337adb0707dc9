"""What an agent says of a message: its analysis is right, or what it should have been."""

from typing import Any

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.message import Analysis, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.teaching import LABELS, Correction, Source, label_of, newest, questions
from socialcrm.engine import correct
from socialcrm.web.conversation import ACTING, done
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import is_partial, page
from socialcrm.web.queue import View
from socialcrm.web.reasons import reason

routes = web.RouteTableDef()
MESSAGE = r"/inbox/{id:\d{1,18}}/messages/{message:\d{1,18}}"


@routes.get(f"{MESSAGE}/analysis", name="analysis")
@needs(*ACTING)
async def show(request: web.Request) -> web.Response:
    """The choices, with what is shown now preselected: a part for the inbox's script, else a page."""
    async with request.app[LINE].database.read() as session:
        message = await _find(session, request)
        analysis = await session.get(Analysis, message.id)
        if analysis is None:
            raise web.HTTPNotFound(text=say(request, "This message has not been read yet: try again in a moment."))
        rows = (await session.execute(select(Correction).where(col(Correction.message_id) == message.id))).scalars()
        said = newest(rows)
        names = select(col(Agent.id), col(Agent.name)).where(col(Agent.id).in_({row.agent_id for row in said.values()}))
        by = {number: name for number, name in (await session.execute(names)).all()}
    return await page(
        request,
        "inbox/teach.html" if is_partial(request) else "inbox/teach_page.html",
        nav="inbox",
        message=message,
        shown={field: label_of(analysis, field) for field in LABELS},
        labels=LABELS,
        said=said,
        names=by,
        query=_query(request),
    )


@routes.post(MESSAGE + "/analysis/{deed:save|confirm|undo}", name="analysis_teach")
@needs(*ACTING)
async def teach(request: web.Request) -> web.StreamResponse:
    """Keep what was chosen, that everything is right, or take the agents' words back."""
    line, form = request.app[LINE], await request.post()
    try:
        async with line.database.write() as session:
            message = await _find(session, request)
            match request.match_info["deed"]:
                case "save":
                    await _save(session, request, message, {name: str(form[name]) for name in LABELS if name in form})
                case "confirm":
                    await correct.confirm(session, line, message, request[AGENT])
                case _:
                    await correct.undo(session, line, message, Source.INBOX)
    except correct.CannotCorrect as error:
        sentence = reason(str(error), translations(language(request)).gettext)
        raise web.HTTPUnprocessableEntity(text=sentence) from None
    return await done(request)


async def _save(session: AsyncSession, request: web.Request, message: Message, chosen: dict[str, str]) -> None:
    """Only what was changed counts as said: nobody vouches for a choice that was already made."""
    analysis = await session.get(Analysis, message.id)
    shown = {name: label_of(analysis, name) for name in LABELS} if analysis else {}
    asked = questions({**shown, **chosen})
    changed = {name: label for name, label in chosen.items() if name in asked and label != shown.get(name)}
    await correct.correct(session, request.app[LINE], message, changed, request[AGENT], Source.INBOX)


async def _find(session: AsyncSession, request: web.Request) -> Message:
    message = await session.get(Message, int(request.match_info["message"]))
    if message is None or message.conversation_id != int(request.match_info["id"]):
        raise web.HTTPNotFound(text=say(request, "There is no such message."))
    return message


def _query(request: web.Request) -> dict[str, Any]:
    """What an address of the conversation carries on: the view of the queue, and from where the thread is shown."""
    return {**View.of(request).query(), "from": request.query.get("from", "")}
