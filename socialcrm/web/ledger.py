"""The ledger and the outbox: that nothing was lost, and what needs a person."""

import json
from collections.abc import Mapping

from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.ledger import Fate
from socialcrm.domain.outbox import OutboxStatus
from socialcrm.domain.people import Role
from socialcrm.engine import ledger as engine
from socialcrm.reports import accounts
from socialcrm.reports.period import midnight
from socialcrm.web.guard import needs
from socialcrm.web.i18n import Formats, language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_

routes = web.RouteTableDef()

MAY_LOOK = (Role.SUPERVISOR, Role.ADMIN)
EVENTS: Mapping[str, str] = {
    Fate.DEAD: N_("Dead letters"),
    Fate.IGNORED: N_("Ignored"),
    Fate.WAITING: N_("Waiting to be read"),
}
OUTBOX: Mapping[str, str] = {
    OutboxStatus.FAILED: N_("Not delivered"),
    OutboxStatus.UNKNOWN: N_("Perhaps not delivered"),
    OutboxStatus.WAITING: N_("Waiting to be sent"),
}
PAYLOAD_LENGTH = 20_000
MANY = 2**62


@routes.get("/ledger", name="ledger")
@needs(*MAY_LOOK)
async def ledger(request: web.Request) -> web.Response:
    """The account, and one list of events or texts."""
    line, query = request.app[LINE], request.query
    fate = query.get("fate", "" if query.get("outbox") else Fate.DEAD.value)
    status = "" if fate else query.get("outbox", "")
    if (fate and fate not in EVENTS) or (status and status not in OUTBOX):
        raise web.HTTPNotFound
    before, channel_id = _number(request, "before"), _number(request, "channel")
    zone = Formats(language(request), line.settings.engagement.time_zone).zone
    async with line.database.read() as session:
        counts = await engine.counts(session)
        rows = await accounts.accounts(session, midnight(line.now().astimezone(zone).date(), zone))
        waiting = await accounts.outbox_counts(session)
        found = await (
            accounts.events(session, fate, before, channel_id)
            if fate
            else accounts.outbox(session, status, before, channel_id)
        )
        name = await session.scalar(select(col(Channel.name)).where(col(Channel.id) == channel_id))
    return await page(
        request,
        "ledger/ledger.html",
        nav="ledger",
        counts=counts,
        accounts=rows,
        waiting=waiting,
        found=found,
        fate=fate,
        outbox_status=status,
        channel_id=channel_id,
        channel_name=name,
        events=EVENTS,
        outbox=OUTBOX,
        readable=readable,
        is_admin=request[AGENT].role == Role.ADMIN,
        said=translations(language(request)).gettext,
        replayed=_number(request, "replayed"),
    )


@routes.post("/ledger/replay", name="ledger_replay")
@needs(Role.ADMIN)
async def replay(request: web.Request) -> web.StreamResponse:
    """Read dead letters again: the named ones, or all of them."""
    line = request.app[LINE]
    form = await request.post()
    named = form.getall("event", [])
    if not named and form.get("all") != "yes":
        raise web.HTTPBadRequest(text=say(request, "Choose which dead letters to read again."))
    numbers = [int(text) for text in named if isinstance(text, str) and text.isascii() and text.isdigit()]
    if any(number > MANY for number in numbers):
        raise web.HTTPBadRequest
    async with line.database.write() as session:
        count = await engine.replay_dead(session, numbers if named else None)
    line.work.set()
    raise web.HTTPSeeOther(f"/ledger?fate=dead&replayed={count}")


def readable(payload: str) -> str:
    """A raw payload as a person reads it, cut where it is very long."""
    try:
        text = json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        text = payload
    # Lone surrogates are legal in JSON and cannot be written to a page.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= PAYLOAD_LENGTH else f"{text[:PAYLOAD_LENGTH]}\n…"


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise web.HTTPBadRequest(text=say(request, "This address is damaged: go back to the ledger."))
    return int(text)
