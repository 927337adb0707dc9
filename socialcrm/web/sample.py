"""The blind sample: random messages of a week, judged one question at a time without seeing the analysis."""

from collections.abc import Callable

from aiohttp import web
from babel.dates import format_date

from socialcrm.domain.people import Role
from socialcrm.domain.teaching import LABELS, SampleItem
from socialcrm.engine import sample as engine
from socialcrm.engine.correct import CannotCorrect
from socialcrm.web.guard import needs
from socialcrm.web.i18n import Formats, language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import is_partial, page
from socialcrm.web.reasons import reason
from socialcrm.web.words import N_

routes = web.RouteTableDef()

MAY_JUDGE = (Role.SUPERVISOR, Role.ADMIN)
QUESTIONS = {
    "language": N_("Which language is it written in?"),
    "sentiment": N_("How does the author feel?"),
    "complaint": N_("Did something fall short for the author?"),
    "intent": N_("What does the author want?"),
    "reason": N_("What went wrong?"),
}


@routes.get("/understanding/sample", name="sample")
@needs(*MAY_JUDGE)
async def sample(request: web.Request) -> web.Response:
    """The message and the question whose turn it is."""
    return await _shown(request, "understanding/sample.html")


@routes.post(r"/understanding/sample/{item:\d{1,18}}", name="sample_answer")
@needs(*MAY_JUDGE)
async def answer(request: web.Request) -> web.StreamResponse:
    """Keep an answer, or skip the message."""
    line, form = request.app[LINE], await request.post()
    async with line.database.write() as session:
        item = await session.get(SampleItem, int(request.match_info["item"]), with_for_update=True)
        if item is None:
            raise web.HTTPNotFound(text=say(request, "This message is not in the sample any more: reload the page."))
        if form.get("skip"):
            engine.skip(item, line, request[AGENT])
        else:
            field, label = str(form.get("field", "")), str(form.get("label", ""))
            try:
                await engine.answer(session, line, item, field, label, request[AGENT])
            except CannotCorrect as error:
                sentence = reason(str(error), translations(language(request)).gettext)
                raise web.HTTPUnprocessableEntity(text=sentence) from None
    return await _after(request)


@routes.post("/understanding/sample/undo", name="sample_undo")
@needs(*MAY_JUDGE)
async def undo(request: web.Request) -> web.StreamResponse:
    """Take the last answer or skip back."""
    line, week = request.app[LINE], str((await request.post()).get("week", ""))
    try:
        async with line.database.write() as session:
            await engine.undo_last(session, line, week, request[AGENT])
    except engine.NothingToUndo:
        raise web.HTTPConflict(text=say(request, "There is nothing of yours to take back.")) from None
    return await _after(request)


@routes.post("/understanding/sample/draw", name="sample_draw")
@needs(*MAY_JUDGE)
async def draw(request: web.Request) -> web.StreamResponse:
    """Draw the sample of the last whole week now."""
    await engine.draw_last_week(request.app[LINE])
    raise web.HTTPSeeOther("/understanding/sample")


async def _after(request: web.Request) -> web.StreamResponse:
    request.app[LINE].live.ring()
    if is_partial(request):
        return await _shown(request, "understanding/_sample.html")
    raise web.HTTPSeeOther("/understanding/sample")


async def _shown(request: web.Request, template: str) -> web.Response:
    async with request.app[LINE].database.read() as session:
        drawn = await engine.progress(session)
        turn = await engine.next_turn(session, drawn.week) if drawn else None
    return await page(
        request,
        template,
        nav="understanding",
        drawn=drawn,
        drawn_week=week_of(request, drawn),
        turn=turn,
        labels=LABELS,
        question=_asker(request),
    )


def week_of(request: web.Request, drawn: engine.Progress | None) -> str:
    """The Monday of a sample's week, in the words of the screen."""
    formats = Formats(language(request), request.app[LINE].settings.engagement.time_zone)
    return format_date(drawn.monday, "long", locale=formats.locale) if drawn else ""


def _asker(request: web.Request) -> Callable[[str], str]:
    gettext = translations(language(request)).gettext
    return lambda field: str(gettext(QUESTIONS[field]))
