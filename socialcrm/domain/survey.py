"""Surveys: asked once for each resolution."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import key_column, ref_column, text_column, time_column


class ResolutionSurvey(StrEnum):
    """Whether a resolution still has to be followed by a survey."""

    DUE = "due"
    SENT = "sent"
    SKIPPED = "skipped"


class Resolution(SQLModel, table=True):
    """A conversation was resolved: by whom, for which team, when. A reopened one can be resolved again."""

    __table_args__ = (
        Index(
            "ix_resolution_due",
            "resolved_at",
            sqlite_where=sql("survey = 'due'"),
            postgresql_where=sql("survey = 'due'"),
        ),
    )

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    agent_id: int | None = ref_column("agent.id", default=None)
    team_id: int | None = ref_column("team.id", default=None)
    resolved_at: datetime = time_column()
    survey: str = ResolutionSurvey.DUE


class Survey(SQLModel, table=True):
    """A CSAT invitation (1-5) and its answer; agent, team and channel are kept as they were at sending."""

    __table_args__ = (Index("ix_survey_sent", "sent_at", "id"),)

    id: int | None = key_column()
    token: str = Field(unique=True)
    """In the link and in the buttons' values; cannot be guessed."""
    resolution_id: int = ref_column("resolution.id", unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    contact_id: int = ref_column("contact.id", is_indexed=True)
    channel_id: int = ref_column("channel.id")
    agent_id: int | None = ref_column("agent.id", default=None)
    team_id: int | None = ref_column("team.id", default=None)
    language: str
    sent_at: datetime = time_column()
    expires_at: datetime = time_column()
    score: int | None = None
    answered_at: datetime | None = time_column(default=None)
    comment: str = text_column(default="")
    commented_at: datetime | None = time_column(default=None)


def is_closed(survey: Survey, now: datetime) -> bool:
    """Whether a score can no longer be given."""
    return survey.answered_at is not None or now >= survey.expires_at
