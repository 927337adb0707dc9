"""Comments: the posts that they stand under, earlier texts of edited messages, what agents did with a message"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMES = ("hidden_at", "liked_at", "boosted_at", "acting_until_at")


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "post",
        sa.Column("id", BIG, nullable=False),
        sa.Column("channel_id", BIG, nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("is_self", sa.Boolean(), nullable=False),
        sa.Column("picture", sa.JSON(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel_id", "external_id"),
    )
    unasked = sa.text("asked_at IS NULL")
    op.create_index("ix_post_unasked", "post", ["channel_id", "id"], sqlite_where=unasked, postgresql_where=unasked)
    # In SQL, because on SQLite Alembic would copy the whole table for the sake of the reference.
    kind = "BIGINT" if op.get_bind().dialect.name == "postgresql" else "INTEGER"
    op.execute(f"ALTER TABLE conversation ADD COLUMN post_id {kind} REFERENCES post (id)")
    op.create_index("ix_conversation_post_id", "conversation", ["post_id"])
    for name in TIMES:
        op.add_column("message", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("versions", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    """Go down."""
    op.drop_column("message", "versions")
    for name in reversed(TIMES):
        op.drop_column("message", name)
    op.drop_index("ix_conversation_post_id", "conversation")
    with op.batch_alter_table("conversation") as batch_op:
        batch_op.drop_column("post_id")
    op.drop_table("post")
