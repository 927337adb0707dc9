"""Surveys: asked once for each resolution, and what became of each."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import empty_dict, json_column, key_column, ref_column, text_column, time_column


class ResolutionSurvey(StrEnum):
    """Whether a resolution still has to be followed by a survey."""

    DUE = "due"
    SENT = "sent"
    SKIPPED = "skipped"


class Skipped(StrEnum):
    """Why nobody was asked after a resolution."""

    OFF = "off"
    REOPENED = "reopened"
    BOT = "bot"
    """The other side is a program."""
    NO_FORM = "no_form"
    """No survey that is on is meant for it."""
    SAMPLED_OUT = "sampled_out"
    ASKED_RECENTLY = "asked_recently"
    """The person had a survey not long ago, on whatever channel."""
    PUBLIC = "public"
    """It was public, and the channel cannot write to the person in private."""
    STOPPED = "stopped"
    """The person asked us never to write there."""
    WINDOW = "window"
    """The channel takes no text of ours any more."""
    EMPTY = "empty"
    """The survey has no question in any language."""


class Resolution(SQLModel, table=True):
    """A conversation was resolved: by whom, for which team, when. A reopened one can be resolved again."""

    __table_args__ = (
        Index(
            "ix_resolution_due",
            "survey_after_at",
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
    survey_after_at: datetime | None = time_column(default=None)
    """When the survey is due; empty until its delay was looked at."""
    survey_reason: str = ""
    """Why there was none: a word of `Skipped`."""


class SurveyForm(SQLModel, table=True):
    """A survey as an admin made it; the questions of a version that was sent never change."""

    __tablename__ = "survey_form"

    id: int | None = key_column()
    name: str
    is_on: bool = False
    position: int = 0
    """The first one that is on and meant for a conversation is sent after it."""
    version: int = 1
    body: dict[str, Any] = json_column(default_factory=empty_dict)
    """See `domain.survey_form.Form`."""
    changed_at: datetime = time_column()
    changed_by_id: int | None = ref_column("agent.id", default=None)
    deleted_at: datetime | None = time_column(default=None)


class SurveyFormVersion(SQLModel, table=True):
    """What a survey was at a time: who changed it, and how it reads to those who got it then."""

    __tablename__ = "survey_form_version"

    form_id: int = ref_column("survey_form.id", primary_key=True)
    version: int = Field(primary_key=True)
    name: str
    body: dict[str, Any] = json_column(default_factory=empty_dict)
    changed_at: datetime = time_column()
    changed_by_id: int | None = ref_column("agent.id", default=None)


class Survey(SQLModel, table=True):
    """An invitation and its answers; agent, team, bot and channel are kept as they were at sending."""

    __table_args__ = (
        Index("ix_survey_sent", "sent_at", "id"),
        Index("ix_survey_contact_sent", "contact_id", "sent_at"),
        Index(
            "ix_survey_remind",
            "remind_at",
            sqlite_where=sql("remind_at IS NOT NULL"),
            postgresql_where=sql("remind_at IS NOT NULL"),
        ),
    )

    id: int | None = key_column()
    token: str = Field(unique=True)
    """In the link; cannot be guessed."""
    resolution_id: int = ref_column("resolution.id", unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    contact_id: int = ref_column("contact.id", is_indexed=True)
    channel_id: int = ref_column("channel.id")
    agent_id: int | None = ref_column("agent.id", default=None)
    team_id: int | None = ref_column("team.id", default=None)
    is_by_bot: bool = False
    """Nobody but the bot and the rules had answered."""
    form_id: int | None = ref_column("survey_form.id", default=None)
    """None: the standard survey of the settings."""
    form_version: int = 0
    kind: str = "csat"
    language: str
    sent_at: datetime = time_column()
    expires_at: datetime = time_column()
    remind_at: datetime | None = time_column(default=None)
    """When it is asked once more; empty when there is nothing to remind of any more."""
    reminded_at: datetime | None = time_column(default=None)
    score: int | None = None
    """On the scale of its kind; a questionnaire has none."""
    answers: dict[str, Any] = json_column(default_factory=empty_dict)
    """Question -> value; the score is not among them."""
    answered_at: datetime | None = time_column(default=None)
    """The first answer."""
    completed_at: datetime | None = time_column(default=None)
    """The last one."""
    comment: str = text_column(default="")
    commented_at: datetime | None = time_column(default=None)
    comment_until_at: datetime | None = time_column(default=None)
    """A text in the chat until then is the comment."""
    comment_message_id: int | None = ref_column("message.id", default=None)
    """The comment as a message, with its analysis."""


class LowScore(SQLModel, table=True):
    """A low score that somebody should look at, or call about."""

    __tablename__ = "low_score"
    __table_args__ = (
        Index(
            "ix_low_score_open", "made_at", sqlite_where=sql("done_at IS NULL"), postgresql_where=sql("done_at IS NULL")
        ),
    )

    id: int | None = key_column()
    survey_id: int = ref_column("survey.id", unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    wants_call: bool = False
    made_at: datetime = time_column()
    told_at: datetime | None = time_column(default=None)
    """When supervisors were mailed."""
    done_at: datetime | None = time_column(default=None)
    done_by_id: int | None = ref_column("agent.id", default=None)
    note: str = text_column(default="")


def is_closed(survey: Survey, now: datetime) -> bool:
    """Whether nothing can be answered any more."""
    return survey.completed_at is not None or now >= survey.expires_at
