"""Webhooks out: where other systems are called, with which secret, and what came of each call."""

from datetime import timedelta

from aiohttp import web
from sqlalchemy import func, select
from sqlmodel import col

from socialcrm.domain.hook import CallStatus, Hook, HookCall
from socialcrm.domain.people import Role
from socialcrm.engine import hooks as engine
from socialcrm.secrets import KeyLost, new_token
from socialcrm.web.guard import needs
from socialcrm.web.i18n import say
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.rule_words import TASK_WORDS
from socialcrm.web.words import N_

routes = web.RouteTableDef()
ID = r"{id:\d{1,18}}"
SHOWN = 50
ERRORS = (
    N_("Give the webhook a name, by which rules call it."),
    N_("There is a webhook of this name already."),
    N_("This is no address: it should look like https://example.com/hook."),
    N_("An address with a user name or password in it would be shown in the log: leave them out."),
)
"""What `engine.hooks.HookError` says, for the catalogues."""


@routes.get("/automation/hooks", name="hooks")
@needs(Role.SUPERVISOR, Role.ADMIN)
async def hooks(request: web.Request) -> web.Response:
    """All webhooks and the newest calls."""
    return await _page(request)


@routes.post("/automation/hooks", name="hook_add")
@needs(Role.ADMIN)
async def add(request: web.Request) -> web.StreamResponse:
    """Keep an address under a name."""
    line = request.app[LINE]
    form = await request.post()
    name, url = str(form.get("name", "")), str(form.get("url", ""))
    try:
        async with line.database.write() as session:
            await engine.add(session, line, name, url)
    except engine.HookError as error:
        return await _page(request, say(request, str(error)), name, url, status=422)
    raise web.HTTPSeeOther("/automation/hooks?done=added")


@routes.post(f"/automation/hooks/{ID}/switch", name="hook_switch")
@needs(Role.ADMIN)
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch a webhook on or off; while it is off, rules do not call it."""
    async with request.app[LINE].database.write() as session:
        hook = await session.get(Hook, int(request.match_info["id"]))
        if hook is None:
            raise web.HTTPNotFound
        hook.is_on = (await request.post()).get("on") == "yes"
    raise web.HTTPSeeOther("/automation/hooks")


@routes.post(f"/automation/hooks/{ID}/test", name="hook_test")
@needs(Role.ADMIN)
async def test(request: web.Request) -> web.StreamResponse:
    """Call it once now, to see what comes back."""
    line = request.app[LINE]
    async with line.database.write() as session:
        hook = await session.get(Hook, int(request.match_info["id"]))
        if hook is None:
            raise web.HTTPNotFound
        payload: dict[str, object] = {"event": "test", "at": line.now().isoformat()}
        reason = await engine.put(session, line, hook.name, payload, f"test:{new_token()}", None)
    if reason:
        raise web.HTTPConflict(text=say(request, "The webhook is switched off."))
    await engine.call_due(line)
    raise web.HTTPSeeOther("/automation/hooks#calls")


@routes.post("/automation/hooks/calls/{id:\\d{1,18}}/again", name="hook_again")
@needs(Role.ADMIN)
async def again(request: web.Request) -> web.StreamResponse:
    """Try a call that failed again."""
    line = request.app[LINE]
    async with line.database.write() as session:
        call = await session.get(HookCall, int(request.match_info["id"]), with_for_update=True)
        if call is None:
            raise web.HTTPNotFound
        if call.status == CallStatus.FAILED:
            call.status, call.due_at, call.attempt_count = CallStatus.WAITING, line.now(), 0
    raise web.HTTPSeeOther("/automation/hooks#calls")


async def _page(
    request: web.Request, error: str = "", name: str = "", url: str = "", status: int = 200
) -> web.Response:
    line = request.app[LINE]
    is_admin = request[AGENT].role == Role.ADMIN
    async with line.database.read() as session:
        found = (await session.execute(select(Hook).order_by(col(Hook.name)))).scalars().all()
        newest = select(HookCall).order_by(col(HookCall.id).desc()).limit(SHOWN)
        calls = (await session.execute(newest)).scalars().all()
        since = line.now() - timedelta(days=7)
        counted = (
            select(col(HookCall.hook_id), col(HookCall.status), func.count())
            .where(col(HookCall.made_at) >= since)
            .group_by(col(HookCall.hook_id), col(HookCall.status))
        )
        counts = {(hook, state): count for hook, state, count in (await session.execute(counted)).all()}
    secrets: dict[int | None, str] = {}
    for hook in found if is_admin else ():
        try:
            secrets[hook.id] = engine.secret_of(line, hook)
        except KeyLost:
            secrets[hook.id] = ""
    return await page(
        request,
        "rules/hooks.html",
        status=status,
        nav="automation",
        hooks=found,
        names={hook.id: hook.name for hook in found},
        secrets=secrets,
        calls=calls,
        counts=counts,
        is_admin=is_admin,
        error=error,
        name=name,
        address=url,
        done=request.query.get("done", ""),
        task_words=TASK_WORDS,
    )
