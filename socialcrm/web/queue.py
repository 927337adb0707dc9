"""The queue: which conversations a view shows, page by page, and how many each tab holds."""

from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite

from aiohttp import web
from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from socialcrm.domain.case import Case
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, ConversationStatus, is_waiting
from socialcrm.domain.people import Agent
from socialcrm.domain.words import clean

TABS = ("mine", "unassigned", "all")
STATUSES = {
    "open": (ConversationStatus.OPEN,),
    "pending": (ConversationStatus.PENDING, ConversationStatus.SNOOZED),
    "resolved": (ConversationStatus.RESOLVED,),
}
PAGE = 30
MOST = 300
"""Rows that a live refresh brings at most; further ones are loaded again by hand."""
COUNTED = 1000
"""Tabs count no further: "999+" says enough and stays quick with a million conversations."""


@dataclass(frozen=True)
class View:
    """What the queue shows: a tab and a status, or everything that a search finds."""

    tab: str = "mine"
    status: str = "open"
    q: str = ""
    sort: str = "newest"
    """Or urgent: only those whose customers wait, by their score."""

    @classmethod
    def of(cls, request: web.Request) -> "View":
        """The view that an address names; what it names wrongly is as usual."""
        query = request.query
        return cls(
            tab=query["tab"] if query.get("tab") in TABS else "mine",
            status=query["status"] if query.get("status") in STATUSES else "open",
            q=clean(query.get("q", "")).strip()[:100],
            sort="urgent" if query.get("sort") == "urgent" else "newest",
        )

    def query(self, **changes: str) -> dict[str, str]:
        """The view, changed, as the query of an address."""
        view = replace(self, **changes)
        return {"tab": view.tab, "status": view.status, "q": view.q, "sort": view.sort if view.is_urgent else ""}

    @property
    def is_urgent(self) -> bool:
        """Whether those who wait stand in the order of their scores."""
        return self.sort == "urgent" and self.status == "open" and not self.q


@dataclass(frozen=True)
class Row:
    """One line of the queue."""

    conversation: Conversation
    contact: str
    channel: str
    agent: str | None
    is_urgent: bool = False

    @property
    def key(self) -> str:
        """Where the next page goes on."""
        if self.is_urgent:
            return f"{self.conversation.score!r},{self.conversation.id}"
        return f"{self.conversation.last_message_at.isoformat()},{self.conversation.id}"


async def rows(
    session: AsyncSession, view: View, agent: Agent, before: str = "", limit: int = PAGE
) -> tuple[list[Row], bool]:
    """A page of the view, newest first, after the row with the key `before`; and whether more follow."""
    query = (
        select(Conversation, col(Contact.name), col(Channel.name), col(Agent.name))
        .join(Contact, col(Contact.id) == col(Conversation.contact_id))
        .join(Channel, col(Channel.id) == col(Conversation.channel_id))
        .outerjoin(Agent, col(Agent.id) == col(Conversation.agent_id))
        .where(*_conditions(view, agent))
        .limit(limit + 1)
    )
    if view.is_urgent:
        query = query.order_by(col(Conversation.score).desc(), col(Conversation.id))
    else:
        query = query.order_by(col(Conversation.last_message_at).desc(), col(Conversation.id).desc())
    if (after := _after_score(before) if view.is_urgent else _after(before)) is not None:
        query = query.where(after)
    found = [Row(*values, view.is_urgent) for values in (await session.execute(query)).all()]
    return found[:limit], len(found) > limit


async def counts(session: AsyncSession, view: View, agent: Agent) -> dict[str, int]:
    """How many conversations each tab holds, counted up to COUNTED."""
    found = {}
    for tab in TABS:
        some = (
            select(Conversation.id)
            .where(*_conditions(replace(view, tab=tab, q="", sort="newest"), agent))
            .limit(COUNTED)
        )
        found[tab] = await session.scalar(select(func.count()).select_from(some.subquery())) or 0
    return found


def _conditions(view: View, agent: Agent) -> list[ColumnElement[bool]]:
    if view.q:
        return [_matches(view.q)]
    conditions: list[ColumnElement[bool]] = [
        col(Conversation.status).in_([status.value for status in STATUSES[view.status]])
    ]
    if view.tab == "mine":
        conditions.append(col(Conversation.agent_id) == agent.id)
    elif view.tab == "unassigned":
        conditions.append(col(Conversation.agent_id).is_(None))
    if view.is_urgent:
        conditions.append(is_waiting())
    return conditions


def _matches(text: str) -> ColumnElement[bool]:
    cases = select(Case.conversation_id).where(col(Case.reference) == text.upper())
    return or_(
        col(Contact.name).icontains(text, autoescape=True),
        col(Conversation.preview).icontains(text, autoescape=True),
        col(Conversation.id).in_(cases),
    )


def _after_score(key: str) -> ColumnElement[bool] | None:
    points, _, number = key.partition(",")
    try:
        score, row = float(points), int(number)
    except ValueError:
        return None
    if not isfinite(score) or not 0 < row < 2**63:
        return None
    of, number_of = col(Conversation.score), col(Conversation.id)
    return or_(of < score, and_(of == score, number_of > row))


def _after(key: str) -> ColumnElement[bool] | None:
    moment, _, number = key.partition(",")
    try:
        at, row = datetime.fromisoformat(moment), int(number)
    except ValueError:
        return None
    if at.tzinfo is None or not 0 < row < 2**63:
        return None
    time, number_of = col(Conversation.last_message_at), col(Conversation.id)
    return or_(time < at, and_(time == at, number_of < row))
