"""Uploads: reading the body of one, and finding again what an agent uploaded for a conversation."""

import asyncio
import re
from collections.abc import Sequence

from aiohttp import web

from socialcrm.engine import files
from socialcrm.engine.answer import CannotAnswer
from socialcrm.engine.line import Line

_UPLOAD = re.compile(r"([0-9a-f]{64}):(.*)", re.DOTALL)


def owner_of(conversation_id: int, agent_id: int | None) -> str:
    """Whose an upload is: of one agent, for one conversation."""
    return f"conversation-{conversation_id}-{agent_id}"


async def uploads(
    line: Line, conversation_id: int, agent_id: int | None, wanted: Sequence[object]
) -> list[files.Upload]:
    """What an agent uploaded for a conversation, named as `upload` named it. Raises CannotAnswer where one is gone."""
    owner, folder, found = owner_of(conversation_id, agent_id), line.settings.storage.folder, []
    for each in wanted:
        match = _UPLOAD.fullmatch(str(each))
        if match is None:
            raise web.HTTPBadRequest
        try:
            found.append(await asyncio.to_thread(files.take_upload, folder, owner, match[1], match[2]))
        except files.CannotKeep as error:
            raise CannotAnswer(str(error)) from error
    return found


async def body(request: web.Request, limit: int) -> bytes | None:
    """The whole body; None where it is larger than `limit`, of which no more is read."""
    if (request.content_length or 0) > limit:
        return None
    found = bytearray()
    async for part in request.content.iter_any():
        found += part
        if len(found) > limit:
            return None
    return bytes(found)
