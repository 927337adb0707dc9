"""Sign-in and sign-out: e-mail and password, a session per browser, lock-out after wrong tries."""

import secrets
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web
from sqlmodel import col, delete, select, update

from socialcrm.domain.people import Agent, Presence, WebSession
from socialcrm.domain.words import clean
from socialcrm.engine.line import Line
from socialcrm.secrets import new_token, token_hash
from socialcrm.web.guard import COOKIE, is_ours, local_path
from socialcrm.web.i18n import say
from socialcrm.web.keys import AGENT, LINE, SESSION
from socialcrm.web.page import page
from socialcrm.web.passwords import is_password

WRONG_TRIES = 5
LOCKED_FOR = timedelta(minutes=15)
FORM_COOKIE = "socialcrm_form"
"""The sign-in form's own token: there is no session yet that could hold it."""

routes = web.RouteTableDef()


class Tries:
    """How often each address tried lately; kept in this process only."""

    def __init__(self, allowed: int = 30, within: timedelta = timedelta(minutes=5)) -> None:
        self._allowed = allowed
        self._within = within
        self._times: dict[str, deque[datetime]] = {}

    def is_allowed(self, address: str, now: datetime) -> bool:
        """Count a try; False when there were too many."""
        for known in [a for a, times in self._times.items() if times[-1] < now - self._within]:
            del self._times[known]
        times = self._times.setdefault(address, deque(maxlen=self._allowed))
        if len(times) == self._allowed and times[0] >= now - self._within:
            return False
        times.append(now)
        return True


TRIES = web.AppKey("tries", Tries)


@dataclass(frozen=True)
class DemoAccount:
    """An account that the demo shows."""

    name: str
    email: str
    role: str


@routes.get("/sign-in", name="sign_in")
async def show(request: web.Request) -> web.StreamResponse:
    """The form; who is signed in already goes on."""
    if AGENT in request:
        raise web.HTTPSeeOther(local_path(request.query.get("next")))
    return await _form(request, target=local_path(request.query.get("next")))


@routes.post("/sign-in")
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check the password and start a session."""
    line, form = request.app[LINE], await request.post()
    email, password = clean(str(form.get("email", ""))).strip().lower(), str(form.get("password", ""))
    target = local_path(str(form.get("next", "")))
    if not await is_ours(request, request.cookies.get(FORM_COOKIE, "")):
        sentence = say(request, "This form is too old. Try again.")
        return await _form(request, 403, target=target, email=email, error=sentence)
    if not request.app[TRIES].is_allowed(_address(request), line.now()):
        sentence = say(request, "Too many tries. Wait a few minutes and try again.")
        return await _form(request, 429, target=target, email=email, error=sentence)
    agent = await _check(line, email, password)
    if agent is None:
        sentence = say(
            request, "E-mail or password is wrong. After five wrong tries an account stays locked for 15 minutes."
        )
        return await _form(request, 401, target=target, email=email, error=sentence)
    token = await _start(request, agent)
    response = web.HTTPSeeOther(target)
    hours = line.settings.web.session_hours
    response.set_cookie(
        COOKIE, token, max_age=int(hours * 3600), httponly=True, samesite="Lax", secure=_is_secure(line), path="/"
    )
    response.del_cookie(FORM_COOKIE, path="/sign-in")
    raise response


@routes.post("/sign-out", name="sign_out")
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End this session; the agent is offline when it was the last one."""
    line, agent = request.app[LINE], request[AGENT]
    async with line.database.write() as session:
        await session.execute(delete(WebSession).where(col(WebSession.id) == request[SESSION].id))
        others = select(WebSession.id).where(
            col(WebSession.agent_id) == agent.id, col(WebSession.expires_at) > line.now()
        )
        if (await session.scalar(others.limit(1))) is None:
            await session.execute(
                update(Agent)
                .where(col(Agent.id) == agent.id)
                .values(presence=Presence.OFFLINE.value, presence_note="", presence_at=line.now())
            )
    response = web.HTTPSeeOther("/sign-in")
    response.del_cookie(COOKIE, path="/")
    raise response


async def _check(line: Line, email: str, password: str) -> Agent | None:
    """The agent with this e-mail and password. The try is counted before the password is checked, so that many at
    once get no more than one after another."""
    async with line.database.write() as session:
        query = select(Agent).where(col(Agent.email) == email).with_for_update()
        agent = (await session.execute(query)).scalar_one_or_none()
        is_open = agent is not None and agent.is_active and not _is_locked(agent, line.now())
        if agent is not None and is_open:
            if agent.failed_count >= WRONG_TRIES:
                agent.failed_count = 0
            agent.failed_count += 1
            agent.locked_until_at = line.now() + LOCKED_FOR if agent.failed_count >= WRONG_TRIES else None
    is_right = await is_password(agent.password_hash if agent and is_open else "", password)
    return agent if is_right else None


def _is_locked(agent: Agent, now: datetime) -> bool:
    return agent.locked_until_at is not None and agent.locked_until_at > now


async def _start(request: web.Request, agent: Agent) -> str:
    """A new session, in place of the one this browser had."""
    line, token = request.app[LINE], new_token()
    now = line.now()
    async with line.database.write() as session:
        if old := request.cookies.get(COOKIE):
            await session.execute(delete(WebSession).where(col(WebSession.token_hash) == token_hash(old)))
        await session.execute(delete(WebSession).where(col(WebSession.expires_at) <= now))
        await session.execute(
            update(Agent)
            .where(col(Agent.id) == agent.id)
            .values(
                presence=Presence.ONLINE.value,
                presence_note="",
                presence_at=now,
                failed_count=0,
                locked_until_at=None,
            )
        )
        session.add(
            WebSession(
                token_hash=token_hash(token),
                csrf_token=new_token(),
                agent_id=agent.id or 0,
                created_at=now,
                seen_at=now,
                expires_at=now + timedelta(hours=line.settings.web.session_hours),
                browser=clean(request.headers.get("User-Agent", ""))[:200],
            )
        )
    line.work.set()
    return token


async def _form(
    request: web.Request, status: int = 200, *, target: str, email: str = "", error: str = ""
) -> web.Response:
    line = request.app[LINE]
    token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    accounts, password = await _demo_accounts(line) if line.settings.demo.is_on else ([], "")
    response = await page(
        request,
        "sign_in.html",
        status=status,
        target=target,
        email=email,
        error=error,
        form_token=token,
        accounts=accounts,
        demo_password=password,
    )
    response.set_cookie(
        FORM_COOKIE, token, max_age=3600, httponly=True, samesite="Lax", secure=_is_secure(line), path="/sign-in"
    )
    return response


async def _demo_accounts(line: Line) -> tuple[list[DemoAccount], str]:
    query = select(Agent).where(col(Agent.is_active)).order_by(col(Agent.id)).limit(8)
    async with line.database.read() as session:
        agents = (await session.execute(query)).scalars().all()
    return [DemoAccount(a.name, a.email, a.role) for a in agents], line.settings.demo.password


def _is_secure(line: Line) -> bool:
    return line.settings.public_url.startswith("https://")


def _address(request: web.Request) -> str:
    if request.app[LINE].settings.web.is_behind_proxy:
        return request.headers.get("X-Forwarded-For", "").split(",")[-1].strip() or request.remote or ""
    return request.remote or ""
