"""Promises computed from what happened: the messages and events of a conversation, replayed in the order in which we
knew of them. The same log, calendar and policy always give the same due times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from socialcrm.domain.calendar import DAY, Calendar, Hours
from socialcrm.domain.conversation import EventKind
from socialcrm.domain.message import AuthorKind, Delivery, Direction
from socialcrm.domain.sla import RISK, Measure, Pause, Policy, SlaStatus

ALWAYS = Calendar(ZoneInfo("UTC"), tuple((Hours(0, DAY),) for _ in range(7)))
"""All hours: where there is no calendar."""
PERSON = (AuthorKind.AGENT, AuthorKind.SELF)


@dataclass(frozen=True)
class Said:
    """What the replay needs of a message."""

    id: int
    direction: str
    author_kind: str
    sent_at: datetime
    received_at: datetime
    is_late: bool = False
    is_found: bool = False
    is_choice: bool = False
    delivery: str = ""
    agent_id: int | None = None

    @property
    def known_at(self) -> datetime:
        """When we knew of it."""
        return self.received_at if self.direction == Direction.IN else self.sent_at


@dataclass(frozen=True)
class Happened:
    """What the replay needs of an event."""

    id: int
    kind: str
    at: datetime
    by: int | None = None
    waits_for: str = ""
    """Of a pause: why."""

    @property
    def known_at(self) -> datetime:
        """When it happened."""
        return self.at


@dataclass
class Span:
    """One promise: from when to when, and while what it stood still."""

    measure: Measure
    place: int
    started_at: datetime
    ended_at: datetime | None = None
    is_kept: bool = False
    """Ended by what was promised, and not because it was no longer needed."""
    by: int | None = None
    """The agent who ended it."""
    pauses: list[tuple[datetime, datetime | None]] = field(default_factory=list)

    def pause(self, at: datetime) -> None:
        """Stop the clock."""
        if self.ended_at is None and not self.is_paused:
            self.pauses.append((max(at, self.started_at), None))

    def go_on(self, at: datetime) -> None:
        """Let the clock go on."""
        if self.is_paused:
            began = self.pauses[-1][0]
            self.pauses[-1] = (began, max(at, began))

    def end(self, at: datetime, by: int | None, *, is_kept: bool) -> None:
        """End it."""
        if self.ended_at is None:
            self.go_on(at)
            self.ended_at, self.by, self.is_kept = max(at, self.started_at), by, is_kept

    @property
    def is_paused(self) -> bool:
        """Whether its clock stands still."""
        return bool(self.pauses) and self.pauses[-1][1] is None

    def running(self, until: datetime) -> Iterable[tuple[datetime, datetime]]:
        """The stretches in which its clock ran, until it ended or until a time."""
        at = self.started_at
        for began, ended in self.pauses:
            if began > at:
                yield at, began
            if ended is None:
                return
            at = ended
        last = self.ended_at if self.ended_at is not None else until
        if last > at:
            yield at, last


@dataclass(frozen=True)
class Outcome:
    """What a promise is worth at a time."""

    status: SlaStatus
    due_at: datetime | None
    risk_at: datetime | None
    breached_at: datetime | None
    business: timedelta
    wall: timedelta
    paused: timedelta


@dataclass
class _Replay:
    policy: Policy
    spans: list[Span] = field(default_factory=list)
    is_answered: bool = False
    is_bot: bool = True
    """Answers of the bot count, where the policy says so: until it handed the conversation over."""
    is_open: bool = False
    waits_for: Pause | None = None
    """What the conversation is set to wait for."""

    def last(self, measure: Measure) -> Span | None:
        """The newest promise of a kind, if it has not ended."""
        found = next((s for s in reversed(self.spans) if s.measure is measure), None)
        return found if found and found.ended_at is None else None

    def begin(self, measure: Measure, at: datetime) -> None:
        """Start the clock of a promise that is made and does not run yet."""
        if measure not in self.policy.targets or self.last(measure):
            return
        place = sum(s.measure is measure for s in self.spans)
        span = Span(measure, place, at)
        self.spans.append(span)
        if self.waits_for in self.policy.pauses:
            span.pause(at)

    def response(self) -> Span | None:
        """The answer that the customer waits for."""
        return self.last(Measure.FIRST_RESPONSE) or self.last(Measure.NEXT_RESPONSE)

    def customer_writes(self, at: datetime) -> None:
        """A message that waits for an answer. It ends whatever the conversation was set to wait for."""
        self.waits_for = None
        for span in self.spans:
            span.go_on(at)
        if not self.is_open:  # what follows a resolution brings a promise only when it reopens the conversation
            return
        if not self.response():
            self.begin(Measure.NEXT_RESPONSE if self.is_answered else Measure.FIRST_RESPONSE, at)
        self.begin(Measure.RESOLUTION, at)

    def we_answer(self, at: datetime, by: int | None) -> None:
        """An answer of ours."""
        self.is_answered = True
        if span := self.response():
            span.end(at, by, is_kept=True)
        resolution = self.last(Measure.RESOLUTION)
        if resolution and Pause.ANSWERED in self.policy.pauses:
            resolution.pause(at)

    def handed_over(self, at: datetime) -> None:
        """The bot gave it to people: from now on the customer waits for one of them."""
        self.is_bot = False
        if self.is_open and not self.response() and self.is_answered and self.policy.has_bot_answers:
            self.begin(Measure.NEXT_RESPONSE, at)

    def wait(self, reason: str, at: datetime) -> None:
        """The conversation is set to wait."""
        if reason not in list(Pause):
            return
        self.waits_for = Pause(reason)
        if self.waits_for in self.policy.pauses:
            for span in self.spans:
                span.pause(at)

    def go_on(self, at: datetime) -> None:
        """It waits no longer."""
        if self.waits_for is None:
            return
        self.waits_for = None
        for span in self.spans:
            span.go_on(at)

    def resolved(self, at: datetime, by: int | None) -> None:
        """Everything ends; an answer that nobody gave was not needed."""
        self.is_open, self.waits_for = False, None
        if span := self.response():
            span.end(at, by, is_kept=False)
        if resolution := self.last(Measure.RESOLUTION):
            resolution.end(at, by, is_kept=True)

    def reopened(self, at: datetime, *, by_customer: bool) -> None:
        """A new promise of a resolution, and of an answer when the customer asked for it."""
        self.go_on(at)
        if self.is_open:
            return
        self.is_open = True
        self.begin(Measure.RESOLUTION, at)
        if by_customer:
            self.begin(Measure.NEXT_RESPONSE if self.is_answered else Measure.FIRST_RESPONSE, at)


def spans(policy: Policy, messages: Iterable[Said], events: Iterable[Happened]) -> Sequence[Span]:
    """The promises of one conversation, in the order in which they began.

    Left out are messages that came late, as nobody could have answered them in time, that only a watched word found, or
    that only chose among answers to a question of ours; and answers of ours that did not arrive. A clock starts when
    the customer wrote, but not before what we last did.
    """
    happened = list(events)
    replay, last_done, last_heard = _Replay(policy), datetime.min.replace(tzinfo=UTC), None
    replay.is_open = any(event.kind == EventKind.OPENED for event in happened)  # written just after the first message
    log: list[Said | Happened] = [*messages, *happened]
    for entry in sorted(log, key=lambda e: (e.known_at, isinstance(e, Happened), e.id)):
        if isinstance(entry, Happened):
            match entry.kind:
                case EventKind.PAUSED:
                    replay.wait(entry.waits_for, entry.at)
                case EventKind.RESOLVED:
                    replay.resolved(entry.at, entry.by)
                    last_heard = None
                case EventKind.REOPENED:
                    replay.reopened(entry.at, by_customer=last_heard is not None)
                case EventKind.HANDED_OVER:
                    replay.handed_over(entry.at)
                case EventKind.RESUMED:
                    replay.go_on(entry.at)
            if entry.kind in (EventKind.RESOLVED, EventKind.REOPENED):
                last_done = entry.at
        elif entry.direction == Direction.IN and entry.author_kind == AuthorKind.CONTACT:
            if not (entry.is_late or entry.is_found or entry.is_choice):
                replay.customer_writes(max(min(entry.sent_at, entry.received_at), last_done))
                last_heard = entry.sent_at
        elif entry.direction == Direction.OUT and entry.delivery != Delivery.FAILED:
            is_bot = entry.author_kind == AuthorKind.BOT and policy.has_bot_answers and replay.is_bot
            if entry.author_kind in PERSON or is_bot:
                replay.we_answer(entry.sent_at, entry.agent_id)
                last_done = max(last_done, entry.sent_at)
    return replay.spans


def outcome(span: Span, calendar: Calendar, target: timedelta, now: datetime) -> Outcome:
    """What a promise is worth at `now`, by working time outside of its pauses."""
    due = moment(span, calendar, target, now)
    end = span.ended_at or now
    stretches = list(span.running(end))
    business = sum((calendar.working_between(a, b) for a, b in stretches), timedelta())
    wall = max(end - span.started_at, timedelta())
    paused = max(wall - sum((b - a for a, b in stretches), timedelta()), timedelta())
    is_over = due is not None and due < end
    if span.ended_at is not None:
        kept = SlaStatus.MET if span.is_kept else SlaStatus.DROPPED
        status = SlaStatus.LATE if is_over else kept
    else:
        is_over = due is not None and due <= now
        status = SlaStatus.PAUSED if span.is_paused else SlaStatus.RUNNING
    risk = moment(span, calendar, target * RISK / 100, now)
    return Outcome(status, due, risk, due if is_over else None, business, wall, paused)


def moment(span: Span, calendar: Calendar, length: timedelta, now: datetime) -> datetime | None:
    """When so much working time of a promise is over, or will be if nothing stops its clock; None while something
    does. Of one that ended earlier: when it would have been."""
    left = length
    at = span.started_at
    open_end = replace(span, ended_at=None, pauses=list(span.pauses))
    for start, end in open_end.running(datetime.max.replace(tzinfo=UTC)):
        if end.year >= 9999:
            return calendar.add_working(start, left)
        passed = calendar.working_between(start, end)
        if passed >= left:
            return calendar.add_working(start, left)
        left -= passed
        at = end
    return None if span.is_paused else calendar.add_working(at, left)


def next_moment(
    span: Span, calendar: Calendar, target: timedelta, percents: Sequence[int], told: int, now: datetime
) -> tuple[datetime, int] | None:
    """When somebody has to be told next of a promise that runs, and of how much of its time: the first percentage
    after `told`, or the highest of several that are over. None when none is left, or it stands still."""
    found: tuple[datetime, int] | None = None
    for percent in percents:
        if percent <= told:
            continue
        at = moment(span, calendar, target * percent / 100, now)
        if at is None or (found is not None and at > now):
            break
        found = (at, percent)
        if at > now:
            break
    return found
