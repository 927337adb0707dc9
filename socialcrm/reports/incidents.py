"""Incidents: the list, what looks like a new one, and which newer complaints look like one more of it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from config.settings import Cases
from nlp.duplicates import group
from nlp.entities import entities
from socialcrm.domain.case import Case, CaseStatus
from socialcrm.domain.casework import ACTIVE
from socialcrm.domain.incident import Complaint, Incident, IncidentStatus, Suspicion, belongs, suspect
from socialcrm.domain.message import Message

MOST = 500
"""Complaints that are looked at, the newest ones."""
BEFORE = timedelta(days=7)
"""What is usual is counted over it."""
EARLIER = timedelta(hours=6)
"""Complaints from so long before an incident was made are proposed to join it, and all later ones."""


@dataclass(frozen=True)
class Summary:
    """An incident and how many cases and people it has."""

    incident: Incident
    case_count: int
    open_count: int
    people_count: int


async def suspicions(session: AsyncSession, settings: Cases, now: datetime) -> list[Suspicion]:
    """What looks like an incident that nobody has made one of yet."""
    since = now - timedelta(hours=settings.incident_hours)
    complaints = await _complaints(session, since)
    if len({complaint.contact_id for complaint in complaints}) < settings.incident_cases:
        return []
    windows = BEFORE / timedelta(hours=settings.incident_hours)
    query = (
        select(col(Case.reason), func.count(func.distinct(col(Case.contact_id))))
        .where(col(Case.opened_at) >= since - BEFORE, col(Case.opened_at) < since)
        .group_by(col(Case.reason))
    )
    usual = {reason: count / windows for reason, count in (await session.execute(query)).all()}
    return suspect(complaints, usual, least=settings.incident_cases)


async def candidates(session: AsyncSession, incident: Incident) -> list[int]:
    """Cases that look like one more of an incident."""
    found = await _complaints(session, incident.opened_at - EARLIER)
    return [complaint.case_id for complaint in found if belongs(incident, complaint)]


async def summaries(session: AsyncSession, status: IncidentStatus, limit: int = 100) -> list[Summary]:
    """Incidents with their counts, the newest first."""
    query = select(Incident).where(col(Incident.status) == status.value).order_by(col(Incident.id).desc()).limit(limit)
    found = (await session.execute(query)).scalars().all()
    return [await summary(session, incident) for incident in found]


async def summary(session: AsyncSession, incident: Incident) -> Summary:
    """One incident with its counts."""
    query = (
        select(col(Case.status), func.count(), func.count(func.distinct(col(Case.contact_id))))
        .where(col(Case.incident_id) == incident.id)
        .group_by(col(Case.status))
    )
    rows = (await session.execute(query)).all()
    people = select(func.count(func.distinct(col(Case.contact_id)))).where(col(Case.incident_id) == incident.id)
    count: Counter[str] = Counter({status: number for status, number, _ in rows})
    return Summary(incident, count.total(), count.total() - count[CaseStatus.CLOSED], await session.scalar(people) or 0)


async def _complaints(session: AsyncSession, since: datetime) -> Sequence[Complaint]:
    """The newest active cases that belong to no incident; reading their texts takes a moment, off the event loop."""
    query = (
        select(col(Case.id), col(Case.contact_id), col(Case.opened_at), col(Case.reason), col(Message.text))
        .join(Message, col(Message.id) == col(Case.message_id))
        .where(
            col(Case.opened_at) >= since,
            col(Case.incident_id).is_(None),
            col(Case.status).in_([status.value for status in ACTIVE]),
        )
        .order_by(col(Case.opened_at).desc(), col(Case.id).desc())
        .limit(MOST)
    )
    rows = (await session.execute(query)).all()
    texts, people = [row[4] for row in rows], [row[1] for row in rows]

    def read() -> tuple[list[int], list[tuple[str, ...]]]:
        named = [tuple(dict.fromkeys(e.value for e in entities(t) if e.kind == "place")) for t in texts]
        return group(texts, people), named

    groups, places = await asyncio.to_thread(read) if rows else ([], [])
    return [
        Complaint(number or 0, contact, opened, reason, named, same)
        for (number, contact, opened, reason, _), same, named in zip(rows, groups, places, strict=True)
    ]
