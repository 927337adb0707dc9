"""Channel health"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FALSE, NONE, NO_LIST, NO_DICT = sa.text("false"), sa.text("''"), sa.text("'[]'"), sa.text("'{}'")


def _time(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


CHANNEL = (
    lambda: sa.Column("account_name", sa.Text(), nullable=False, server_default=NONE),
    lambda: _time("token_ends_at"),
    lambda: sa.Column("missing_scopes", sa.JSON(), nullable=False, server_default=NO_LIST),
    lambda: _time("probed_at"),
    lambda: _time("probe_after_at"),
    lambda: sa.Column("probe_error", sa.Text(), nullable=False, server_default=NONE),
    lambda: sa.Column("quota", sa.JSON(), nullable=True),
    lambda: sa.Column("poll_wait", sa.Float(), nullable=False, server_default="0"),
    lambda: sa.Column("watch_cursors", sa.JSON(), nullable=False, server_default=NO_DICT),
    lambda: _time("lost_at"),
    lambda: _time("told_at"),
    lambda: _time("away_from_at"),
    lambda: _time("away_until_at"),
    lambda: _time("backfill_since_at"),
    lambda: _time("backfill_after_at"),
)


def upgrade() -> None:
    """Go up."""
    for make in CHANNEL:
        op.add_column("channel", make())
    op.add_column("raw_event", sa.Column("origin", sa.String(), nullable=False, server_default=NONE))
    op.add_column("message", sa.Column("is_late", sa.Boolean(), nullable=False, server_default=FALSE))
    op.add_column("message", sa.Column("is_found", sa.Boolean(), nullable=False, server_default=FALSE))
    op.create_table(
        "sign_in_attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state_hash", sa.String(), nullable=False),
        sa.Column("session_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["web_session.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("state_hash"),
    )
    op.create_index(op.f("ix_sign_in_attempt_session_id"), "sign_in_attempt", ["session_id"])


def downgrade() -> None:
    """Go down."""
    op.drop_table("sign_in_attempt")
    op.drop_column("message", "is_found")
    op.drop_column("message", "is_late")
    op.drop_column("raw_event", "origin")
    for make in reversed(CHANNEL):
        op.drop_column("channel", make().name)
