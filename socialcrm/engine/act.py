"""Act: what an agent has the platform do with a message: hide, like, boost, delete. The thread keeps a line of each."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import AuthExpired, Connector, ConnectorError, MessageKind
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.conversation import ConversationEvent, EventKind
from socialcrm.domain.message import Delivery, Direction, Message
from socialcrm.domain.people import Agent
from socialcrm.engine.channels import lose_sign_in
from socialcrm.engine.ingest import preview_again
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)
"""After this a deed that a crash left half-done may be tried again; the platform takes it twice without harm."""


class Deed(StrEnum):
    """Each is a connector's ability."""

    HIDE = "hide"
    UNHIDE = "unhide"
    LIKE = "like"
    UNLIKE = "unlike"
    BOOST = "boost"
    UNBOOST = "unboost"
    DELETE = "delete"


MARKS = {
    Deed.HIDE: ("hidden_at", True),
    Deed.UNHIDE: ("hidden_at", False),
    Deed.LIKE: ("liked_at", True),
    Deed.UNLIKE: ("liked_at", False),
    Deed.BOOST: ("boosted_at", True),
    Deed.UNBOOST: ("boosted_at", False),
    Deed.DELETE: ("deleted_at", True),
}
"""Deed -> which time of the message it sets or takes away."""


class CannotAct(Exception):
    """It was not done; the message is a sentence for the agent, in the platform's words where it gave any."""


@dataclass(frozen=True)
class _Task:
    connector: Connector
    external_id: str
    channel_id: int


def offered(connector: type[Connector], message: Message) -> list[Deed]:
    """What can be done with a message as it is now: of theirs what is public, of ours what is out."""
    if message.external_id is None or message.deleted_at or message.direction == Direction.NOTE:
        return []
    is_private = message.kind == MessageKind.DIRECT_MESSAGE
    if message.direction == Direction.OUT:
        is_out = message.delivery in (Delivery.SENT, Delivery.NONE)
        wanted = [Deed.DELETE] if is_out and (connector.deletes_private or not is_private) else []
    elif is_private:
        wanted = []
    else:
        wanted = [
            Deed.UNLIKE if message.liked_at else Deed.LIKE,
            Deed.UNBOOST if message.boosted_at else Deed.BOOST,
            Deed.UNHIDE if message.hidden_at else Deed.HIDE,
        ]
        if message.kind == MessageKind.MENTION:  # it stands where we are not at home
            wanted.remove(Deed.UNHIDE if message.hidden_at else Deed.HIDE)
    return [deed for deed in wanted if connector.can(deed)]


async def act(line: Line, message_id: int, deed: Deed, agent: Agent | None) -> None:
    """Have the platform do it, as an agent or (None) a rule wants; nothing happens where it was done already. Raises
    CannotAct; the thread keeps why."""
    task = await _claim(line, message_id, deed)
    if task is None:
        return
    reason, is_signed_out = "", False
    try:
        async with asyncio.timeout(line.settings.line.send_timeout_seconds):
            await getattr(task.connector, deed)(task.external_id)
    except ConnectorError as error:
        reason, is_signed_out = error.reason, isinstance(error, AuthExpired)
    except TimeoutError:
        reason = "The platform did not answer in time."
    except Exception as error:
        log.exception("message %s: %s failed", message_id, deed)
        reason = f"Internal error ({type(error).__name__}): see the log."
    async with line.database.write() as session:
        if is_signed_out:
            await lose_sign_in(session, task.channel_id, reason, line.now())
        await _record(session, line, message_id, deed, agent, reason)
    if reason:
        line.live.ring()
        raise CannotAct(reason)


async def _claim(line: Line, message_id: int, deed: Deed) -> _Task | None:
    """Reserve the message for a moment, so that nobody else asks the platform for something at the same time."""
    now = line.now()
    async with line.database.write() as session:
        message = await _locked(session, message_id)
        channel = await session.get_one(Channel, message.channel_id)
        field, is_set = MARKS[deed]
        if bool(getattr(message, field)) == is_set:
            return None
        try:
            connector = line.channels.open(channel)
        except (KeyLost, KeyError) as error:
            raise CannotAct(str(error.args[0])) from error
        if deed not in offered(type(connector), message):
            raise CannotAct("This cannot be done with this message.")
        if channel.status != ChannelStatus.ACTIVE:
            raise CannotAct("This channel is stopped: nothing can be done there until it runs again.")
        if message.acting_until_at and message.acting_until_at > now:
            raise CannotAct("Somebody is busy with this message: look again in a moment.")
        message.acting_until_at = now + LEASE
        return _Task(connector, message.external_id or "", message.channel_id)


async def _record(
    session: AsyncSession, line: Line, message_id: int, deed: Deed, agent: Agent | None, reason: str
) -> None:
    now = line.now()
    if deed is Deed.DELETE and not reason:  # the conversation before the message, as ingest locks them
        await preview_again(session, await session.get_one(Message, message_id), "")
    message = await _locked(session, message_id)
    if not reason:
        field, is_set = MARKS[deed]
        setattr(message, field, now if is_set else None)
    message.acting_until_at = None
    data = {"deed": deed.value, "message_id": message_id, **({"reason": reason} if reason else {})}
    session.add(
        ConversationEvent(
            conversation_id=message.conversation_id,
            at=now,
            kind=EventKind.ACTED,
            agent_id=agent.id if agent else None,
            data=data,
        )
    )
    await session.flush()
    await line.live.publish(session, "message", [message.conversation_id], now)


async def _locked(session: AsyncSession, message_id: int) -> Message:
    query = select(Message).where(col(Message.id) == message_id).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one()
