"""Promises: what customers are promised, in which order, and who is told before one is broken."""

from typing import Any

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.calendar import CalendarError
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation, ConversationStatus, Priority
from socialcrm.domain.hook import Hook
from socialcrm.domain.people import Role, Team
from socialcrm.domain.sla import KINDS, CalendarRow, SlaPolicy, policy_of
from socialcrm.engine import calendars, promises
from socialcrm.web.guard import needs
from socialcrm.web.headlines import wait
from socialcrm.web.hours_form import refused
from socialcrm.web.i18n import Formats, language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.sla_form import (
    BLANK_RUNGS,
    MEANINGS,
    MEASURES,
    PAUSES,
    TELLS,
    PolicyForm,
    form_of,
    in_words,
    read_form,
)
from socialcrm.web.words import N_, word

routes = web.RouteTableDef()

MAY = (Role.SUPERVISOR, Role.ADMIN)
COUNTED = 2000
"""Open conversations that are counted beside each policy."""


@routes.get("/automation/sla", name="sla")
@needs(*MAY)
async def sla(request: web.Request) -> web.Response:
    """All policies in the order in which they are tried."""
    line = request.app[LINE]
    async with line.database.write() as session:
        await calendars.seed(session, line)
    async with line.database.read() as session:
        rows = await promises.policies(session)
        names = await _names(session)
        used = await calendars.book(session, line)
        open_ones = select(Conversation).where(col(Conversation.status) != ConversationStatus.RESOLVED)
        found = (await session.execute(open_ones.order_by(col(Conversation.id).desc()).limit(COUNTED))).scalars().all()
        waiting = await promises.missing(session)
        gone = await _gone(session, request)
    fits: dict[int, int] = {}
    for conversation in found:
        if policy := policy_of(used.policies, conversation):
            fits[policy.id] = fits.get(policy.id, 0) + 1
    formats = Formats(language(request), line.settings.engagement.time_zone)
    return await page(
        request,
        "sla/policies.html",
        nav="automation",
        rows=rows,
        fits=fits,
        open_count=len(found),
        waiting=waiting,
        gone=gone,
        names=names,
        conditions=lambda data: in_words(data, names, lambda text, **values: _said(request, text, **values)),
        length=lambda minutes: wait(float(minutes) * 60, formats),
        measures=MEASURES,
        meanings=MEANINGS,
        pauses=PAUSES,
        tells=TELLS,
    )


@routes.get("/automation/sla/new", name="sla_new")
@needs(*MAY)
async def new(request: web.Request) -> web.Response:
    """An empty policy."""
    data = {"targets": {"first_response": 60}, "without": ["spam"], "ladder": [{"percent": 80, "tell": "agent"}]}
    return await _editor(request, None, form_of("", data))


@routes.get(r"/automation/sla/{id:\d{1,18}}", name="sla_policy")
@needs(*MAY)
async def policy(request: web.Request) -> web.Response:
    """One policy, to be changed."""
    async with request.app[LINE].database.read() as session:
        row = await _row(session, request)
    return await _editor(request, row, form_of(row.name, row.data))


@routes.post("/automation/sla/new")
@routes.post(r"/automation/sla/{id:\d{1,18}}")
@needs(*MAY)
async def save(request: web.Request) -> web.StreamResponse:
    """Keep a policy; what cannot be is refused with the reason, and stays on the page."""
    line = request.app[LINE]
    form, data = read_form(await request.post())
    is_new = "id" not in request.match_info
    async with line.database.write() as session:
        known = list(await promises.policies(session))
        # Before the last one, which is mostly for everything else.
        place = max(len(known) - 1, 0)
        row = SlaPolicy(name="", place=place, changed_at=line.now()) if is_new else await _row(session, request)
        try:
            await calendars.save(session, line, row, form.name, data, request[AGENT])
        except CalendarError as error:
            return await _editor(request, None if is_new else row, form, 422, refused(request, error))
        if is_new:
            _order([*known[:place], row, *known[place:]])
        await promises.mark(session)
        count = await promises.missing(session)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/sla?saved={count}#policy-{row.id}")


@routes.post(r"/automation/sla/{id:\d{1,18}}/{deed:up|down|on|off|remove|restore}", name="sla_deed")
@needs(*MAY)
async def deed(request: web.Request) -> web.StreamResponse:
    """Move a policy, switch it, take it away or bring it back."""
    line, wanted = request.app[LINE], request.match_info["deed"]
    async with line.database.write() as session:
        row = await _row(session, request, with_removed=wanted == "restore")
        known = list(await promises.policies(session))
        if wanted in ("on", "off"):
            row.is_on = wanted == "on"
        elif wanted == "remove":
            row.removed_at = line.now()
        elif wanted == "restore":
            row.removed_at = None
        else:
            at = next(place for place, other in enumerate(known) if other.id == row.id)
            to = min(max(at + (1 if wanted == "down" else -1), 0), len(known) - 1)
            known.insert(to, known.pop(at))
            _order(known)
        await session.flush()
        await promises.mark(session)
    line.work.set()
    query = f"?removed={row.id}" if wanted == "remove" else ""
    raise web.HTTPSeeOther(f"/automation/sla{query}#policy-{row.id}")


@routes.post(r"/automation/sla/{id:\d{1,18}}/versions/{version:\d{1,9}}", name="sla_version")
@needs(*MAY)
async def bring_back(request: web.Request) -> web.StreamResponse:
    """Put an earlier version in force again, as a new one."""
    line = request.app[LINE]
    async with line.database.write() as session:
        row = await _row(session, request)
        wanted = int(request.match_info["version"])
        found = [e for e, _ in await calendars.editions(session, "policy", row.id or 0) if e.version == wanted]
        if not found:
            raise web.HTTPNotFound
        await calendars.save(session, line, row, found[0].name, found[0].data, request[AGENT])
        await promises.mark(session)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/sla/{row.id}")


async def _editor(
    request: web.Request, row: SlaPolicy | None, form: PolicyForm, status: int = 200, error: str = ""
) -> web.Response:
    line = request.app[LINE]
    async with line.database.read() as session:
        names = await _names(session)
        versions = await calendars.editions(session, "policy", row.id or 0) if row else ()
        webhooks = (await session.execute(select(col(Hook.name)).order_by(col(Hook.name)))).scalars().all()
    return await page(
        request,
        "sla/policy.html",
        status,
        nav="automation",
        row=row,
        form=form,
        error=error,
        names=names,
        versions=versions,
        webhooks=webhooks,
        has_mail=bool(line.settings.mail.host),
        priorities=list(Priority),
        kinds=KINDS,
        measures=MEASURES,
        meanings=MEANINGS,
        pauses=PAUSES,
        tells=TELLS,
        blank_rungs=BLANK_RUNGS,
    )


async def _row(session: AsyncSession, request: web.Request, *, with_removed: bool = False) -> SlaPolicy:
    row = await session.get(SlaPolicy, int(request.match_info["id"]), with_for_update={"key_share": True})
    if row is None or (row.removed_at is not None and not with_removed):
        raise web.HTTPNotFound(text=say(request, N_("There is no such promise any more.")))
    return row


async def _gone(session: AsyncSession, request: web.Request) -> SlaPolicy | None:
    """The policy that was just taken away, to be brought back."""
    number = request.query.get("removed", "")
    row = await session.get(SlaPolicy, int(number)) if number.isdigit() and len(number) < 19 else None
    return row if row and row.removed_at else None


async def _names(session: AsyncSession) -> dict[str, dict[int, str]]:
    """What teams, channels and calendars are called, by number."""
    found: dict[str, dict[int, str]] = {}
    tables: tuple[tuple[str, Any], ...] = (("teams", Team), ("channels", Channel), ("calendars", CalendarRow))
    for key, table in tables:
        query = select(col(table.id), col(table.name)).order_by(col(table.name))
        if table is CalendarRow:
            query = query.where(col(CalendarRow.removed_at).is_(None))
        found[key] = {number: name for number, name in (await session.execute(query)).all()}
    return found


def _order(rows: list[SlaPolicy]) -> None:
    for place, row in enumerate(rows):
        row.place = place


def _said(request: web.Request, text: str, kind: str = "", **values: object) -> str:
    """A sentence, or a word of a kind, in the language of the screen."""
    if kind:
        return str(translations(language(request)).gettext(word(kind, text)))
    return say(request, text, **values)
