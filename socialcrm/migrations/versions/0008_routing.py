"""Who can take what: skills, capacity, presence, priority"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
QUEUED = sa.text("status = 'open' AND agent_id IS NULL AND queued_at IS NOT NULL")
WAITING = sa.text("status = 'open' AND waiting_since_at IS NOT NULL")
REFERENCES = (
    ("conversation", "wanted_agent_id", "agent"),
    ("conversation", "last_agent_id", "agent"),
    ("conversation", "avoided_agent_id", "agent"),
    ("team", "overflow_team_id", "team"),
)
COLUMNS = {
    "conversation": (
        sa.Column("queued_at", TIME, nullable=True),
        sa.Column("wanted_skill", sa.String(), nullable=False, server_default=""),
        sa.Column("assigned_at", TIME, nullable=True),
        sa.Column("score", sa.Float(), nullable=False, server_default="0"),
        sa.Column("score_terms", sa.JSON(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("scored_at", TIME, nullable=True),
    ),
    "team": (sa.Column("overflow_minutes", sa.Integer(), nullable=False, server_default="15"),),
    "agent": (
        sa.Column("skills", sa.JSON(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("capacity", sa.JSON(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("hours", sa.JSON(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("presence_note", sa.String(), nullable=False, server_default=""),
        sa.Column("presence_at", TIME, nullable=True),
    ),
    "contact": (sa.Column("tier", sa.String(), nullable=False, server_default=""),),
}


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "routing",
        sa.Column("id", BIG, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by", BIG, nullable=True),
        sa.ForeignKeyConstraint(["changed_by"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bulk_move",
        sa.Column("id", BIG, nullable=False),
        sa.Column("agent_id", BIG, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("deed", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("undone_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    # In SQL, because on SQLite Alembic would copy the whole table for the sake of the reference.
    kind = "BIGINT" if op.get_bind().dialect.name == "postgresql" else "INTEGER"
    for table, name, target in REFERENCES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} REFERENCES {target} (id)")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(
        "ix_conversation_queued", "conversation", ["score", "id"], sqlite_where=QUEUED, postgresql_where=QUEUED
    )
    op.create_index(
        "ix_conversation_queued_kind", "conversation", ["kind", "team_id"], sqlite_where=QUEUED, postgresql_where=QUEUED
    )
    op.create_index(
        "ix_conversation_waiting", "conversation", ["scored_at", "id"], sqlite_where=WAITING, postgresql_where=WAITING
    )
    # What nobody has yet and waits goes to somebody, as it would have before.
    op.execute(
        "UPDATE conversation SET queued_at = waiting_since_at "
        "WHERE status = 'open' AND agent_id IS NULL AND waiting_since_at IS NOT NULL AND team_id IS NOT NULL"
    )


def downgrade() -> None:
    """Go down."""
    op.drop_index("ix_conversation_waiting", "conversation")
    op.drop_index("ix_conversation_queued_kind", "conversation")
    op.drop_index("ix_conversation_queued", "conversation")
    for table, columns in COLUMNS.items():
        dropped = [column.name for column in columns] + [name for of, name, _ in REFERENCES if of == table]
        with op.batch_alter_table(table) as batch_op:
            for name in dropped:
                batch_op.drop_column(name)
    op.drop_table("bulk_move")
    op.drop_table("routing")
