"""Promises: calendars, policies and due times"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time(name: str, *, is_empty: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=is_empty)


def _ref(name: str, target: str, *, is_empty: bool = False) -> sa.Column[object]:
    return sa.Column(name, BIG, sa.ForeignKey(target), nullable=is_empty)


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "calendar",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        _time("changed_at", is_empty=False),
        _time("removed_at"),
    )
    op.create_table(
        "team_calendar",
        sa.Column("team_id", BIG, sa.ForeignKey("team.id"), primary_key=True),
        _ref("calendar_id", "calendar.id"),
    )
    op.create_index("ix_team_calendar_calendar_id", "team_calendar", ["calendar_id"])
    op.create_table(
        "sla_policy",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _time("changed_at", is_empty=False),
        _time("removed_at"),
    )
    op.create_table(
        "edition",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("row_id", BIG, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        _ref("agent_id", "agent.id", is_empty=True),
        _time("at", is_empty=False),
        sa.UniqueConstraint("kind", "row_id", "version"),
    )
    op.create_table(
        "sla",
        sa.Column("id", BIG, primary_key=True),
        _ref("conversation_id", "conversation.id"),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        _ref("policy_id", "sla_policy.id"),
        _ref("calendar_id", "calendar.id", is_empty=True),
        _ref("channel_id", "channel.id"),
        _ref("team_id", "team.id", is_empty=True),
        _ref("agent_id", "agent.id", is_empty=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("target_seconds", sa.Integer(), nullable=False),
        _time("started_at", is_empty=False),
        _time("due_at"),
        _time("risk_at"),
        _time("ended_at"),
        _time("breached_at"),
        sa.Column("business_seconds", sa.Integer(), nullable=False),
        sa.Column("wall_seconds", sa.Integer(), nullable=False),
        sa.Column("paused_seconds", sa.Integer(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        _time("next_at"),
        sa.Column("next_percent", sa.Integer(), nullable=False),
        _time("computed_at", is_empty=False),
        sa.UniqueConstraint("conversation_id", "measure", "place"),
    )
    told = sa.text("next_at IS NOT NULL")
    op.create_index("ix_sla_next", "sla", ["next_at", "id"], sqlite_where=told, postgresql_where=told)
    op.create_index("ix_sla_started", "sla", ["started_at", "id"])
    op.create_table(
        "sla_stale",
        sa.Column("conversation_id", BIG, sa.ForeignKey("conversation.id"), primary_key=True),
        sa.Column("is_forced", sa.Boolean(), nullable=False),
        sa.Column("is_quiet", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "sla_cursor",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("change_id", BIG, nullable=False),
        _time("followed_at", is_empty=False),
    )
    op.create_table(
        "notice",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        _ref("agent_id", "agent.id"),
        _ref("conversation_id", "conversation.id"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        _time("at", is_empty=False),
        _time("seen_at"),
    )
    op.create_index("ix_notice_conversation_id", "notice", ["conversation_id"])
    unseen = sa.text("seen_at IS NULL")
    op.create_index("ix_notice_unseen", "notice", ["agent_id", "id"], sqlite_where=unseen, postgresql_where=unseen)
    op.create_table(
        "escalation",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        _ref("conversation_id", "conversation.id"),
        sa.Column("tell", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        _time("at", is_empty=False),
        _time("due_at"),
        _time("sent_at"),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
    )
    op.create_index("ix_escalation_conversation_id", "escalation", ["conversation_id"])
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_escalation_due", "escalation", ["due_at", "id"], sqlite_where=due, postgresql_where=due)


def downgrade() -> None:
    """Go down."""
    for name in (
        "escalation",
        "notice",
        "sla_cursor",
        "sla_stale",
        "sla",
        "edition",
        "sla_policy",
        "team_calendar",
        "calendar",
    ):
        op.drop_table(name)
