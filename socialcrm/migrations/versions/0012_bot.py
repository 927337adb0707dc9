"""The bot: menus, flows and call-backs"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "flow",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("version_id", BIG, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "flow_version",
        sa.Column("id", BIG, nullable=False),
        sa.Column("flow_id", BIG, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("agent_id", BIG, nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["flow_id"], ["flow.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow_id", "version"),
    )
    op.create_table(
        "bot_turn",
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("first_message_id", BIG, nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.ForeignKeyConstraint(["first_message_id"], ["message.id"]),
        sa.PrimaryKeyConstraint("conversation_id"),
    )
    op.create_index("ix_bot_turn_due_at", "bot_turn", ["due_at"])
    op.create_table(
        "bot_session",
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("version_id", BIG, nullable=True),
        sa.Column("kept", sa.JSON(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("said_count", sa.Integer(), nullable=False),
        sa.Column("question_key", sa.String(), nullable=False),
        sa.Column("picked", sa.String(), nullable=False),
        sa.Column("is_invited", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.ForeignKeyConstraint(["version_id"], ["flow_version.id"]),
        sa.PrimaryKeyConstraint("conversation_id"),
    )
    op.create_table(
        "call_back",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("contact_id", BIG, nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("agent_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"]),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    is_open = sa.text("status = 'open'")
    op.create_index("ix_call_back_open", "call_back", ["due_at"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_call_back_conversation_id", "call_back", ["conversation_id"])
    op.create_index("ix_call_back_contact_id", "call_back", ["contact_id"])
    op.create_table(
        "bot_plan",
        sa.Column("id", BIG, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("agent_id", BIG, nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "faq_measure",
        sa.Column("id", BIG, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("curve", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model", "content"),
    )


def downgrade() -> None:
    """Go down."""
    for name in ("faq_measure", "bot_plan", "call_back", "bot_session", "bot_turn", "flow_version", "flow"):
        op.drop_table(name)
