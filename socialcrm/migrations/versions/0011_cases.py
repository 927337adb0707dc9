"""Complaints that are followed, and incidents"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMES = (
    "acknowledged_at",
    "warn_at",
    "notice_at",
    "remind_at",
    "silent_at",
    "public_at",
    "follow_at",
    "paused_at",
    "resolved_at",
)
WORDS = ("waits_for", "reason", "outcome", "cause", "redress")
TEXTS = ("redress_note", "closure_note")
REFERENCES = (
    ("team_id", "team"),
    ("agent_id", "agent"),
    ("duplicate_of_id", "complaint_case"),
    ("incident_id", "incident"),
)


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "incident",
        sa.Column("id", BIG, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("team_id", BIG, nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by_id", BIG, nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"]),
        sa.ForeignKeyConstraint(["opened_by_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_incident_status", "incident", ["status", "id"])
    _extend_case()
    op.create_table(
        "case_event",
        sa.Column("id", BIG, nullable=False),
        sa.Column("case_id", BIG, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("agent_id", BIG, nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("message_id", BIG, nullable=True),
        sa.Column("untold", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["complaint_case.id"]),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_case_event", "case_event", ["case_id", "id"])
    op.create_index("ix_case_event_kind", "case_event", ["kind", "at"])
    op.create_index("ix_case_event_message_id", "case_event", ["message_id"])
    op.create_table(
        "case_conversation",
        sa.Column("id", BIG, nullable=False),
        sa.Column("case_id", BIG, nullable=False),
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["complaint_case.id"]),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("case_id", "conversation_id"),
    )
    op.create_index("ix_case_conversation_conversation_id", "case_conversation", ["conversation_id"])
    op.execute(
        "INSERT INTO case_conversation (case_id, conversation_id, linked_at) "
        "SELECT id, conversation_id, opened_at FROM complaint_case"
    )
    op.execute(
        "INSERT INTO case_event (case_id, at, kind, data, untold) "
        "SELECT id, opened_at, 'opened', '{}', '' FROM complaint_case"
    )
    op.create_table(
        "incident_news",
        sa.Column("id", BIG, nullable=False),
        sa.Column("incident_id", BIG, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("agent_id", BIG, nullable=True),
        sa.Column("texts", sa.JSON(), nullable=False),
        sa.Column("resolves", sa.Boolean(), nullable=False),
        sa.Column("is_shown_to_later", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_incident_news_incident_id", "incident_news", ["incident_id"])
    op.create_table(
        "news_telling",
        sa.Column("id", BIG, nullable=False),
        sa.Column("news_id", BIG, nullable=False),
        sa.Column("contact_id", BIG, nullable=False),
        sa.Column("case_id", BIG, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message_id", BIG, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["news_id"], ["incident_news.id"]),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"]),
        sa.ForeignKeyConstraint(["case_id"], ["complaint_case.id"]),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("news_id", "contact_id"),
    )
    waiting = sa.text("status = 'waiting'")
    op.create_index("ix_news_telling_case_id", "news_telling", ["case_id"])
    op.create_index("ix_news_telling_waiting", "news_telling", ["id"], sqlite_where=waiting, postgresql_where=waiting)


def _extend_case() -> None:
    table = "complaint_case"
    for name in WORDS:
        op.add_column(table, sa.Column(name, sa.String(), nullable=False, server_default=""))
    for name in TEXTS:
        op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column(table, sa.Column("severity", sa.String(), nullable=False, server_default="normal"))
    op.add_column(table, sa.Column("origin", sa.String(), nullable=False, server_default="detected"))
    for name in ("delay_count", "reopened_count"):
        op.add_column(table, sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    for name in TIMES:
        op.add_column(table, sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in ("due_at", "promised_at"):  # of complaints from before nobody promised more than to look at them
        op.add_column(
            table, sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default="2000-01-01 00:00:00+00")
        )
        op.execute(f"UPDATE {table} SET {name} = opened_at")  # noqa: S608 - a name of ours
    op.execute(f"UPDATE {table} SET acknowledged_at = opened_at")  # noqa: S608
    # In SQL, because on SQLite Alembic would copy the whole table for the sake of the reference.
    kind = "BIGINT" if op.get_bind().dialect.name == "postgresql" else "INTEGER"
    for name, target in REFERENCES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} REFERENCES {target} (id)")
    op.execute(
        f"UPDATE {table} SET team_id = (SELECT c.team_id FROM conversation c WHERE c.id = conversation_id), "  # noqa: S608
        "agent_id = (SELECT c.agent_id FROM conversation c WHERE c.id = conversation_id)"
    )
    op.create_index("ix_case_queue", table, ["status", "due_at", "id"])
    op.create_index("ix_case_opened", table, ["opened_at", "id"])
    op.create_index("ix_case_closed", table, ["closed_at", "id"])
    followed = sa.text("follow_at IS NOT NULL")
    op.create_index("ix_case_follow", table, ["follow_at", "id"], sqlite_where=followed, postgresql_where=followed)
    op.create_index("ix_complaint_case_duplicate_of_id", table, ["duplicate_of_id"])
    op.create_index("ix_complaint_case_incident_id", table, ["incident_id"])


def downgrade() -> None:
    """Go down."""
    for table in ("news_telling", "incident_news", "case_conversation", "case_event"):
        op.drop_table(table)
    table = "complaint_case"
    for index in ("ix_case_queue", "ix_case_opened", "ix_case_closed", "ix_case_follow"):
        op.drop_index(index, table)
    for name in ("duplicate_of_id", "incident_id"):
        op.drop_index(f"ix_complaint_case_{name}", table)
    with op.batch_alter_table(table) as batch_op:
        for name, _ in REFERENCES:
            batch_op.drop_column(name)
        for name in ("due_at", "promised_at", *TIMES, "delay_count", "reopened_count", "severity", "origin"):
            batch_op.drop_column(name)
        for name in (*WORDS, *TEXTS):
            batch_op.drop_column(name)
    op.drop_table("incident")
