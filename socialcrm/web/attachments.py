"""What people attach: shown or given as a download so that it cannot run; what agents upload to send."""

import asyncio
import hmac
import logging
import re
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from sqlmodel import col, select

from connectors.registry import connector_class
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.media import ANY, HEAD, SHOWN, file_name, sniff
from socialcrm.engine import attach, files
from socialcrm.engine.answer import CannotAnswer, check_files
from socialcrm.web.conversation import ACTING, done
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.reasons import reason
from socialcrm.web.uploads import body, owner_of

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=86400",
}
SHOWING = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
"""For a picture, sound or video in a tab of its own: browsers lay it out with a style of theirs. Nothing in it runs."""


@routes.get(r"/attachments/{message:\d{1,18}}/{place:\d{1,3}}", name="attachment")
async def show(request: web.Request) -> web.StreamResponse:
    """The file, from our own copy after the first time; `?download` gives it under its name."""
    line = request.app[LINE]
    try:
        entry = await attach.fetch(line, int(request.match_info["message"]), int(request.match_info["place"]))
    except LookupError:
        raise web.HTTPNotFound from None
    except attach.CannotFetch as error:
        raise web.HTTPBadGateway(text=_said(request, error)) from error
    path = files.path_of(line.settings.storage.folder, entry["sha256"])
    if not path.exists():
        raise web.HTTPGone(text=say(request, "This file was deleted here."))
    return await serve(path, str(entry.get("name") or ""), is_download="download" in request.query)


@routes.post(
    r"/inbox/{id:\d{1,18}}/messages/{message:\d{1,18}}/attachments/{place:\d{1,3}}/again", name="attachment_again"
)
@needs(*ACTING)
async def fetch_again(request: web.Request) -> web.StreamResponse:
    """Ask the platform once more for a file; the thread then shows it, or says why not."""
    numbers = {name: int(request.match_info[name]) for name in ("message", "place")}
    try:
        await attach.fetch(request.app[LINE], numbers["message"], numbers["place"], again=True)
    except LookupError:
        raise web.HTTPNotFound from None
    except attach.CannotFetch:
        log.info("an attachment of message %s still cannot be fetched", numbers["message"])
    return await done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/files", name="conversation_files")
@needs(*ACTING)
async def upload(request: web.Request) -> web.StreamResponse:
    """Keep a file that an agent is about to send: the body is its content, `?name=` its name."""
    line, number = request.app[LINE], int(request.match_info["id"])
    query = select(Conversation, Channel).join(Channel, col(Channel.id) == col(Conversation.channel_id))
    async with line.database.read() as session:
        row = (await session.execute(query.where(col(Conversation.id) == number))).first()
    if row is None:
        raise web.HTTPNotFound
    content = await body(request, int(line.settings.storage.attachment_mb * 1_000_000))
    if content is None:
        limit = f"{line.settings.storage.attachment_mb:g}"
        raise web.HTTPRequestEntityTooLarge(
            0, text=say(request, "The file is too large: this server takes %(limit)s MB.", limit=limit)
        )
    owner, folder = owner_of(number, request[AGENT].id), line.settings.storage.folder
    try:
        kept = await asyncio.to_thread(files.keep_upload, folder, owner, content, request.query.get("name", ""))
        check_files(connector_class(row[1].connector).limits, row[0].kind, [kept])
    except files.CannotKeep as error:
        raise web.HTTPInsufficientStorage(text=_said(request, error)) from error
    except CannotAnswer as error:
        raise web.HTTPUnprocessableEntity(text=_said(request, error)) from error
    shown = {"file": f"{kept.sha256}:{kept.name}", "name": kept.name, "type": kept.content_type, "size": kept.size}
    return web.json_response(shown)


@routes.get(r"/files/{until:\d{1,12}}/{signature:[0-9a-f]{40}}/{sha256:[0-9a-f]{64}}/{name}", name="file")
async def give(request: web.Request) -> web.StreamResponse:
    """A file for whoever holds an address that we signed: a platform that fetches it, a visitor of the chat."""
    line, until, sha256 = request.app[LINE], int(request.match_info["until"]), request.match_info["sha256"]
    expected = files.signature(line, sha256, until)
    path = files.path_of(line.settings.storage.folder, sha256)
    is_ours = hmac.compare_digest(expected, request.match_info["signature"]) and until >= line.now().timestamp()
    if not is_ours or not path.exists():
        raise web.HTTPNotFound
    response = await serve(path, request.match_info["name"], is_download="download" in request.query)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


async def serve(path: Path, name: str, *, is_download: bool = False) -> web.FileResponse:
    """A file of the store: shown where it is a picture, a sound or a video by its bytes, else a download."""
    kind = await asyncio.to_thread(_sniffed, path, name)
    headers = {**HEADERS, "Content-Type": kind if kind in SHOWN else ANY}
    if kind in SHOWN:
        headers["Content-Security-Policy"] = SHOWING
    if is_download or kind not in SHOWN:
        headers["Content-Disposition"] = disposition(name)
    return web.FileResponse(path, headers=headers)


def disposition(name: str) -> str:
    """A download under this name (RFC 6266)."""
    name = file_name(name) or "file"
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _sniffed(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return sniff(file.read(HEAD), name)


def _said(request: web.Request, error: Exception) -> str:
    return reason(str(error), translations(language(request)).gettext)
