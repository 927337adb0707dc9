"""Channels: how each connected account is, and connecting, pausing and disconnecting it."""

from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from connectors.base import Connector
from connectors.registry import CONNECTORS, connector_class
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.people import Role
from socialcrm.engine import watch
from socialcrm.engine.line import Line
from socialcrm.reports.accounts import Account, accounts
from socialcrm.reports.period import midnight
from socialcrm.secrets import KeyLost
from socialcrm.web import connecting
from socialcrm.web.connecting import Form, NotConnected
from socialcrm.web.guard import needs
from socialcrm.web.health import ENDS_SOON, Health, cap_of, opened, quota_of
from socialcrm.web.i18n import Formats, language, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page

routes = web.RouteTableDef()
MAY_LOOK = (Role.SUPERVISOR, Role.ADMIN)


@routes.get("/channels", name="channels")
@needs(*MAY_LOOK)
async def channels(request: web.Request) -> web.Response:
    """How every channel is."""
    line = request.app[LINE]
    found = await _accounts(line)
    health = _health(request)
    faults = {a.channel.id: health.faults(a, opened(line.channels, a.channel)) for a in found}
    return await _page(request, "channels/list.html", accounts=found, faults=faults)


@routes.get("/channels/new", name="channel_kinds")
@needs(Role.ADMIN)
async def kinds(request: web.Request) -> web.Response:
    """What can be connected."""
    return await _page(request, "channels/kinds.html", kinds=_kinds())


@routes.get("/channels/new/{connector}", name="channel_new")
@needs(Role.ADMIN)
async def form(request: web.Request) -> web.Response:
    """What has to be filled in."""
    name, known = _kind(request.match_info["connector"])
    values = {asked.key: asked.default for asked in known.fields if not asked.is_secret}
    return await _form(request, name, known, Form(values))


@routes.post("/channels/new/{connector}")
@needs(Role.ADMIN)
async def connect(request: web.Request) -> web.StreamResponse:
    """Try it and keep it; what the platform says against it stands beside the form."""
    name, known = _kind(request.match_info["connector"])
    sent = await _sent(request)
    try:
        channel = await connecting.connect(request.app[LINE], name, known, sent)
    except NotConnected as problem:
        return await _form(request, name, known, problem.form, status=400, called=sent.get("name", ""))
    raise web.HTTPSeeOther(f"/channels/{channel.id}?new=yes")


@routes.get(r"/channels/{id:\d{1,18}}", name="channel")
@needs(*MAY_LOOK)
async def channel(request: web.Request) -> web.Response:
    """One channel: its state, what to copy to the other side, and what can be done with it."""
    row, known = await _channel(request)
    return await _one(request, row, known)


@routes.post(r"/channels/{id:\d{1,18}}/reconnect", name="channel_reconnect")
@needs(Role.ADMIN)
async def reconnect(request: web.Request) -> web.StreamResponse:
    """New settings or credentials for the same account."""
    row, known = await _channel(request)
    if known is None or not known.has_account:
        raise web.HTTPNotFound
    try:
        await connecting.reconnect(request.app[LINE], row, known, await _sent(request))
    except NotConnected as problem:
        return await _one(request, row, known, problem.form, status=400)
    raise web.HTTPSeeOther(f"/channels/{row.id}?reconnected=yes")


@routes.post(r"/channels/{id:\d{1,18}}/{what:pause|resume|disconnect}", name="channel_do")
@needs(Role.ADMIN)
async def do(request: web.Request) -> web.StreamResponse:
    """Pause, go on, or disconnect."""
    row, _ = await _channel(request)
    line = request.app[LINE]
    what = request.match_info["what"]
    if what == "disconnect":
        await connecting.disconnect(line, row)
    else:
        await connecting.set_paused(line, row.id or 0, is_paused=what == "pause")
    raise web.HTTPSeeOther(f"/channels/{row.id}")


@routes.post(r"/channels/{id:\d{1,18}}/watch", name="channel_watch")
@needs(Role.ADMIN)
async def watched_words(request: web.Request) -> web.StreamResponse:
    """Other words to look for in public, one a line; a word that stays goes on where its search ended."""
    row, known = await _channel(request)
    if known is None or not known.can("search"):
        raise web.HTTPNotFound
    words = watch.read_words((await _sent(request)).get("words", ""))
    async with request.app[LINE].database.write() as session:
        kept = await session.get_one(Channel, row.id, with_for_update=True)
        kept.settings = {**kept.settings, watch.WATCH: words}
        kept.watch_cursors = {word: state for word, state in kept.watch_cursors.items() if word in words}
    raise web.HTTPSeeOther(f"/channels/{row.id}?watched=yes#watch")


async def _one(
    request: web.Request, row: Channel, known: type[Connector] | None, form: Form | None = None, status: int = 200
) -> web.Response:
    line = request.app[LINE]
    account = next(found for found in await _accounts(line) if found.channel.id == row.id)
    copies: tuple[tuple[str, str], ...] = ()
    kept: list[str] = []
    if known is not None and request[AGENT].role == Role.ADMIN:
        try:
            connector = line.channels.open(account.channel)
            copies = connector.instructions(line.settings.public_url, row.key)
            kept = [key for key, value in connector.config.credentials.items() if value]
        except KeyLost:
            copies = ()
    values = connecting.shown(known.asked(kept), {k: str(v) for k, v in row.settings.items()}) if known else {}
    return await _page(
        request,
        "channels/channel.html",
        status,
        account=account,
        channel=account.channel,
        faults=_health(request).faults(account, opened(line.channels, account.channel)),
        watched=watch.states(account.channel),
        can_watch=bool(known and known.can("search")),
        most_watched=watch.MOST,
        known=known,
        copies=copies,
        kept=kept,
        form=form or Form(values),
        has_form=bool(known and known.has_account),
    )


async def _form(
    request: web.Request, name: str, known: type[Connector], form: Form, status: int = 200, called: str = ""
) -> web.Response:
    return await _page(
        request, "channels/connect.html", status, name=name, known=known, form=form, called=called, kept=[]
    )


async def _page(request: web.Request, template: str, status: int = 200, **context: Any) -> web.Response:
    catalogue = translations(language(request))
    return await page(
        request,
        template,
        status,
        nav="channels",
        said=catalogue.gettext,
        state=state,
        kind_label=_label,
        quota_of=quota_of,
        cap_of=cap_of,
        ends_soon=ENDS_SOON,
        is_admin=request[AGENT].role == Role.ADMIN,
        **context,
    )


def state(channel: Channel) -> str:
    """How a channel is, in one word: active, trouble, paused, signed_out or disconnected."""
    if channel.status == ChannelStatus.SIGNED_OUT:
        return "signed_out" if channel.credentials else "disconnected"
    if channel.status == ChannelStatus.PAUSED:
        return "paused"
    return "trouble" if channel.error or channel.probe_error else "active"


def _health(request: web.Request) -> Health:
    line, lang = request.app[LINE], language(request)
    return Health(translations(lang), Formats(lang, line.settings.engagement.time_zone), line.now())


async def _accounts(line: Line) -> list[Account]:
    zone = ZoneInfo(line.settings.engagement.time_zone)
    async with line.database.read() as session:
        return await accounts(session, midnight(line.now().astimezone(zone).date(), zone))


async def _channel(request: web.Request) -> tuple[Channel, type[Connector] | None]:
    async with request.app[LINE].database.read() as session:
        row = await session.get(Channel, int(request.match_info["id"]))
    if row is None:
        raise web.HTTPNotFound
    try:
        return row, connector_class(row.connector)
    except KeyError:
        return row, None


def _kind(name: str) -> tuple[str, type[Connector]]:
    found = dict(_kinds()).get(name)
    if found is None:
        raise web.HTTPNotFound
    return name, found


def _kinds() -> list[tuple[str, type[Connector]]]:
    found = [(name, connector_class(name)) for name in CONNECTORS]
    return sorted(((name, known) for name, known in found if known.has_account), key=lambda pair: pair[1].label)


def _label(name: str) -> str:
    return connector_class(name).label if name in CONNECTORS else name


async def _sent(request: web.Request) -> dict[str, str]:
    form = await request.post()
    return {key: value for key, value in form.items() if isinstance(value, str)}
