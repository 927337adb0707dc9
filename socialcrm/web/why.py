"""Why a message was understood as it was: the words that weighed most, for the inbox to mark."""

import asyncio
from collections import OrderedDict
from typing import Any, get_args

from aiohttp import web

from nlp.pipeline import Field
from nlp.why import Weight, why
from socialcrm.domain.message import Analysis, Message
from socialcrm.domain.teaching import label_of
from socialcrm.engine.line import Line
from socialcrm.web.i18n import say
from socialcrm.web.keys import LINE

routes = web.RouteTableDef()

MOST = 6
"""Words that are marked."""
LEAST = 0.2
"""Words with less than this part of the strongest one's weight are not."""
KEPT = 2000
"""Answers that are remembered."""


class Reasons:
    """Asks the model, one question at a time, and remembers what it said."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: OrderedDict[tuple[str, str, str], tuple[Weight, ...]] = OrderedDict()
        self._turn = asyncio.Semaphore(1)

    async def of(self, text: str, field: Field) -> tuple[str, tuple[Weight, ...]]:
        """The label that the model gives a text now, and the words that spoke for it, the strongest first."""
        pipeline = self._line.pipeline
        async with self._turn:  # each takes some 160 readings of the text: the line should not have to wait
            (document,) = await asyncio.to_thread(pipeline.only(field).analyze, [text])
            prediction = getattr(document, field)
            if prediction is None:
                return "", ()
            key = (prediction.model, field, text)
            if key not in self._known:
                found = await asyncio.to_thread(why, pipeline, text, field)
                least = LEAST * max((one.weight for one in found), default=0)
                self._known[key] = tuple(one for one in found if one.weight > 0 and one.weight >= least)[:MOST]
            self._known.move_to_end(key)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return prediction.label, self._known[key]


REASONS = web.AppKey("reasons", Reasons)


def setup(app: web.Application) -> None:
    """Make what asks the model."""
    app[REASONS] = Reasons(app[LINE])


@routes.get(r"/messages/{id:\d{1,18}}/why", name="why")
async def show(request: web.Request) -> web.Response:
    """The words of a customer's message that weighed most for its `field`, by their places in the text as a browser
    counts them. None when the model says something else by now, or people corrected it. For the inbox's script."""
    field: Any = request.query.get("field", "")
    if field not in get_args(Field):
        raise web.HTTPBadRequest(text=say(request, "This request could not be understood."))
    number = int(request.match_info["id"])
    async with request.app[LINE].database.read() as session:
        message, analysis = await session.get(Message, number), await session.get(Analysis, number)
    if message is None or analysis is None:
        raise web.HTTPNotFound(text=say(request, "There is nothing at this address."))
    label, words = await request.app[REASONS].of(message.text, field)
    shown = words if label == label_of(analysis, field) else ()
    found = [{**_place(message.text, one), "text": one.text, "weight": round(one.weight, 3)} for one in shown]
    return web.json_response({"label": label, "words": found}, headers={"Cache-Control": "no-store"})


def _place(text: str, one: Weight) -> dict[str, int]:
    """Where a word stands in the text that a page shows: in UTF-16 units, and with line ends of one sign."""
    before = _units(text[: one.start])
    return {"start": before, "end": before + _units(one.text)}


def _units(text: str) -> int:
    return len(text.replace("\r\n", "\n").encode("utf-16-le", "surrogatepass")) // 2
