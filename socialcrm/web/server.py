"""The web application: pages, and what surrounds every one of them."""

import asyncio
import logging
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from socialcrm.engine.line import Line
from socialcrm.web import (
    actions,
    attachments,
    automation,
    barometer,
    bot,
    bot_flows,
    case,
    cases,
    channels,
    composing,
    conversation,
    correct,
    demo_site,
    drafting,
    holding,
    hooks,
    hours,
    inbox,
    incidents,
    ledger,
    live,
    low_scores,
    me,
    moving,
    notices,
    oauth,
    posts,
    report_topics,
    reports,
    routing,
    rules,
    sample,
    sign_in,
    sla,
    suggestions,
    survey_page,
    surveys,
    team,
    tiers,
    understanding,
    webhooks,
    why,
    widget,
)
from socialcrm.web.guard import sign_in_guard
from socialcrm.web.i18n import say
from socialcrm.web.keys import LINE
from socialcrm.web.page import STATIC, page, version

log = logging.getLogger(__name__)

BODY_BYTES = 4 * 2**20
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
YEAR = "public, max-age=31536000, immutable"
PAGES = (
    sign_in,
    me,
    inbox,
    conversation,
    composing,
    actions,
    posts,
    correct,
    suggestions,
    drafting,
    why,
    attachments,
    live,
    barometer,
    report_topics,
    reports,
    moving,
    tiers,
    team,
    cases,
    case,
    incidents,
    automation,
    bot,
    bot_flows,
    rules,
    hooks,
    routing,
    hours,
    sla,
    holding,
    notices,
    channels,
    oauth,
    ledger,
    understanding,
    sample,
    low_scores,
    surveys,
    survey_page,
    webhooks,
    widget,
    demo_site,
)

routes = web.RouteTableDef()


def build_app(line: Line) -> web.Application:
    """The application that answers for one line."""
    app = web.Application(middlewares=[friendly_errors, sign_in_guard], client_max_size=BODY_BYTES)
    app[LINE] = line
    app[sign_in.TRIES] = sign_in.Tries()
    app[live.STOPPING] = asyncio.Event()
    app[report_topics.TURN] = asyncio.Lock()
    app.add_routes(routes)
    for module in PAGES:
        app.add_routes(module.routes)
    suggestions.setup(app)
    bot.setup(app)
    why.setup(app)
    understanding.setup(app)
    rules.setup(app)
    widget.setup(app)
    webhooks.setup(app)
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(live.stop)
    return app


@routes.get("/")
async def home(request: web.Request) -> web.StreamResponse:
    """The inbox is where everybody starts."""
    raise web.HTTPSeeOther("/inbox")


@routes.get("/health")
async def health(request: web.Request) -> web.StreamResponse:
    """Whether the process answers and reaches its database."""
    await request.app[LINE].live.cursor()
    return web.json_response({"status": "ok"})


@routes.get("/static/{path:.+}", name="static")
async def static_file(request: web.Request) -> web.StreamResponse:
    """A built file: kept for a year under its version, asked for again otherwise."""
    path = request.match_info["path"]
    file = (STATIC / path).resolve()
    if not file.is_relative_to(STATIC.resolve()) or not file.is_file():
        raise web.HTTPNotFound()
    is_versioned = request.query.get("v") == version(path, file.stat().st_mtime_ns)
    return web.FileResponse(file, headers={"Cache-Control": YEAR if is_versioned else "no-cache"})


@web.middleware
async def friendly_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns errors into a page, a sentence for a toast, or JSON; never into a traceback."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or isinstance(error, web.HTTPMethodNotAllowed):
            raise
        return await _explain(request, error.status, error.text or "", error.reason)
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url.path)
        return await _explain(request, 500, "", "")


async def _explain(request: web.Request, status: int, text: str, reason: str) -> web.Response:
    is_default = not text or text == f"{status}: {reason}"
    sentence = _sentence(request, status) if is_default else text
    if "HX-Request" in request.headers:
        return web.Response(text=sentence, status=status)
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return web.json_response({"error": sentence}, status=status)
    return await page(request, "error.html", status=status, code=status, sentence=sentence, nav="")


def _sentence(request: web.Request, status: int) -> str:
    match status:
        case HTTPStatus.NOT_FOUND:
            return say(request, "There is nothing at this address.")
        case HTTPStatus.FORBIDDEN:
            return say(request, "You may not do this.")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return say(request, "That is too much to send at once.")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return say(request, "Too many tries. Wait a few minutes and try again.")
    if status >= 500:
        return say(request, "Something went wrong on our side. It has been logged; try again in a moment.")
    return say(request, "This request could not be understood.")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app[LINE].settings.public_url.startswith("https://"):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
