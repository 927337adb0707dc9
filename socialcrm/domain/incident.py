"""An incident: one cause behind many complaints, and the news of it that goes to everybody who complained."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from socialcrm.domain.columns import json_column, key_column, ref_column, text_column, time_column


class IncidentStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Incident(SQLModel, table=True):
    """What many cases have in common."""

    __table_args__ = (Index("ix_incident_status", "status", "id"),)

    id: int | None = key_column()
    title: str
    reason: str = ""
    place: str = ""
    """Newer complaints with this reason, and from this place if one is named, are proposed to join it."""
    status: str = IncidentStatus.OPEN
    team_id: int | None = ref_column("team.id", default=None)
    opened_at: datetime = time_column()
    opened_by_id: int | None = ref_column("agent.id", default=None)
    closed_at: datetime | None = time_column(default=None)


class IncidentNews(SQLModel, table=True):
    """A text for everybody whose case belongs to an incident."""

    __tablename__ = "incident_news"

    id: int | None = key_column()
    incident_id: int = ref_column("incident.id", is_indexed=True)
    at: datetime = time_column()
    agent_id: int | None = ref_column("agent.id", default=None)
    texts: dict[str, str] = json_column()
    """By language; a language that is not there falls back, see `text_for`."""
    resolves: bool = False
    """It is over: each customer is asked whether their complaint is solved."""
    is_shown_to_later: bool = True
    """Cases that join the incident afterwards get it too, until there is newer news."""


class TellingStatus(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    SKIPPED = "skipped"


class NewsTelling(SQLModel, table=True):
    """One piece of news for one customer: never twice, however many cases or processes there are."""

    __tablename__ = "news_telling"
    __table_args__ = (
        UniqueConstraint("news_id", "contact_id"),
        Index(
            "ix_news_telling_waiting",
            "id",
            sqlite_where=sql("status = 'waiting'"),
            postgresql_where=sql("status = 'waiting'"),
        ),
    )

    id: int | None = key_column()
    news_id: int = ref_column("incident_news.id")
    contact_id: int = ref_column("contact.id")
    case_id: int = ref_column("complaint_case.id", is_indexed=True)
    status: str = TellingStatus.WAITING
    told_at: datetime | None = time_column(default=None)
    message_id: int | None = ref_column("message.id", default=None)
    reason: str = text_column(default="")
    """Why it was skipped."""


FALLBACKS = {"arq-Arab": ("ar", "fr"), "arq-Latn": ("fr", "ar"), "ar": ("arq-Arab", "fr"), "fr": ("ar",), "en": ("fr",)}
"""Where a language has no text, who speaks it most likely reads these, in this order."""


def text_for(texts: dict[str, str], language: str) -> str:
    """The text of a piece of news for somebody with this language."""
    for name in (language, *FALLBACKS.get(language, ()), *texts):
        if texts.get(name):
            return texts[name]
    return ""


@dataclass(frozen=True)
class Complaint:
    """What the search for incidents knows of one case."""

    case_id: int
    contact_id: int
    opened_at: datetime
    reason: str
    places: tuple[str, ...]
    group: Hashable
    """Equal for complaints that are nearly one text."""


@dataclass(frozen=True)
class Suspicion:
    """Cases that look like one incident, and why: `kind` is place, text or reason."""

    kind: str
    reason: str
    place: str
    case_ids: tuple[int, ...]
    people_count: int
    first_at: datetime
    usual: float = 0.0
    """How many people complain of this reason in a stretch of the same length otherwise."""


def suspect(
    complaints: Sequence[Complaint], usual: dict[str, float], *, least: int, times: float = 3.0
) -> list[Suspicion]:
    """Find what looks like incidents among the complaints of the last hours, the largest first; a case is in one only.

    `least` different people must complain: of one reason from one place, or in nearly the same words; or of one reason
    wherever they are, if that is also `times` as many as usual. The nearest explanation is looked for first.
    """
    by_place: defaultdict[tuple[str, str], list[Complaint]] = defaultdict(list)
    by_text: defaultdict[Hashable, list[Complaint]] = defaultdict(list)
    by_reason: defaultdict[str, list[Complaint]] = defaultdict(list)
    for complaint in complaints:
        by_text[complaint.group].append(complaint)
        if complaint.reason:
            by_reason[complaint.reason].append(complaint)
            for place in complaint.places:
                by_place[complaint.reason, place].append(complaint)
    found: list[Suspicion] = []
    taken: set[int] = set()
    for kind, stacks in (
        ("place", [(key, stack) for key, stack in by_place.items()]),
        ("text", [((_commonest(stack), ""), stack) for stack in by_text.values()]),
        ("reason", [((reason, ""), stack) for reason, stack in by_reason.items()]),
    ):
        for (reason, place), stack in sorted(stacks, key=lambda each: -len(each[1])):
            free = [complaint for complaint in stack if complaint.case_id not in taken]
            people = {complaint.contact_id for complaint in free}
            expected = usual.get(reason, 0.0)
            if len(people) < least or (kind == "reason" and len(people) < times * expected):
                continue
            taken |= {complaint.case_id for complaint in free}
            found.append(
                Suspicion(
                    kind,
                    reason,
                    place,
                    tuple(sorted(complaint.case_id for complaint in free)),
                    len(people),
                    min(complaint.opened_at for complaint in free),
                    expected,
                )
            )
    return sorted(found, key=lambda suspicion: -suspicion.people_count)


def belongs(incident: Incident, complaint: Complaint) -> bool:
    """Whether a newer complaint looks like one more of an incident."""
    if not incident.reason or complaint.reason != incident.reason:
        return False
    return not incident.place or incident.place in complaint.places


def _commonest(stack: Sequence[Complaint]) -> str:
    return Counter(complaint.reason for complaint in stack).most_common(1)[0][0]
