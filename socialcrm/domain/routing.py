"""Who gets a conversation, and why: a pure function of the conversation, the people who are here, and the settings."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import SQLModel

from connectors.base import MessageKind
from socialcrm.domain.columns import empty_dict, json_column, key_column, ref_column, time_column
from socialcrm.domain.people import Presence
from socialcrm.domain.priority import Weights

CHATS, COMMENTS = "chats", "comments"
Count = Field(ge=0, le=10_000)


class Routing(BaseModel):
    """How work is given out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Weights = Weights()
    chats: int = Field(default=4, ge=0, le=1000)
    """Private conversations that an agent has at once."""
    comments: int = Field(default=10, ge=0, le=1000)
    """Public ones, counted apart."""
    apart: dict[str, int] = {}
    """Kind of channel -> how many of its conversations, private or public, counted apart from all others."""
    default_team_id: int | None = None
    """Who gets what no rule gave to a team; None: it waits for people to take it."""
    stick_days: float = Field(default=14, ge=0, le=3650)
    """Who looked after a person within these days gets them again; 0: nobody does."""
    language_minutes: float = Field(default=5, ge=0, le=100_000)
    """So long a conversation waits for somebody who speaks its language; then anybody will do."""
    skill_minutes: float = Field(default=30, ge=0, le=100_000)
    """The same for somebody with the skill that a rule asked for."""
    silent_minutes: float = Field(default=60, ge=0, le=100_000)
    """An agent who is here and leaves a customer waiting for so long loses the conversation; 0: never."""
    away_minutes: float = Field(default=20, ge=0, le=100_000)
    offline_minutes: float = Field(default=5, ge=0, le=100_000)
    """The same for one who is away or offline; 0: never."""
    gone_minutes: float = Field(default=30, ge=0, le=100_000)
    """Somebody whose browser has not been heard of for so long counts as offline; 0: never."""

    def bucket(self, connector: str, kind: str) -> str:
        """What a conversation counts as."""
        if connector in self.apart:
            return connector
        return CHATS if kind == MessageKind.DIRECT_MESSAGE else COMMENTS

    def limit(self, bucket: str, own: Mapping[str, int]) -> int:
        """How many of a kind somebody has at once, whose own limits win."""
        shared = {CHATS: self.chats, COMMENTS: self.comments, **self.apart}
        return own.get(bucket, shared.get(bucket, 0))


class RoutingVersion(SQLModel, table=True):
    """The settings as somebody saved them; the newest are in force."""

    __tablename__ = "routing"

    id: int | None = key_column()
    body: dict[str, Any] = json_column(default_factory=empty_dict)
    changed_at: datetime = time_column()
    changed_by: int | None = ref_column("agent.id", default=None)


class BulkMove(SQLModel, table=True):
    """What a supervisor did to several conversations at once, and how they were before, so that it can be undone."""

    __tablename__ = "bulk_move"

    id: int | None = key_column()
    agent_id: int = ref_column("agent.id")
    at: datetime = time_column()
    deed: str
    before: dict[str, Any] = json_column(default_factory=empty_dict)
    """Conversation's number -> the columns that were changed, and to what: {"was": {…}, "is": {…}}."""
    undone_at: datetime | None = time_column(default=None)


@dataclass(frozen=True)
class Need:
    """What a conversation asks of who gets it."""

    team_id: int | None
    bucket: str
    language: str = ""
    skill: str = ""
    wanted_agent_id: int | None = None
    known_agent_id: int | None = None
    """Who looked after this person last."""
    avoided_agent_id: int | None = None
    waited: timedelta = timedelta()


@dataclass
class Seat:
    """Somebody who is here: what they can do, and how busy they are."""

    agent_id: int
    name: str
    team_ids: Collection[int]
    languages: Collection[str] = ()
    """None given: any."""
    skills: Collection[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    given_at: float = 0.0
    """When they last got work, as a timestamp."""

    def has_room(self, bucket: str) -> bool:
        """Whether they can take one more of a kind."""
        return self.busy.get(bucket, 0) < self.limits.get(bucket, 0)

    def load(self, bucket: str) -> float:
        """How full they are of a kind, from 0 to 1."""
        return self.busy.get(bucket, 0) / max(self.limits.get(bucket, 0), 1)

    def speaks(self, language: str) -> bool:
        """Whether they answer in a language."""
        return not self.languages or language in self.languages or language in ("", "other")

    def give(self, bucket: str, now: datetime) -> None:
        """One more."""
        self.busy[bucket] = self.busy.get(bucket, 0) + 1
        self.given_at = now.timestamp()


@dataclass(frozen=True)
class Overflow:
    """Who helps a team out, and when."""

    team_id: int
    after: timedelta


@dataclass(frozen=True)
class Choice:
    """Who gets it, and why in codes: `wanted`, `known`, `skill:…`, `language:…`, `overflow:<team>`, then what decided
    between those who were equal so far: `only`, `least_busy`, `longest_idle`. Nobody, with the reason, where `seat` is
    None: `avoided`, `absent`, `full`, `no_skill:…`, `no_language:…`."""

    seat: Seat | None
    why: tuple[str, ...]


def choose(need: Need, seats: Sequence[Seat], routing: Routing, overflows: Mapping[int, Overflow]) -> Choice:
    """The best of those who are here and have room: wanted by a rule, known to the customer, speaking their language,
    least busy, longest without new work; in this order."""
    own = [s for s in seats if need.team_id in s.team_ids]
    choice = _among(need, own, routing)
    helped = overflows.get(need.team_id) if need.team_id is not None else None
    if choice.seat or helped is None or need.waited < helped.after:
        return choice
    other = _among(need, [s for s in seats if helped.team_id in s.team_ids and s not in own], routing)
    return Choice(other.seat, (f"overflow:{helped.team_id}", *other.why)) if other.seat else choice


def _among(need: Need, seats: Sequence[Seat], routing: Routing) -> Choice:
    if not seats:
        return Choice(None, ("absent",))
    allowed = [s for s in seats if s.agent_id != need.avoided_agent_id]
    if not allowed:
        return Choice(None, ("avoided",))
    why: list[str] = []
    able = allowed
    if need.skill:
        able = [s for s in allowed if need.skill in s.skills]
        if able and any(s.has_room(need.bucket) for s in able):
            why.append(f"skill:{need.skill}")
        elif need.waited < timedelta(minutes=routing.skill_minutes):
            return Choice(None, (f"no_skill:{need.skill}",))
        else:
            able = allowed
            why.append(f"without_skill:{need.skill}")
    speaking = [s for s in able if s.speaks(need.language)]
    if need.waited < timedelta(minutes=routing.language_minutes):
        if not speaking:
            return Choice(None, (f"no_language:{need.language}",))
        able = speaking
    free = [s for s in able if s.has_room(need.bucket)]
    if not free:
        return Choice(None, ("full",))
    ranked = sorted(free, key=lambda s: _rank(need, s))
    best = ranked[0]
    return Choice(best, (*why, *_why(need, best, ranked[1:])))


def _rank(need: Need, seat: Seat) -> tuple[bool, bool, bool, float, float, int]:
    return (
        seat.agent_id != need.wanted_agent_id,
        seat.agent_id != need.known_agent_id,
        not seat.speaks(need.language),
        seat.load(need.bucket),
        seat.given_at,
        seat.agent_id,
    )


def _why(need: Need, best: Seat, others: Sequence[Seat]) -> list[str]:
    why = []
    if best.agent_id == need.wanted_agent_id:
        why.append("wanted")
    if best.agent_id == need.known_agent_id:
        why.append("known")
    if need.language and best.languages and need.language in best.languages:
        why.append(f"language:{need.language}")
    elif not best.speaks(need.language):
        why.append(f"without_language:{need.language}")
    if not others:
        return [*why, "only"]
    if _rank(need, best)[:3] < _rank(need, others[0])[:3]:
        return why
    return [*why, "least_busy" if best.load(need.bucket) < others[0].load(need.bucket) else "longest_idle"]


def leaves(
    presence: str, is_active: bool, waiting_since: datetime, has_others: bool, routing: Routing, now: datetime
) -> str:
    """Why an agent loses a conversation whose customer waits since then: `inactive`, `offline:…`, `away:…` or
    `silent:…` with the minutes; empty when they keep it. Only who left loses it where nobody else is here."""
    waited = (now - waiting_since) / timedelta(minutes=1)
    if not is_active:
        return "inactive"
    limits = {Presence.OFFLINE: routing.offline_minutes, Presence.AWAY: routing.away_minutes}
    if presence in limits:
        limit = limits[Presence(presence)]
        return f"{presence}:{int(waited)}" if limit and waited >= limit else ""
    is_silent = routing.silent_minutes and waited >= routing.silent_minutes and has_others
    return f"silent:{int(waited)}" if is_silent else ""
