"""What answers are suggested from: the vectors of earlier questions and of the FAQ, and what agents found useless."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import key_column, ref_column, time_column


class Suggestion(SQLModel, table=True):
    """A text that can be found again by likeness, with its vector. Made empty when an agent answers; `engine.suggest`
    fills it in, and again when the model has changed."""

    __table_args__ = (
        Index("ix_suggestion_model", "model", "encoded_at"),
        Index("ix_suggestion_text", "text_hash", "model"),
    )

    id: int | None = key_column()
    message_id: int | None = ref_column("message.id", default=None, unique=True)
    """The agent's answer; its text is what the customer had written. Empty: the text is one of the FAQ."""
    text_hash: str = ""
    """Of the text as it was encoded: the same text is not encoded again."""
    vector: bytes = Field(default=b"", sa_type=LargeBinary)
    """See `nlp.suggest.pack`; empty when nothing is to be suggested from it."""
    model: str = ""
    """Name of the likeness that made the vector; any other than ours waits to be encoded."""
    encoded_at: datetime | None = time_column(default=None)


class Dismissal(SQLModel, table=True):
    """An agent said that a suggestion does not help in a conversation."""

    __table_args__ = (UniqueConstraint("conversation_id", "source"), Index("ix_dismissal_source", "source"))

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    source: str
    """As `engine.suggest.Offer.source`."""
    agent_id: int = ref_column("agent.id")
    made_at: datetime = time_column()
