"""Pieces: what a connector gets of an outbox item, and how many of its pieces are out."""

import asyncio
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from connectors.base import Button, Connector, MaybeSent, OutboundMessage
from socialcrm.domain.columns import constant
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.engine.files import file_of
from socialcrm.engine.line import Line

UPLOAD_BYTES_PER_SECOND = 200_000
"""The slowest line that a file is sent over before we call it lost."""
REMEMBER_TRIES = 8


def pieces_of(
    line: Line, connector: Connector, item: OutboxItem, heard_at: datetime | None = None
) -> tuple[OutboundMessage, ...]:
    """An outbox item as its platform takes it: whole, or one thing at a time."""
    return connector.in_pieces(outbound(line, item, heard_at))


def pieces_out(item: OutboxItem) -> int:
    """How many pieces of an item the platform has."""
    return int(item.payload.get("pieces_out", 0))


def seconds_for(line: Line, piece: OutboundMessage) -> float:
    """How long sending may take; files need their time."""
    size = sum(file.size for file in piece.attachments)
    return line.settings.line.send_timeout_seconds + size / UPLOAD_BYTES_PER_SECOND


async def remember_surely(line: Line, item: OutboxItem, number: int) -> None:
    """Write down that `number` pieces of an item of ours are out, before the next one is sent. Raises MaybeSent where
    the item is no longer ours, so that nobody sends a piece twice."""
    payload, now = {**item.payload, "pieces_out": number}, line.now()
    ours = (
        col(OutboxItem.id) == item.id,
        col(OutboxItem.status) == constant(OutboxStatus.SENDING),
        col(OutboxItem.claimed_by) == item.claimed_by,
    )
    remember = update(OutboxItem).where(*ours).values(payload=payload, claimed_at=now)
    for attempt in range(1, REMEMBER_TRIES + 1):
        try:
            async with line.database.write() as session:
                result = await session.execute(remember.execution_options(synchronize_session=False))
        except SQLAlchemyError:
            if attempt == REMEMBER_TRIES:
                raise MaybeSent("A part of it was sent, and that could not be written down.") from None
            await asyncio.sleep(0.1 * 2**attempt)
        else:
            if not getattr(result, "rowcount", 0):
                raise MaybeSent("A part of it was sent while somebody else settled it.")
            item.payload = payload
            return


def outbound(line: Line, item: OutboxItem, heard_at: datetime | None = None) -> OutboundMessage:
    """What the connector gets of an outbox item."""
    payload = item.payload
    return OutboundMessage(
        key=item.key,
        thread_key=payload["thread_key"],
        recipient=payload["recipient"],
        text=payload["text"],
        buttons=tuple(Button(b["label"], b["value"]) for b in payload["buttons"]),
        reply_to=payload["reply_to"],
        is_human=payload.get("is_human", False),
        last_inbound_at=heard_at,
        attachments=tuple(file_of(line, entry) for entry in payload.get("files", ())),
    )
