"""Albums: what was sent at once and comes one by one becomes one message, whether it comes together or not."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import Change, InboundMessage
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Direction, Message, Step
from socialcrm.domain.words import clean
from socialcrm.engine.files import entry_of
from socialcrm.engine.line import Line

LOOKED_BACK = 20
"""Newest messages of a thread among which the beginning of an album is looked for; its pieces come within seconds."""


def album_of(message: InboundMessage) -> str:
    """The word that the pieces of an album share; empty for all others."""
    files = message.attachments
    return files[0].album if files and message.change is Change.NEW and message.button is None else ""


async def joined(
    session: AsyncSession, line: Line, channel_id: int, messages: Sequence[InboundMessage]
) -> list[InboundMessage | bool]:
    """What becomes of each message: itself, the whole of an album that begins with it, or whether it was a new piece of
    one that had begun."""
    pieces: dict[tuple[str, str], list[InboundMessage]] = {}
    for message in messages:
        if album := album_of(message):
            pieces.setdefault((message.thread_key, album), []).append(message)
    beginnings = {key: await _begun(session, channel_id, *key) for key in pieces}
    became: list[InboundMessage | bool] = []
    for message in messages:
        key = (message.thread_key, album_of(message))
        if key not in pieces:
            became.append(message)
        elif beginning := beginnings[key]:
            became.append(await _continued(session, line, beginning, message))
        else:
            became.append(_gathered(pieces[key]) if message is pieces[key][0] else True)
    return became


def _gathered(pieces: Sequence[InboundMessage]) -> InboundMessage:
    """The pieces that came together as one message: the first one's, with the files and words of all."""
    words = dict.fromkeys(piece.text for piece in pieces if piece.text)
    files = {file.external_id: file for piece in pieces for file in piece.attachments}
    return replace(pieces[0], text="\n".join(words), attachments=tuple(files.values()))


async def _begun(session: AsyncSession, channel_id: int, thread_key: str, album: str) -> Message | None:
    """The stored message with which an album began."""
    query = (
        select(Message)
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(
            col(Conversation.channel_id) == channel_id,
            col(Conversation.thread_key) == thread_key,
            col(Message.direction) == Direction.IN,
        )
        .order_by(col(Message.id).desc())
        .limit(LOOKED_BACK)
    )
    newest = (await session.execute(query)).scalars()
    return next((found for found in newest if any(e.get("album") == album for e in found.attachments)), None)


async def _continued(session: AsyncSession, line: Line, message: Message, piece: InboundMessage) -> bool:
    """Put what a piece brings into the message with which its album began; whether it brought anything."""
    await session.refresh(message, with_for_update={"key_share": True})  # a file of it may be written down just now
    known = {entry["external_id"] for entry in message.attachments}
    folder = line.settings.storage.folder
    new = [entry_of(folder, file) for file in piece.attachments if file.external_id not in known]
    if not new or message.deleted_at:
        return False
    message.attachments = [*message.attachments, *new]
    words = clean(piece.text).strip()
    if words and words not in message.text:
        message.text = f"{message.text}\n{words}".strip()
        message.step = Step.ANALYZE
    await session.flush()
    await line.live.publish(session, "message", [message.conversation_id], line.now())
    return True
