"""The demo company's own site, with the chat on it: what a customer sees. There only while the demo is on."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlmodel import col, select

from config.settings import HERE
from connectors.webchat import WebchatConnector
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.engine.line import Line
from socialcrm.web.keys import LINE

routes = web.RouteTableDef()

TEMPLATES = Path(__file__).parent / "templates"
SITE = HERE / "demo" / "site.toml"
LANGUAGES = {"fr": "/demo/", "ar": "/demo/ar", "en": "/demo/en"}


@routes.get("/demo")
async def without_slash(request: web.Request) -> web.StreamResponse:
    """People leave the last slash out."""
    raise web.HTTPSeeOther(LANGUAGES["fr"])


@routes.get("/demo/")
@routes.get("/demo/{language:ar|en}")
async def site(request: web.Request) -> web.StreamResponse:
    """The page in one language."""
    line = request.app[LINE]
    if not line.settings.demo.is_on:
        raise web.HTTPNotFound()
    language = request.match_info.get("language", "fr")
    text = (
        _environment()
        .get_template("demo/site.html")
        .render(
            t=_texts()[language],
            offers=_texts()["offers"],
            lang=language,
            dir="rtl" if language == "ar" else "ltr",
            languages=LANGUAGES,
            chat_key=await _chat_key(line),
            year=line.now().year,
        )
    )
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers={"Cache-Control": "no-store"})


async def _chat_key(line: Line) -> str:
    """The key of the oldest chat that is on; empty where there is none."""
    query = (
        select(Channel.key)
        .where(col(Channel.connector) == WebchatConnector.name, col(Channel.status) == ChannelStatus.ACTIVE)
        .order_by(col(Channel.id))
        .limit(1)
    )
    async with line.database.read() as session:
        return (await session.execute(query)).scalar() or ""


@lru_cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(SITE.read_text(encoding="utf-8"))


@lru_cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
