"""Teaching"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go up."""
    with op.batch_alter_table("analysis", schema=None) as batch_op:
        batch_op.add_column(sa.Column("reason", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("reason_score", sa.Float(), nullable=True))
    op.create_table(
        "correction",
        sa.Column("id", BIG, nullable=False),
        sa.Column("message_id", BIG, nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("predicted", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("was_unsure", sa.Boolean(), nullable=False),
        sa.Column("agent_id", BIG, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id", "field", "source"),
    )
    op.create_index("ix_correction_made", "correction", ["made_at"])
    op.create_table(
        "sample_item",
        sa.Column("id", BIG, nullable=False),
        sa.Column("week", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("message_id", BIG, nullable=False),
        sa.Column("agent_id", BIG, nullable=True),
        sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("week", "message_id"),
    )
    op.create_index("ix_sample_item_place", "sample_item", ["week", "place"])
    op.create_index("ix_sample_item_message_id", "sample_item", ["message_id"])
    op.create_table(
        "model_version",
        sa.Column("id", BIG, nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("agent_id", BIG, nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("previous_id", BIG, nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["previous_id"], ["model_version.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_model_version_one_live",
        "model_version",
        ["status"],
        unique=True,
        sqlite_where=sa.text("status = 'live'"),
        postgresql_where=sa.text("status = 'live'"),
    )


def downgrade() -> None:
    """Go down."""
    op.drop_table("model_version")
    op.drop_table("sample_item")
    op.drop_table("correction")
    with op.batch_alter_table("analysis", schema=None) as batch_op:
        batch_op.drop_column("reason_score")
        batch_op.drop_column("reason")
