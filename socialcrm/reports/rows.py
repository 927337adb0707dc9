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
from socialcrm.reports.tables import Column, Table

PAGE = 50
MOST = 20_000
"""Messages in one file."""
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
    counting = _chosen(select(func.count()), filters, sentiment, complaint)
    return await _page(session, _messages(filters, sentiment, complaint), counting, Message, place)


async def message_table(
    session: AsyncSession, filters: Filters, sentiment: str = "", complaint: str = "", *, is_raw: bool = False
) -> Table:
    """The same messages for a file, the newest MOST of them; customers by number, or by name if it should be raw."""
    at, number = col(Message.sent_at), col(Message.id)
    query = _messages(filters, sentiment, complaint).order_by(at.desc(), number.desc()).limit(MOST)
    rows = [
        {
            "at": row.Message.sent_at.astimezone(filters.period.zone).strftime("%Y-%m-%d %H:%M:%S"),
            "conversation": row.Message.conversation_id,
            "customer": row.contact if is_raw else str(row.Message.contact_id),
            "message": row.Message.text,
            **{name: getattr(row, name) for name in ("channel", "language", "sentiment", "complaint")},
        }
        for row in await session.execute(query)
    ]
    columns = [
        Column("at", "When", "text"),
        Column("channel", "Channel", "text"),
        Column("conversation", "Conversation"),
        Column("customer", "Customer", "text"),
        Column("message", "Message", "message"),
        Column("language", "Language", "label"),
        Column("sentiment", "Sentiment", "label"),
        Column("complaint", "Complaint", "label"),
    ]
    return Table("messages", columns, rows)


async def surveys(
    session: AsyncSession,
    filters: Filters,
    place: Place | None = None,
    agent_id: int | None = None,
    score: int | None = None,
    *,
    is_answered: bool = False,
    kind: str = "csat",
) -> Rows:
    """Surveys of a kind by the time of sending, of one agent (0: nobody's) or with one score if asked; rows have
    survey, channel, contact, agent."""
    columns: tuple[Any, ...] = (
        col(Channel.name).label("channel"),
        col(Contact.name).label("contact"),
        col(Agent.name).label("agent"),
    )
    query, counting = sent(select(Survey, *columns), filters, kind), sent(select(func.count()), filters, kind)
    conditions = []
    if agent_id is not None:
        conditions.append(matches(col(Survey.agent_id), agent_id))
    if score is not None:
        conditions.append(col(Survey.score) == score)
    if is_answered:
        conditions.append(col(Survey.answered_at).is_not(None))
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


def _messages(filters: Filters, sentiment: str, complaint: str) -> Select[Any]:
    labels = (
        sentiment_label().label("sentiment"),
        complaint_label().label("complaint"),
        language_label().label("language"),
    )
    names: tuple[Any, ...] = (col(Channel.name).label("channel"), col(Contact.name).label("contact"))
    query = _chosen(select(Message, *names, *labels), filters, sentiment, complaint)
    query = query.join(Channel, col(Channel.id) == col(Message.channel_id))
    return query.join(Contact, col(Contact.id) == col(Message.contact_id))


def _chosen(query: Select[*tuple[Any, ...]], filters: Filters, sentiment: str, complaint: str) -> Select[Any]:
    """Restrict a query to the messages with the filters and labels; raises FilterError."""
    if sentiment and sentiment not in SENTIMENTS:
        raise FilterError(f"sentiment should be one of {', '.join(SENTIMENTS)}.")
    if complaint and complaint not in COMPLAINTS:
        raise FilterError(f"complaint should be one of {', '.join(COMPLAINTS)}.")
    query = received(query, filters, with_analysis=True)
    for label, wanted in ((sentiment_label(), sentiment), (complaint_label(), complaint)):
        if wanted:
            query = query.where(label == wanted)
    return query


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
