"""Agents and teams, and their signed-in browsers."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import BIG, empty_dict, empty_list, json_column, key_column, ref_column, time_column


class Role(StrEnum):
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    ANALYST = "analyst"
    ADMIN = "admin"


class Presence(StrEnum):
    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class Team(SQLModel, table=True):
    id: int | None = key_column()
    key: str = Field(unique=True)
    name: str
    overflow_team_id: int | None = ref_column("team.id", default=None)
    """Whose people help out."""
    overflow_minutes: int = 15
    """After a conversation has waited for so long."""


class Agent(SQLModel, table=True):
    """Somebody who signs in. `locale` is the language of their screens; `languages` what they answer in."""

    id: int | None = key_column()
    email: str = Field(unique=True)
    """In lower case."""
    name: str
    role: str = Role.AGENT
    password_hash: str = ""
    locale: str = "en"
    languages: list[str] = json_column(default_factory=empty_list)
    skills: list[str] = json_column(default_factory=empty_list)
    """What they are good at, in words that rules ask for."""
    capacity: dict[str, int] = json_column(default_factory=empty_dict)
    """Kind of work -> how much at once, where it is not as for everybody."""
    hours: dict[str, str] = json_column(default_factory=empty_dict)
    """Day of the week, "0" being Monday -> "08:00-12:00 13:00-17:00" by the company's clocks. Empty: at any time."""
    presence: str = Presence.OFFLINE
    presence_note: str = ""
    """Why, in a word or two: lunch, training."""
    presence_at: datetime | None = time_column(default=None)
    """Since when."""
    assigned_at: datetime | None = time_column(default=None)
    """Last conversation given by routing: among equals the longest ago is next."""
    is_active: bool = True
    failed_count: int = 0
    locked_until_at: datetime | None = time_column(default=None)
    created_at: datetime = time_column()


class TeamMember(SQLModel, table=True):
    __tablename__ = "team_member"

    team_id: int = Field(primary_key=True, foreign_key="team.id", sa_type=BIG)
    agent_id: int = Field(primary_key=True, foreign_key="agent.id", sa_type=BIG)


class WebSession(SQLModel, table=True):
    """A signed-in browser; the cookie holds a secret of which we keep the hash."""

    __tablename__ = "web_session"

    id: int | None = key_column()
    token_hash: str = Field(unique=True)
    csrf_token: str
    agent_id: int = ref_column("agent.id", is_indexed=True)
    created_at: datetime = time_column()
    seen_at: datetime = time_column()
    expires_at: datetime = time_column()
    browser: str = ""
