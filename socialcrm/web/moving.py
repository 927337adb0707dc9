"""Moving several conversations at once from the queue, and undoing it."""

from typing import Any

from aiohttp import web
from sqlmodel import col, select

from socialcrm.domain.people import Agent, Role, Team
from socialcrm.domain.routing import BulkMove
from socialcrm.engine.move import MOST, Deed, move, undo
from socialcrm.web.conversation import ACTING
from socialcrm.web.guard import local_path, needs
from socialcrm.web.i18n import say
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page

routes = web.RouteTableDef()
MOVING = (Role.SUPERVISOR, Role.ADMIN)


@routes.get("/inbox/move/targets", name="move_targets")
@needs(*MOVING)
async def targets(request: web.Request) -> web.Response:
    """Whom the chosen conversations can be given to."""
    async with request.app[LINE].database.read() as session:
        agents = (await session.execute(select(Agent).where(col(Agent.is_active)).order_by(col(Agent.name)))).scalars()
        teams = (await session.execute(select(Team).order_by(col(Team.name)))).scalars()
        acting = [agent for agent in agents if agent.role in ACTING]
        return await page(request, "inbox/targets.html", agents=acting, teams=list(teams))


@routes.post("/inbox/move", name="move")
@needs(*MOVING)
async def do(request: web.Request) -> web.StreamResponse:
    """Give them to an agent, a team or the queue, or resolve them."""
    form = await request.post()
    ids = [int(text) for value in form.getall("conversation", []) if _is_number(text := str(value))]
    if not ids:
        raise web.HTTPUnprocessableEntity(text=say(request, "Choose conversations first."))
    if len(ids) > MOST:
        raise web.HTTPUnprocessableEntity(
            text=say(request, "These are too many at once: %(most)s can be moved together.", most=MOST)
        )
    return await moved(request, ids, str(form.get("to", "")))


async def moved(request: web.Request, ids: list[int], to: str) -> web.StreamResponse:
    """Move them and say so, with a button that undoes it."""
    line = request.app[LINE]
    kind, _, number = to.partition(":")
    if kind not in tuple(Deed) or (kind in (Deed.AGENT, Deed.TEAM) and not _is_number(number)):
        raise web.HTTPUnprocessableEntity(text=say(request, "Choose whom to give them to."))
    async with line.database.write() as session:
        target: Agent | Team | None = None
        if kind == Deed.AGENT:
            target = await session.get(Agent, int(number))
            if target is None or not target.is_active or target.role not in ACTING:
                raise web.HTTPUnprocessableEntity(text=say(request, "There is no such agent any more."))
        elif kind == Deed.TEAM:
            target = await session.get(Team, int(number))
            if target is None:
                raise web.HTTPUnprocessableEntity(text=say(request, "There is no such team any more."))
        done = await move(session, line, ids, Deed(kind), target.id if target else None, request[AGENT])
    return await _said(request, done, target.name if target else "")


@routes.post(r"/inbox/move/{id:\d{1,18}}/undo", name="move_undo")
@needs(*MOVING)
async def take_back(request: web.Request) -> web.StreamResponse:
    """Put back what was moved, as far as nobody has worked on it since."""
    line = request.app[LINE]
    async with line.database.write() as session:
        result = await undo(session, line, int(request.match_info["id"]), request[AGENT])
    if result is None:
        raise web.HTTPConflict(text=say(request, "This cannot be undone any more."))
    _ring(request)
    return await _answer(request, back=result[0], left=result[1])


async def _said(request: web.Request, done: BulkMove, name: str) -> web.StreamResponse:
    _ring(request)
    return await _answer(request, move=done, count=len(done.before), name=name)


async def _answer(request: web.Request, **context: object) -> web.StreamResponse:
    if "HX-Request" not in request.headers:
        raise web.HTTPSeeOther(local_path(str((await request.post()).get("back", "")) or "/inbox"))
    told: dict[str, Any] = {"move": None, "count": 0, "name": "", "back": 0, "left": 0, **context}
    return await page(request, "inbox/moved.html", **told)


def _ring(request: web.Request) -> None:
    request.app[LINE].live.ring()
    request.app[LINE].work.set()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
