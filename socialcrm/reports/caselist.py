"""The list of cases: which ones a view shows, page by page, how many there are, and the same as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseEvent, CaseStatus, CaseStep, Cause, Outcome, Severity, as_reference
from socialcrm.domain.casework import ACTIVE, age, is_overdue
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Message
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.words import clean
from socialcrm.reports.filters import BIG, matches
from socialcrm.reports.period import midnight
from socialcrm.reports.tables import Column, Table

PAGE = 50
COLUMN = 25
"""Cards in a column of the board."""
MOST = 20_000
"""Cases in one file."""
COUNTED = 1000
"""Tabs count no further: "999+" says enough."""
RECENT = timedelta(days=7)
"""The board shows what was closed within it."""
GROUPS: Mapping[str, tuple[CaseStatus, ...]] = {
    "active": ACTIVE,
    "resolved": (CaseStatus.RESOLVED,),
    "closed": (CaseStatus.CLOSED,),
    "all": tuple(CaseStatus),
}
NUMBERS = ("team", "channel", "incident")
DAYS = ("opened_from", "opened_to", "closed_from", "closed_to", "reopened_from", "reopened_to")


@dataclass(frozen=True)
class CaseFilters:
    """Which cases a list shows. The number 0 stands for "none"."""

    status: str = "active"
    """A group of GROUPS, or one status."""
    severity: str = ""
    reason: str = ""
    team: int | None = None
    owner: str = ""
    """"me", a number, or 0 for nobody."""
    channel: int | None = None
    language: str = ""
    incident: int | None = None
    cause: str = ""
    overdue: str = ""
    duplicates: str = ""
    """"no" leaves them out, as the reports do."""
    q: str = ""
    opened_from: date | None = None
    opened_to: date | None = None
    closed_from: date | None = None
    closed_to: date | None = None
    reopened_from: date | None = None
    reopened_to: date | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "CaseFilters":
        """The filters that an address names; what it names wrongly is left out."""
        statuses = (*GROUPS, *CaseStatus)
        numbers: dict[str, Any] = {name: _number(query.get(name)) for name in NUMBERS}
        numbers |= {name: _day(query.get(name)) for name in DAYS}
        return cls(
            status=query["status"] if query.get("status") in statuses else "active",
            severity=query["severity"] if query.get("severity") in list(Severity) else "",
            reason=query.get("reason", "")[:40],
            owner=query["owner"] if query.get("owner") == "me" or _number(query.get("owner")) is not None else "",
            language=query.get("language", "")[:40],
            cause=query["cause"] if query.get("cause") in (*Cause, "none") else "",
            overdue="yes" if query.get("overdue") == "yes" else "",
            duplicates="no" if query.get("duplicates") == "no" else "",
            q=clean(query.get("q", "")).strip()[:100],
            **numbers,
        )

    def query(self, **changes: object) -> str:
        """The filters, changed, as the query of an address."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | changes
        return urlencode({name: value for name, value in values.items() if value not in (None, "")})

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the status is asked for."""
        return replace(self, status="active") != CaseFilters()

    @property
    def is_by_end(self) -> bool:
        """Whether the newest closed ones come first, instead of what is due first."""
        return self.status == CaseStatus.CLOSED and not self.q

    def conditions(self, agent_id: int | None, now: datetime, zone: ZoneInfo) -> list[ColumnElement[bool]]:
        """What a case must fulfil; the query joins Conversation and Contact."""
        if self.q:
            return [self._found()]
        statuses = GROUPS.get(self.status) or (CaseStatus(self.status),)
        found: list[ColumnElement[bool]] = [col(Case.status).in_([status.value for status in statuses])]
        for column, value in ((Case.severity, self.severity), (Case.reason, self.reason)):
            if value:
                found.append(col(column) == ("" if value == "none" else value))
        if self.cause:
            found.append(col(Case.cause) == ("" if self.cause == "none" else self.cause))
        if self.team is not None:
            found.append(matches(col(Case.team_id), self.team))
        if self.owner:
            number = (agent_id or 0) if self.owner == "me" else int(self.owner)
            found.append(matches(col(Case.agent_id), number))
        if self.channel is not None:
            found.append(matches(col(Conversation.channel_id), self.channel))
        if self.language:
            found.append(col(Conversation.language) == self.language)
        if self.incident is not None:
            found.append(matches(col(Case.incident_id), self.incident))
        if self.overdue:
            found.append(_is_overdue(now))
        if self.duplicates:
            found.append(col(Case.outcome) != Outcome.DUPLICATE.value)
        return [*found, *self._days(zone)]

    def _found(self) -> ColumnElement[bool]:
        reference = as_reference(self.q) or self.q.upper()
        return or_(col(Case.reference) == reference, col(Contact.name).icontains(self.q, autoescape=True))

    def _days(self, zone: ZoneInfo) -> list[ColumnElement[bool]]:
        found = [
            *_between(col(Case.opened_at), self.opened_from, self.opened_to, zone),
            *_between(col(Case.closed_at), self.closed_from, self.closed_to, zone),
        ]
        reopened = _between(col(CaseEvent.at), self.reopened_from, self.reopened_to, zone)
        if reopened:
            again = select(col(CaseEvent.id)).where(
                col(CaseEvent.case_id) == col(Case.id), col(CaseEvent.kind) == CaseStep.REOPENED.value, *reopened
            )
            found.append(again.exists())
        return found


@dataclass(frozen=True)
class CaseRow:
    """One line of the list, or card of the board."""

    case: Case
    customer: str
    channel: str
    kind: str
    preview: str
    """How the complaint begins."""
    team: str | None
    agent: str | None
    agent_id: int | None
    """Its owner, else who has its conversation."""


async def rows(
    session: AsyncSession,
    filters: CaseFilters,
    agent_id: int | None,
    now: datetime,
    zone: ZoneInfo,
    *,
    after: str = "",
    limit: int = PAGE,
) -> tuple[list[CaseRow], bool]:
    """A page of the list: what is due first comes first; of closed ones the newest. And whether more follow."""
    query = _selected(filters, agent_id, now, zone)
    is_closed = filters.is_by_end
    at, number = (col(Case.closed_at) if is_closed else col(Case.due_at)), col(Case.id)
    if (place := _place(after)) is not None:
        moment, last = place
        later = at < moment if is_closed else at > moment
        follows = number < last if is_closed else number > last
        query = query.where(or_(later, and_(at == moment, follows)))
    order = (at.desc(), number.desc()) if is_closed else (at, number)
    found = [CaseRow(*row) for row in (await session.execute(query.order_by(*order).limit(limit + 1))).all()]
    return found[:limit], len(found) > limit


async def board(
    session: AsyncSession, filters: CaseFilters, agent_id: int | None, now: datetime, zone: ZoneInfo
) -> dict[str, tuple[list[CaseRow], int]]:
    """Status -> the first cards of its column and how many there are; closed ones of the last days only."""
    found = {}
    for status in CaseStatus:
        narrowed = replace(filters, status=status.value, q="")
        if status == CaseStatus.CLOSED and not filters.closed_from:
            narrowed = replace(narrowed, closed_from=(now - RECENT).astimezone(zone).date())
        cards, _ = await rows(session, narrowed, agent_id, now, zone, limit=COLUMN)
        found[status.value] = (cards, await count(session, narrowed, agent_id, now, zone))
    return found


async def count(
    session: AsyncSession, filters: CaseFilters, agent_id: int | None, now: datetime, zone: ZoneInfo
) -> int:
    """How many cases a view has, counted up to COUNTED."""
    some = _joined(select(col(Case.id))).where(*filters.conditions(agent_id, now, zone)).limit(COUNTED)
    return await session.scalar(select(func.count()).select_from(some.subquery())) or 0


async def ages(
    session: AsyncSession, filters: CaseFilters, agent_id: int | None, now: datetime, zone: ZoneInfo
) -> list[timedelta]:
    """How old the cases of a view are, of the first MOST."""
    query = _joined(select(col(Case.opened_at), col(Case.closed_at))).where(*filters.conditions(agent_id, now, zone))
    return [(closed or now) - opened for opened, closed in (await session.execute(query.limit(MOST))).all()]


async def table(
    session: AsyncSession,
    filters: CaseFilters,
    agent_id: int | None,
    now: datetime,
    zone: ZoneInfo,
    *,
    is_raw: bool = False,
) -> Table:
    """The view as a table for a file; customers by number, or by name if it should be raw."""
    query = _selected(filters, agent_id, now, zone).add_columns(col(Message.text))
    query = query.order_by(col(Case.id).desc()).limit(MOST)
    found = []
    for row in (await session.execute(query)).all():
        shown, case = CaseRow(*row[:-1]), row[0]
        found.append(
            {
                "reference": case.reference,
                "opened": _local(case.opened_at, zone),
                "status": case.status,
                "severity": case.severity,
                "reason": case.reason,
                "team": shown.team or "",
                "owner": shown.agent or "",
                "channel": shown.channel,
                "customer": shown.customer if is_raw else str(case.contact_id),
                "due": _local(case.due_at, zone),
                "overdue": "yes" if is_overdue(case, now) else "no",
                "age": round(age(case, now).total_seconds() / 3600, 1),
                "resolved": _local(case.resolved_at, zone),
                "closed": _local(case.closed_at, zone),
                "outcome": case.outcome,
                "reopened": case.reopened_count,
                "delays": case.delay_count,
                "cause": case.cause,
                "redress": case.redress,
                "redress_note": case.redress_note,
                "closure_note": case.closure_note,
                "message": row[-1],
            }
        )
    return Table("complaints", COLUMNS, found)


COLUMNS: Sequence[Column] = (
    Column("reference", "Reference", "text"),
    Column("opened", "Opened", "text"),
    Column("status", "Status", "label"),
    Column("severity", "Severity", "label"),
    Column("reason", "Reason", "label"),
    Column("team", "Department", "text"),
    Column("owner", "Owner", "text"),
    Column("channel", "Channel", "text"),
    Column("customer", "Customer", "text"),
    Column("due", "Due", "text"),
    Column("overdue", "Overdue", "label"),
    Column("age", "Age in hours", "seconds"),
    Column("resolved", "Solved", "text"),
    Column("closed", "Closed", "text"),
    Column("outcome", "Outcome", "label"),
    Column("reopened", "Times reopened"),
    Column("delays", "Delays"),
    Column("cause", "Root cause", "label"),
    Column("redress", "Redress", "label"),
    Column("redress_note", "What was given", "message"),
    Column("closure_note", "Closure note", "message"),
    Column("message", "Message", "message"),
)


def _selected(filters: CaseFilters, agent_id: int | None, now: datetime, zone: ZoneInfo) -> Select[Any]:
    owner = func.coalesce(col(Case.agent_id), col(Conversation.agent_id))
    columns: tuple[Any, ...] = (
        Case,
        col(Contact.name),
        col(Channel.name),
        col(Conversation.kind),
        func.substr(col(Message.text), 1, 200),
        col(Team.name),
        col(Agent.name),
        owner,
    )
    query = _joined(select(*columns)).join(Channel, col(Channel.id) == col(Conversation.channel_id))
    query = query.join(Message, col(Message.id) == col(Case.message_id))
    query = query.outerjoin(Team, col(Team.id) == col(Case.team_id)).outerjoin(Agent, col(Agent.id) == owner)
    return query.where(*filters.conditions(agent_id, now, zone))


def _joined(query: Select[*tuple[Any, ...]]) -> Select[Any]:
    query = query.join(Conversation, col(Conversation.id) == col(Case.conversation_id))
    return query.join(Contact, col(Contact.id) == col(Case.contact_id))


def _is_overdue(now: datetime) -> ColumnElement[bool]:
    return and_(
        col(Case.status).in_([status.value for status in ACTIVE]),
        col(Case.paused_at).is_(None),
        col(Case.due_at) <= now,
    )


def _between(column: Any, first: date | None, last: date | None, zone: ZoneInfo) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if first:
        found.append(column >= midnight(first, zone))
    if last:
        found.append(column < midnight(last + timedelta(days=1), zone))
    return found


def key_of(filters: CaseFilters, row: CaseRow) -> str:
    """Where the page after this row goes on."""
    case = row.case
    at = case.closed_at if filters.is_by_end and case.closed_at else case.due_at
    return f"{at.isoformat()},{case.id}"


def _place(key: str) -> tuple[datetime, int] | None:
    moment, _, number = key.partition(",")
    try:
        at, row = datetime.fromisoformat(moment), int(number)
    except ValueError:
        return None
    return (at, row) if at.tzinfo is not None and 0 < row < BIG else None


def _local(at: datetime | None, zone: ZoneInfo) -> str:
    return (at or datetime.now(UTC)).astimezone(zone).strftime("%Y-%m-%d %H:%M") if at else ""


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _day(text: str | None) -> date | None:
    try:
        found = date.fromisoformat(text or "")
    except ValueError:
        return None
    return found if date(1990, 1, 1) <= found <= date(2200, 1, 1) else None
