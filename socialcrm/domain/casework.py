"""How a case is worked on: how severe it is, where it may go, and what is due next; pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from socialcrm.domain.case import Case, CaseStatus, Severity
from socialcrm.domain.conversation import Priority
from socialcrm.domain.phrases import says_any

SEVERITIES = tuple(Severity)
MOVES: dict[str, tuple[CaseStatus, ...]] = {
    CaseStatus.OPEN: (CaseStatus.WORKING, CaseStatus.WAITING, CaseStatus.RESOLVED, CaseStatus.CLOSED),
    CaseStatus.WORKING: (CaseStatus.WAITING, CaseStatus.RESOLVED, CaseStatus.CLOSED),
    CaseStatus.WAITING: (CaseStatus.WORKING, CaseStatus.RESOLVED, CaseStatus.CLOSED),
    CaseStatus.RESOLVED: (CaseStatus.WORKING, CaseStatus.CLOSED),
    CaseStatus.CLOSED: (CaseStatus.WORKING,),
}
"""Where a case may go from a status; to WORKING from the last two is reopening."""
ACTIVE = (CaseStatus.OPEN, CaseStatus.WORKING, CaseStatus.WAITING)
"""Somebody has to do something about it, or waits for it."""


class CannotMove(Exception):
    """The case cannot go there; the message is a sentence for the agent."""


@dataclass(frozen=True)
class Signs:
    """What tells how severe a complaint is."""

    words: frozenset[str]
    intent: str = ""
    priority: str = Priority.NORMAL
    earlier_count: int = 0
    """Complaints of the same person within the last weeks."""


def severity_of(signs: Signs, critical_words: tuple[str, ...]) -> tuple[Severity, str]:
    """How severe a complaint is when it is opened, and why: a code that the pages say in words."""
    if says_any(critical_words, signs.words):
        return Severity.CRITICAL, "words"
    if signs.intent == "leaving":
        return Severity.HIGH, "leaving"
    if signs.earlier_count >= 2:
        return Severity.HIGH, "repeated"
    if signs.priority == Priority.URGENT:
        return Severity.HIGH, "urgent"
    if signs.priority == Priority.LOW:
        return Severity.LOW, "low"
    return Severity.NORMAL, ""


def harder(severity: str) -> Severity:
    """The next higher severity; the highest stays."""
    return SEVERITIES[min(SEVERITIES.index(Severity(severity)) + 1, len(SEVERITIES) - 1)]


def check_move(case: Case, status: CaseStatus) -> None:
    """Whether the case may go to a status. Raises CannotMove."""
    if status not in MOVES[case.status]:
        if case.status == CaseStatus.CLOSED:
            raise CannotMove("This complaint is closed: reopen it first.")
        if case.status == status:
            raise CannotMove("Somebody else was quicker: the complaint has this status already.")
        raise CannotMove("The complaint cannot go there from its status.")


class Due(StrEnum):
    """What the `follow` step does with a case, in the order in which it looks."""

    PUBLIC = "public"
    SILENT = "silent"
    REMIND = "remind"
    NOTICE = "notice"
    WARN = "warn"


def plan(case: Case) -> None:
    """Set when `follow` looks at the case next, after something in it changed."""
    times = [at for at in (case.warn_at, case.notice_at, case.remind_at, case.silent_at, case.public_at) if at]
    case.follow_at = min(times) if times else None


def what_is_due(case: Case, now: datetime) -> Due | None:
    """The one thing to do for a case now. What came later makes what came before needless: nobody is reminded whose
    silence closes the case at the same moment, because the server was down in between."""
    for due, at in (
        (Due.PUBLIC, case.public_at),
        (Due.SILENT, case.silent_at),
        (Due.REMIND, case.remind_at),
        (Due.NOTICE, case.notice_at),
        (Due.WARN, case.warn_at),
    ):
        if at is not None and at <= now:
            return due
    return None


def stop_clock(case: Case) -> None:
    """Nothing is due of a case that is asked about, closed or waits for its customer."""
    case.warn_at = case.notice_at = case.remind_at = case.silent_at = case.public_at = None
    plan(case)


def ask_until(case: Case, now: datetime, remind_days: float, silence_days: float) -> None:
    """The customer was asked whether it is solved: when they are reminded, and when their silence closes it."""
    stop_clock(case)
    case.silent_at = now + timedelta(days=silence_days)
    if 0 < remind_days < silence_days:
        case.remind_at = now + timedelta(days=remind_days)
    plan(case)


def is_overdue(case: Case, now: datetime) -> bool:
    """Whether it should be solved by now and is not."""
    return case.status in ACTIVE and case.paused_at is None and case.due_at <= now


def age(case: Case, now: datetime) -> timedelta:
    """How long it has been, or was, open."""
    return (case.closed_at or now) - case.opened_at


@dataclass(frozen=True)
class Ageing:
    """How many cases of a list are how old: up to a day, three days, a week, older."""

    counts: tuple[int, int, int, int]

    @classmethod
    def of(cls, ages: Sequence[timedelta]) -> "Ageing":
        """Count ages into the four."""
        bounds = (timedelta(days=1), timedelta(days=3), timedelta(days=7))
        counts = [0, 0, 0, 0]
        for each in ages:
            counts[sum(each > bound for bound in bounds)] += 1
        return cls((counts[0], counts[1], counts[2], counts[3]))
