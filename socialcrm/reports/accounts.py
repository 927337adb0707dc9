"""The account of the ledger and the outbox: what came, what became of it, what is still to leave."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.columns import constant
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.ledger import Fate, Origin, RawEventRow
from socialcrm.domain.message import Direction, Message
from socialcrm.domain.outbox import OutboxItem, OutboxStatus

PAGE = 50
NEWEST = 20
"""Raw events that are looked at to tell whether a platform calls us."""
OPEN = (OutboxStatus.WAITING, OutboxStatus.SENDING, OutboxStatus.FAILED, OutboxStatus.UNKNOWN)
"""What a person may want to look at; the rest was sent."""


@dataclass(frozen=True)
class Account:
    """One channel and what is known of it now."""

    channel: Channel
    received: int = 0
    fates: Mapping[str, int] = field(default_factory=dict)
    """Every fate, also those of which there are none."""
    outbox: Mapping[str, int] = field(default_factory=dict)
    today: int = 0
    """Messages of today, by the platform's clock."""
    heard_at: datetime | None = None
    """When the newest raw event was received."""
    delay: timedelta | None = None
    """From when the newest message was written, by the platform's clock, until we had it; None for late ones."""
    waiting_since: datetime | None = None
    """When the oldest raw event that waits for ingest was received."""
    is_found_only: bool = False
    """None of the newest raw events was brought by a call of the platform: we found all of them by asking."""

    @property
    def is_balanced(self) -> bool:
        """Whether every received event is accounted for."""
        return self.received == sum(self.fates.values())


@dataclass(frozen=True)
class Page:
    """Rows, and the number that the next page starts below; None on the last one."""

    rows: Sequence[Any]
    next: int | None = None


async def accounts(session: AsyncSession, day_starts_at: datetime) -> list[Account]:
    """All channels by name, with what they received and what waits for them. A handful of queries for all of them."""
    channels = (
        await session.execute(select(Channel).order_by(func.lower(col(Channel.name)), col(Channel.id)))
    ).scalars()
    fates = await _counted(session, RawEventRow, col(RawEventRow.channel_id), col(RawEventRow.fate))
    received = await _received(session)
    outbox = await _counted(session, OutboxItem, col(OutboxItem.channel_id), col(OutboxItem.status))
    today = await _today(session, day_starts_at)
    return [
        Account(
            channel,
            received.get(number, 0),
            {fate.value: fates[number].get(fate.value, 0) for fate in Fate},
            outbox[number],
            today.get(number, 0),
            await _heard(session, number),
            await _delay(session, number),
            await _waiting_since(session, number),
            await _is_found_only(session, number),
        )
        for channel in channels
        if (number := channel.id)
    ]


async def signed_out(session: AsyncSession) -> list[tuple[int, str]]:
    """Number and name of the channels whose sign-in was lost; not of those that an admin disconnected."""
    query = select(col(Channel.id), col(Channel.name)).where(
        col(Channel.status) == ChannelStatus.SIGNED_OUT, col(Channel.credentials) != ""
    )
    return [(number or 0, name) for number, name in (await session.execute(query.order_by(col(Channel.id)))).all()]


async def events(session: AsyncSession, fate: str, before: int | None = None, channel_id: int | None = None) -> Page:
    """Raw events of one fate, newest first, with their channels."""
    query: Select[*tuple[Any, ...]] = select(RawEventRow, col(Channel.name).label("channel"))
    query = query.join(Channel, col(Channel.id) == col(RawEventRow.channel_id)).where(col(RawEventRow.fate) == fate)
    if channel_id is not None:
        query = query.where(col(RawEventRow.channel_id) == channel_id)
    return await _page(session, query, col(RawEventRow.id), before)


async def outbox(session: AsyncSession, status: str, before: int | None = None, channel_id: int | None = None) -> Page:
    """Outbox items of one status, newest first, with their channels, contacts and conversations."""
    query: Select[*tuple[Any, ...]] = (
        select(OutboxItem, col(Channel.name).label("channel"), col(Contact.name).label("contact"))
        .join(Channel, col(Channel.id) == col(OutboxItem.channel_id))
        .join(Conversation, col(Conversation.id) == col(OutboxItem.conversation_id))
        .join(Contact, col(Contact.id) == col(Conversation.contact_id))
        .where(col(OutboxItem.status) == status)
    )
    if channel_id is not None:
        query = query.where(col(OutboxItem.channel_id) == channel_id)
    return await _page(session, query, col(OutboxItem.id), before)


async def outbox_counts(session: AsyncSession) -> dict[str, int]:
    """How many outbox items have which status."""
    status = col(OutboxItem.status)
    return {row[0]: row[1] for row in await session.execute(select(status, func.count()).group_by(status))}


async def _page(session: AsyncSession, query: Select[*tuple[Any, ...]], number: Any, before: int | None) -> Page:
    if before is not None:
        query = query.where(number < before)
    found = (await session.execute(query.order_by(number.desc()).limit(PAGE + 1))).all()
    rows = found[:PAGE]
    return Page(rows, rows[-1][0].id if len(found) > PAGE else None)


async def _counted(
    session: AsyncSession, table: type[RawEventRow | OutboxItem], channel: Any, label: Any
) -> defaultdict[int, dict[str, int]]:
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    query = select(channel, label, func.count()).select_from(table).group_by(channel, label)
    for number, name, count in await session.execute(query):
        counts[number][name] = count
    return counts


async def _received(session: AsyncSession) -> dict[int, int]:
    """Received is counted by itself, so that the account can be wrong and say so."""
    channel = col(RawEventRow.channel_id)
    return {row[0]: row[1] for row in await session.execute(select(channel, func.count()).group_by(channel))}


async def _today(session: AsyncSession, day_starts_at: datetime) -> dict[int, int]:
    channel = col(Message.channel_id)
    query = select(channel, func.count()).where(
        col(Message.direction) == Direction.IN.value, col(Message.sent_at) >= day_starts_at
    )
    return {row[0]: row[1] for row in await session.execute(query.group_by(channel))}


async def _heard(session: AsyncSession, channel_id: int) -> datetime | None:
    """One step down `ix_raw_event_fate` per fate, however many events there are."""
    found = []
    for fate in Fate:
        query = (
            select(col(RawEventRow.received_at))
            .where(col(RawEventRow.channel_id) == channel_id, col(RawEventRow.fate) == fate.value)
            .order_by(col(RawEventRow.id).desc())
            .limit(1)
        )
        found.append(await session.scalar(query))
    return max((at for at in found if at is not None), default=None)


async def _delay(session: AsyncSession, channel_id: int) -> timedelta | None:
    """Of the newest message, found by its raw event: the index of messages has no channels."""
    newest = (
        select(col(RawEventRow.id))
        .where(col(RawEventRow.channel_id) == channel_id, col(RawEventRow.fate) == Fate.STORED.value)
        .order_by(col(RawEventRow.id).desc())
        .limit(1)
    )
    query = select(col(Message.sent_at), col(Message.received_at)).where(
        col(Message.raw_event_id) == newest.scalar_subquery(), ~col(Message.is_late)
    )
    row = (await session.execute(query.limit(1))).first()
    return max(row[1] - row[0], timedelta()) if row else None


async def _is_found_only(session: AsyncSession, channel_id: int) -> bool:
    """What a call brought is a duplicate when polling finds it, or the other way round: so both fates are looked at."""
    found: set[str] = set()
    for fate in (Fate.STORED, Fate.DUPLICATE):
        query = (
            select(col(RawEventRow.origin))
            .where(col(RawEventRow.channel_id) == channel_id, col(RawEventRow.fate) == fate.value)
            .order_by(col(RawEventRow.id).desc())
            .limit(NEWEST)
        )
        found |= set((await session.execute(query)).scalars())
    return Origin.POLL.value in found and Origin.USUAL.value not in found


async def _waiting_since(session: AsyncSession, channel_id: int) -> datetime | None:
    oldest = (
        select(col(RawEventRow.received_at))
        .where(col(RawEventRow.channel_id) == channel_id, col(RawEventRow.fate) == constant(Fate.WAITING))
        .order_by(col(RawEventRow.id))
        .limit(1)
    )
    return (await session.execute(oldest)).scalar_one_or_none()
