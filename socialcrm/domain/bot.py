"""The bot's rows: whose turn it is to speak, where each conversation stands in a flow, and who wants to be called."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from socialcrm.domain.columns import BIG, empty_dict, json_column, key_column, ref_column, text_column, time_column
from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.flow_check import variables


class Why(StrEnum):
    """Why it is the bot's turn."""

    MESSAGE = "message"
    PICKED = "picked"
    """A button was pressed, or a choice named."""
    ASKED_FOR_PERSON = "asked_for_person"
    """The customer wants a person, and has to be told."""


class BotTurn(SQLModel, table=True):
    """The bot may speak in a conversation once it is due: a little after the customer's last message, so that several
    in a row are read as one."""

    __tablename__ = "bot_turn"

    conversation_id: int = Column(primary_key=True, foreign_key="conversation.id", sa_type=BIG)
    first_message_id: int | None = ref_column("message.id", default=None)
    """The first of the messages that nobody has answered; none where a button was pressed."""
    why: str = Why.MESSAGE
    noted_at: datetime = time_column()
    due_at: datetime = time_column(index=True)


class BotSession(SQLModel, table=True):
    """Where the bot stands in a conversation. Without a flow it waits for whatever comes."""

    __tablename__ = "bot_session"

    conversation_id: int = Column(primary_key=True, foreign_key="conversation.id", sa_type=BIG)
    flow: str = ""
    step: str = ""
    """The question that it waits for the answer to."""
    version_id: int | None = ref_column("flow_version.id", default=None)
    """What the flow was when it began; empty of a shipped one."""
    kept: dict[str, str] = json_column(default_factory=empty_dict)
    """Variable -> what the customer answered."""
    tries: int = 0
    said_count: int = 0
    """Texts of the bot in this conversation; numbers their keys."""
    question_key: str = ""
    picked: str = ""
    """The choice that was made and not yet followed."""
    is_invited: bool = False
    """The bot has just asked what they want: the answer to that is no second automatic answer."""
    changed_at: datetime = time_column()


class CallBackStatus(StrEnum):
    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class CallBack(SQLModel, table=True):
    """Somebody wants to be called at a time."""

    __tablename__ = "call_back"
    __table_args__ = (
        Index(
            "ix_call_back_open", "due_at", sqlite_where=sql("status = 'open'"), postgresql_where=sql("status = 'open'")
        ),
    )

    id: int | None = key_column()
    key: str = Column(unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    contact_id: int = ref_column("contact.id", is_indexed=True)
    phone: str
    """E.164."""
    about: str = text_column(default="")
    due_at: datetime = time_column()
    status: str = CallBackStatus.OPEN
    made_at: datetime = time_column()
    done_at: datetime | None = time_column(default=None)
    agent_id: int | None = ref_column("agent.id", default=None)
    """Who called, or took it off the list."""


class FlowRow(SQLModel, table=True):
    """A flow that was written or changed on the page; one that is shipped has none until then."""

    __tablename__ = "flow"

    id: int | None = key_column()
    name: str = Column(unique=True)
    is_on: bool = False
    """Whether it begins by itself; another flow may always lead to it."""
    version_id: int | None = Column(default=None, sa_type=BIG)
    """The newest one; no foreign key, for each would need the other first."""
    version: int = 0
    changed_at: datetime = time_column()


class FlowVersion(SQLModel, table=True):
    """A text of a flow: who wrote it and when. A conversation goes on in the version that it began in."""

    __tablename__ = "flow_version"
    __table_args__ = (UniqueConstraint("flow_id", "version"),)

    id: int | None = key_column()
    flow_id: int = ref_column("flow.id")
    version: int
    source: str = text_column()
    agent_id: int | None = ref_column("agent.id", default=None)
    at: datetime = time_column()


class BotPlanRow(SQLModel, table=True):
    """What an admin decided about the bot; the newest one counts, the others are its history."""

    __tablename__ = "bot_plan"

    id: int | None = key_column()
    body: dict[str, Any] = json_column(default_factory=empty_dict)
    agent_id: int | None = ref_column("agent.id", default=None)
    at: datetime = time_column()


class FaqMeasure(SQLModel, table=True):
    """How right the FAQ's answers were on labelled questions, by the least score that is asked for."""

    __tablename__ = "faq_measure"
    __table_args__ = (UniqueConstraint("model", "content"),)

    id: int | None = key_column()
    model: str
    """Name of the likeness that was measured."""
    content: str
    """Hash of the FAQ and of the labelled questions."""
    curve: dict[str, Any] = json_column(default_factory=empty_dict)
    """As `domain.faq.Curve` writes it."""
    at: datetime = time_column()


class Plan(BaseModel):
    """What the bot does by itself. Nothing that begins a talk is on before an admin says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_on: bool = True
    answers: bool = True
    """From the FAQ."""
    faq_bar: float = Field(default=0.9, ge=0.5, le=1)
    """The least share of right answers among those that the FAQ gave to labelled questions."""
    public_bar: float = Field(default=0.85, ge=0.5, le=1)
    """In public, the least share of messages whose intent was found right ..."""
    public_least: int = Field(default=30, ge=10, le=10_000)
    """... of at least so many that people judged."""
    greets: bool = False
    tells_closed: bool = False
    """Says out of hours when people are back."""
    texts: dict[str, dict[str, str]] = {}
    """Key of a reply -> language -> own words instead of the shipped ones."""

    @field_validator("texts")
    @classmethod
    def _has_known_words(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for key, texts in value.items():
            if key not in TEXTS:
                raise ValueError(f"{key} is no text of the bot")
            for language, text in texts.items():
                if language not in LANGUAGES:
                    raise ValueError(f"there is no language {language}")
                for name in variables(text):
                    if name not in TEXTS[key]:
                        raise ValueError(f"{key} in {language} cannot say {{{name}}}")
        return value


TEXTS: dict[str, tuple[str, ...]] = {
    "greeting": ("company", "name"),
    "out_of_hours": ("company", "name"),
    "opening_line": ("opening",),
    "handover": ("company", "name"),
    "queue_place": ("place",),
    "bot_taken_over": ("agent", "company"),
}
"""The bot's own texts that a page changes, and what each can name."""
