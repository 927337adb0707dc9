"""Suggestions"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_MESSAGE = sa.table(
    "message", sa.column("id"), sa.column("direction"), sa.column("author_kind"), sa.column("answers_id")
)
ANSWERS = (
    sa.table("suggestion", sa.column("message_id"), sa.column("text_hash"), sa.column("vector"), sa.column("model"))
    .insert()
    .from_select(
        ["message_id", "text_hash", "vector", "model"],
        sa.select(_MESSAGE.c.id, sa.literal(""), sa.cast(sa.literal(b""), sa.LargeBinary()), sa.literal(""))
        .where(_MESSAGE.c.direction == "out", _MESSAGE.c.author_kind == "agent", _MESSAGE.c.answers_id.is_not(None))
        .order_by(_MESSAGE.c.id),
    )
)
"""A row, still empty, for each answer that agents gave before."""


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "suggestion",
        sa.Column("id", BIG, nullable=False),
        sa.Column("message_id", BIG, nullable=True),
        sa.Column("text_hash", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("encoded_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    op.create_index("ix_suggestion_model", "suggestion", ["model", "encoded_at"])
    op.create_index("ix_suggestion_text", "suggestion", ["text_hash", "model"])
    op.create_table(
        "dismissal",
        sa.Column("id", BIG, nullable=False),
        sa.Column("conversation_id", BIG, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("agent_id", BIG, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("conversation_id", "source"),
    )
    op.create_index("ix_dismissal_source", "dismissal", ["source"])
    op.execute(ANSWERS)


def downgrade() -> None:
    """Go down."""
    op.drop_table("dismissal")
    op.drop_table("suggestion")
