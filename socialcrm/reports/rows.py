"""The rows behind a figure: the same conditions as the figure, newest first, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.message import Message
from socialcrm.domain.people import Agent
from socialcrm.domain.survey import Survey
from socialcrm.reports.answers import first_answers, waited
from socialcrm.reports.filters import BIG, SENTIMENTS, FilterError, Filters, matches
from socialcrm.reports.messages import complaint_label, language_label, received, sentiment_label
from socialcrm.reports.satisfaction import sent

PAGE = 50
COMPLAINTS = ("yes", "no", "unsure", "pending")


@dataclass(frozen=True)
class Place:
    """Where a page ends: the next one starts with what is older."""

    at: datetime
    id: int

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """From an address; raises FilterError."""
        if not text:
            return None
        micros, _, number = text.partition(".")
        if not (micros.isascii() and micros.isdigit() and number.isascii() and number.isdigit() and len(text) < 40):
            raise FilterError("The address of this page is damaged: start from the first page.")
        try:
            at = datetime.fromtimestamp(int(micros) // 1_000_000, UTC).replace(microsecond=int(micros) % 1_000_000)
        except (ValueError, OverflowError, OSError):
            raise FilterError("The address of this page is damaged: start from the first page.") from None
        return cls(at, min(int(number), BIG - 1))

    def __str__(self) -> str:
        return f"{int(self.at.timestamp()) * 1_000_000 + self.at.microsecond}.{self.id}"


@dataclass(frozen=True)
class Rows:
    """One page of rows, how many there are in all, and where the next page starts."""

    rows: Sequence[Any]
    count: int
    next: Place | None = None


async def messages(
    session: AsyncSession, filters: Filters, place: Place | None = None, sentiment: str = "", complaint: str = ""
) -> Rows:
    """Incoming messages, of one sentiment or answer to "is it a complaint" if asked; rows have message, channel,
    contact, sentiment, complaint, language."""
    if sentiment and sentiment not in SENTIMENTS:
        raise FilterError(f"sentiment should be one of {', '.join(SENTIMENTS)}.")
    if complaint and complaint not in COMPLAINTS:
        raise FilterError(f"complaint should be one of {', '.join(COMPLAINTS)}.")
    labels = (
        sentiment_label().label("sentiment"),
        complaint_label().label("complaint"),
        language_label().label("language"),
    )
    query = received(
        select(Message, col(Channel.name).label("channel"), col(Contact.name).label("contact"), *labels),
        filters,
        with_analysis=True,
    )
    counting = received(select(func.count()), filters, with_analysis=True)
    for label, wanted in ((sentiment_label(), sentiment), (complaint_label(), complaint)):
        if wanted:
            query, counting = query.where(label == wanted), counting.where(label == wanted)
    query = query.join(Channel, col(Channel.id) == col(Message.channel_id))
    query = query.join(Contact, col(Contact.id) == col(Message.contact_id))
    return await _page(session, query, counting, Message, place)


async def surveys(
    session: AsyncSession,
    filters: Filters,
    place: Place | None = None,
    agent_id: int | None = None,
    score: int | None = None,
    *,
    is_answered: bool = False,
) -> Rows:
    """Surveys by the time of sending, of one agent (0: nobody's) or with one score if asked; rows have survey, channel,
    contact, agent."""
    columns: tuple[Any, ...] = (
        col(Channel.name).label("channel"),
        col(Contact.name).label("contact"),
        col(Agent.name).label("agent"),
    )
    query, counting = sent(select(Survey, *columns), filters), sent(select(func.count()), filters)
    conditions = []
    if agent_id is not None:
        conditions.append(matches(col(Survey.agent_id), agent_id))
    if score is not None:
        conditions.append(col(Survey.score) == score)
    if is_answered:
        conditions.append(col(Survey.score).is_not(None))
    query = query.where(*conditions).join(Channel, col(Channel.id) == col(Survey.channel_id))
    query = query.join(Contact, col(Contact.id) == col(Survey.contact_id))
    query = query.outerjoin(Agent, col(Agent.id) == col(Survey.agent_id))
    return await _page(session, query, counting.where(*conditions), Survey, place)


async def answers(session: AsyncSession, filters: Filters, place: Place | None = None) -> Rows:
    """First answers of agents; rows have message, channel, contact, agent, waited."""
    columns: tuple[Any, ...] = (
        col(Channel.name).label("channel"),
        col(Contact.name).label("contact"),
        col(Agent.name).label("agent"),
        waited().label("waited"),
    )
    query = first_answers(select(Message, *columns), filters)
    query = query.join(Channel, col(Channel.id) == col(Message.channel_id))
    query = query.join(Contact, col(Contact.id) == col(Message.contact_id))
    query = query.outerjoin(Agent, col(Agent.id) == col(Message.agent_id))
    return await _page(session, query, first_answers(select(func.count()), filters), Message, place)


async def _page(
    session: AsyncSession,
    query: Select[*tuple[Any, ...]],
    counting: Select[Any],
    table: type[Message | Survey],
    place: Place | None,
) -> Rows:
    """One page of a query whose first column is a row with `sent_at` and `id`."""
    at, number = col(table.sent_at), col(table.id)
    if place:
        query = query.where(at <= place.at, or_(at < place.at, and_(at == place.at, number < place.id)))
    found = (await session.execute(query.order_by(at.desc(), number.desc()).limit(PAGE + 1))).all()
    count = await session.scalar(counting)
    rows = found[:PAGE]
    last = rows[-1][0] if len(found) > PAGE else None
    return Rows(rows, count or 0, Place(last.sent_at, last.id) if last else None)
