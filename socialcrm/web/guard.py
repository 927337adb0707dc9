"""Who may pass: sessions, roles and the token that proves that a form is ours."""

import hmac
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from sqlmodel import col, select, update

from socialcrm.domain.people import Agent, Presence, WebSession
from socialcrm.engine.leave import GONE
from socialcrm.secrets import token_hash
from socialcrm.web.i18n import say
from socialcrm.web.keys import AGENT, LINE, SESSION

COOKIE = "socialcrm_session"
PUBLIC = ("/sign-in", "/static/", "/hooks/", "/widget/", "/files/", "/s/", "/demo/", "/health")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SEEN_EVERY = timedelta(minutes=5)


def is_public(path: str) -> bool:
    """Whether a path needs no sign-in."""
    return any(path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/") for prefix in PUBLIC)


def needs(*roles: str) -> Callable[[Handler], Handler]:
    """Lets only agents with one of these roles into a page; the others get a 403 that says who may."""

    def decorate(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if request[AGENT].role not in roles:
                raise web.HTTPForbidden(text=say(request, "Your role does not allow this."))
            return await handler(request)

        guarded.__name__, guarded.__doc__ = handler.__name__, handler.__doc__
        return guarded

    return decorate


def local_path(target: str | None) -> str:
    """`target` when it is a path on this site, else the inbox: a link cannot send people elsewhere."""
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return "/inbox"
    if any(ord(sign) <= 32 or ord(sign) == 127 for sign in target):
        return "/inbox"
    parts = urlsplit(target)
    return "/inbox" if parts.scheme or parts.netloc else target


async def find_session(request: web.Request) -> tuple[WebSession, Agent] | None:
    """The session of the request's cookie and its agent, while both are valid."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    now = request.app[LINE].now()
    query = (
        select(WebSession, Agent)
        .join(Agent, col(Agent.id) == col(WebSession.agent_id))
        .where(col(WebSession.token_hash) == token_hash(token), col(WebSession.expires_at) > now, col(Agent.is_active))
    )
    async with request.app[LINE].database.read() as session:
        row = (await session.execute(query)).first()
    return (row[0], row[1]) if row else None


async def is_ours(request: web.Request, expected: str) -> bool:
    """Whether a request carries the token that our pages were given."""
    token = request.headers.get("X-CSRF-Token")
    if token is None:
        form = await request.post()
        value = form.get("csrf_token")
        token = value if isinstance(value, str) else ""
    return bool(expected) and hmac.compare_digest(token.encode(), expected.encode())


@web.middleware
async def sign_in_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets nobody into a page that is not public without a session, and no form in without its token."""
    found = await find_session(request)
    if found:
        request[SESSION], request[AGENT] = found
        await mark_seen(request, found[0])
    if is_public(request.path):
        return await handler(request)
    if not found:
        return _ask_to_sign_in(request)
    if request.method not in SAFE_METHODS and not await is_ours(request, found[0].csrf_token):
        raise web.HTTPForbidden(text=say(request, "This form is too old. Reload the page and try again."))
    return await handler(request)


def _ask_to_sign_in(request: web.Request) -> web.StreamResponse:
    is_htmx = "HX-Request" in request.headers
    back = request.headers.get("HX-Current-URL", "") if is_htmx else request.path_qs
    parts = urlsplit(back)
    path = local_path(parts.path + (f"?{parts.query}" if parts.query else ""))
    where = f"/sign-in?next={quote(path, safe='/')}"
    if is_htmx:
        return web.Response(status=401, headers={"HX-Redirect": where})
    if request.method in SAFE_METHODS and "text/html" in request.headers.get("Accept", "text/html"):
        raise web.HTTPSeeOther(where)
    raise web.HTTPUnauthorized(text=say(request, "Sign in first."))


async def mark_seen(request: web.Request, row: WebSession) -> None:
    """Note that a browser is there, every few minutes; who was set offline for want of it is online again."""
    now = request.app[LINE].now()
    if now - row.seen_at < SEEN_EVERY:
        return
    back = {"presence": Presence.ONLINE.value, "presence_note": "", "presence_at": now}
    async with request.app[LINE].database.write() as session:
        await session.execute(update(WebSession).where(col(WebSession.id) == row.id).values(seen_at=now))
        gone = update(Agent).where(col(Agent.id) == row.agent_id, col(Agent.presence_note) == GONE)
        await session.execute(gone.values(**back))
