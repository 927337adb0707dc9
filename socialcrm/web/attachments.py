"""What customers attach: fetched when somebody first looks at it, kept, and served so that it cannot run."""

import asyncio
import hashlib
import logging
import os
from pathlib import Path

from aiohttp import web

from connectors.base import Attachment, ConnectorError
from socialcrm.domain.message import Message
from socialcrm.engine.channels import ChannelGone
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost
from socialcrm.web.keys import LINE

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

FOLDER = "attachments"
SHOWN = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"OggS": "audio/ogg",
    b"ID3": "audio/mpeg",
}
"""First bytes -> the types that a page may show; all else is a download. What anybody says of it is not believed."""
HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, max-age=86400"}


@routes.get(r"/attachments/{message:\d{1,18}}/{place:\d{1,3}}", name="attachment")
async def show(request: web.Request) -> web.StreamResponse:
    """The file, from our own copy after the first time."""
    line = request.app[LINE]
    async with line.database.read() as session:
        message = await session.get(Message, int(request.match_info["message"]))
    place = int(request.match_info["place"])
    if message is None or place >= len(message.attachments):
        raise web.HTTPNotFound
    attachment = Attachment(**message.attachments[place])
    path = _path(line, message.channel_id, attachment)
    if not path.exists():
        await _fetch(line, message.channel_id, attachment, path)
    kind = await asyncio.to_thread(_kind, path)
    headers = dict(HEADERS)
    if not kind:
        headers["Content-Disposition"] = (
            f'attachment; filename="attachment-{message.id}-{place}{_ending(attachment.name)}"'
        )
    return web.FileResponse(path, headers={**headers, "Content-Type": kind or "application/octet-stream"})


def _path(line: Line, channel_id: int, attachment: Attachment) -> Path:
    name = hashlib.sha256(f"{channel_id}:{attachment.external_id}".encode()).hexdigest()
    return line.settings.storage.folder / FOLDER / name[:2] / name


async def _fetch(line: Line, channel_id: int, attachment: Attachment, path: Path) -> None:
    try:
        connector = await line.channels.connector(channel_id)
        content = await connector.fetch(attachment)
    except (ConnectorError, ChannelGone, KeyLost) as error:
        raise web.HTTPBadGateway(text=str(error)) from error
    await asyncio.to_thread(_keep, path, content)


def _keep(path: Path, content: bytes) -> None:
    """Write under another name first: nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    half.write_bytes(content)
    half.replace(path)


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        first = file.read(16)
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    if first[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for start, kind in SHOWN.items() if first.startswith(start)), "")


def _ending(name: str) -> str:
    """The ending of a file's name where it is plain."""
    ending = Path(name).suffix
    return ending if ending.isascii() and ending[1:].isalnum() and len(ending) <= 8 else ""
