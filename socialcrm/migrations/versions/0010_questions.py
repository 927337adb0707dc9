"""Questions asked in a conversation, and surveys of every kind"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
REFERENCES = {"form_id": "survey_form", "comment_message_id": "message"}
COLUMNS: tuple[Callable[[], sa.Column[Any]], ...] = (
    lambda: sa.Column("is_by_bot", sa.Boolean(), nullable=False, server_default=sa.false()),
    lambda: sa.Column("form_version", sa.Integer(), nullable=False, server_default="0"),
    lambda: sa.Column("kind", sa.String(), nullable=False, server_default="csat"),
    lambda: sa.Column("remind_at", TIME, nullable=True),
    lambda: sa.Column("reminded_at", TIME, nullable=True),
    lambda: sa.Column("answers", sa.JSON(), nullable=False, server_default=sa.text("'{}'")),
    lambda: sa.Column("completed_at", TIME, nullable=True),
    lambda: sa.Column("comment_until_at", TIME, nullable=True),
)
"""What a survey has beside its references."""


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "question",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", BIG, nullable=False),
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("channel_id", BIG, nullable=False),
        sa.Column("contact_id", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("takes_text", sa.Boolean(), nullable=False),
        sa.Column("is_multiple", sa.Boolean(), nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("is_aside", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("message_id", BIG, nullable=True),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("answered_at", TIME, nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answer_message_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["answer_message_id"], ["message.id"]),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"]),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sa.UniqueConstraint("token"),
    )
    is_open = sa.text("answered_at IS NULL")
    op.create_index(
        "ix_question_open", "question", ["contact_id", "channel_id"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_question_subject", "question", ["kind", "subject_id"])
    op.create_index("ix_question_conversation_id", "question", ["conversation_id"])
    op.add_column("message", sa.Column("question_id", BIG, nullable=True))
    op.add_column("message", sa.Column("is_choice", sa.Boolean(), nullable=False, server_default=sa.false()))
    _forms()
    _surveys()


def _forms() -> None:
    op.create_table(
        "survey_form",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by_id", BIG, nullable=True),
        sa.Column("deleted_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["changed_by_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "survey_form_version",
        sa.Column("form_id", BIG, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["changed_by_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["form_id"], ["survey_form.id"]),
        sa.PrimaryKeyConstraint("form_id", "version"),
    )


def _surveys() -> None:
    op.drop_index("ix_resolution_due", "resolution")
    op.add_column("resolution", sa.Column("survey_after_at", TIME, nullable=True))
    op.add_column("resolution", sa.Column("survey_reason", sa.String(), nullable=False, server_default=""))
    is_due = sa.text("survey = 'due'")
    op.create_index(
        "ix_resolution_due", "resolution", ["survey_after_at"], sqlite_where=is_due, postgresql_where=is_due
    )
    kind = "BIGINT" if op.get_bind().dialect.name == "postgresql" else "INTEGER"
    for name, table in REFERENCES.items():  # in SQL, because on SQLite Alembic would copy the whole table for them
        op.execute(f"ALTER TABLE survey ADD COLUMN {name} {kind} REFERENCES {table} (id)")
    for column in COLUMNS:
        op.add_column("survey", column())
    op.execute("UPDATE survey SET completed_at = answered_at")
    op.create_index("ix_survey_contact_sent", "survey", ["contact_id", "sent_at"])
    has_reminder = sa.text("remind_at IS NOT NULL")
    op.create_index(
        "ix_survey_remind", "survey", ["remind_at"], sqlite_where=has_reminder, postgresql_where=has_reminder
    )
    op.create_table(
        "low_score",
        sa.Column("id", BIG, nullable=False),
        sa.Column("survey_id", BIG, nullable=False),
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("wants_call", sa.Boolean(), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("told_at", TIME, nullable=True),
        sa.Column("done_at", TIME, nullable=True),
        sa.Column("done_by_id", BIG, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.ForeignKeyConstraint(["done_by_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["survey_id"], ["survey.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("survey_id"),
    )
    is_open = sa.text("done_at IS NULL")
    op.create_index("ix_low_score_open", "low_score", ["made_at"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_low_score_conversation_id", "low_score", ["conversation_id"])


def downgrade() -> None:
    """Go down."""
    op.drop_table("low_score")
    op.drop_index("ix_survey_remind", "survey")
    op.drop_index("ix_survey_contact_sent", "survey")
    with op.batch_alter_table("survey") as batch_op:
        for name in (*REFERENCES, *(column().name for column in COLUMNS)):
            batch_op.drop_column(name)
    op.drop_index("ix_resolution_due", "resolution")
    op.drop_column("resolution", "survey_reason")
    op.drop_column("resolution", "survey_after_at")
    is_due = sa.text("survey = 'due'")
    op.create_index("ix_resolution_due", "resolution", ["resolved_at"], sqlite_where=is_due, postgresql_where=is_due)
    op.drop_table("survey_form_version")
    op.drop_table("survey_form")
    op.drop_column("message", "is_choice")
    op.drop_column("message", "question_id")
    op.drop_table("question")
