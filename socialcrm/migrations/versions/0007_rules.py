"""Rules that people edit, with their versions, what waits, and webhooks out"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def number(name: str, target: str = "", *, nullable: bool = False) -> sa.Column[int]:
    """A number, of a row of another table where one is named."""
    references = [sa.ForeignKey(f"{target}.id")] if target else []
    return sa.Column(name, BIG, *references, nullable=nullable)


def text(name: str) -> sa.Column[str]:
    """Text without a length."""
    return sa.Column(name, sa.Text(), nullable=False)


def word(name: str) -> sa.Column[str]:
    """A short text."""
    return sa.Column(name, sa.String(), nullable=False)


def count(name: str) -> sa.Column[int]:
    """A small number."""
    return sa.Column(name, sa.Integer(), nullable=False)


def json(name: str) -> sa.Column[object]:
    """JSON."""
    return sa.Column(name, sa.JSON(), nullable=False)


def flag(name: str) -> sa.Column[bool]:
    """True or false."""
    return sa.Column(name, sa.Boolean(), nullable=False)


def time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    """A time."""
    return sa.Column(name, TIME, nullable=nullable)


def make(name: str, *columns: sa.schema.SchemaItem) -> None:
    """A table whose rows have numbers."""
    op.create_table(name, number("id"), *columns, sa.PrimaryKeyConstraint("id"))


def index(name: str, table: str, columns: list[str], where: str = "") -> None:
    """An index, of some rows where `where` says which."""
    condition = sa.text(where) if where else None
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    """Go up."""
    make("rule_book", count("stamp"), time("imported_at", nullable=True))
    make(
        "rule",
        *(word("name"), word("event"), count("position"), flag("is_on"), json("body"), count("version")),
        *(time("changed_at"), number("changed_by_id", "agent", nullable=True), time("since_at")),
        time("deleted_at", nullable=True),
    )
    index("ix_rule_position", "rule", ["position", "id"])
    make(
        "rule_version",
        *(number("rule_id", "rule"), count("version"), word("why"), json("body"), flag("is_on"), time("made_at")),
        *(number("made_by_id", "agent", nullable=True), sa.UniqueConstraint("rule_id", "version")),
    )
    make("rule_tally", number("rule_id", "rule"), time("at"), count("count"))
    index("ix_rule_tally", "rule_tally", ["at", "rule_id"])
    make(
        "rule_firing",
        *(word("key"), number("rule_id", "rule"), number("conversation_id", "conversation")),
        *(number("contact_id", "contact"), time("at"), sa.UniqueConstraint("key")),
    )
    index("ix_rule_firing_conversation", "rule_firing", ["conversation_id", "rule_id", "at"])
    index("ix_rule_firing_contact", "rule_firing", ["contact_id", "rule_id", "at"])
    op.create_table(
        "rule_silence",
        *(number("rule_id", "rule"), number("conversation_id", "conversation"), time("since_at")),
        *(time("again_at", nullable=True), sa.PrimaryKeyConstraint("rule_id", "conversation_id")),
    )
    make(
        "rule_run",
        *(number("conversation_id", "conversation"), word("event")),
        *(number("event_id", "conversation_event", nullable=True), time("at"), json("lines")),
    )
    index("ix_rule_run", "rule_run", ["conversation_id", "id"])
    make(
        "rule_task",
        *(word("key"), word("kind"), number("rule_id", "rule", nullable=True), word("rule")),
        *(number("conversation_id", "conversation"), number("message_id", "message", nullable=True), json("payload")),
        *(flag("is_for_silence"), count("depth"), word("status"), time("made_at"), time("due_at")),
        *(count("attempt_count"), time("done_at", nullable=True), text("reason"), sa.UniqueConstraint("key")),
    )
    index("ix_rule_task_due", "rule_task", ["due_at", "id"], "status IN ('waiting', 'doing')")
    index("ix_rule_task_conversation", "rule_task", ["conversation_id", "id"])
    make(
        "rule_suggestion",
        *(number("conversation_id", "conversation"), number("message_id", "message", nullable=True)),
        *(number("rule_id", "rule"), text("text"), time("made_at")),
    )
    index("ix_rule_suggestion", "rule_suggestion", ["conversation_id", "id"])
    make(
        "hook",
        *(word("name"), text("url"), text("secret"), flag("is_on"), time("made_at"), sa.UniqueConstraint("name")),
    )
    make(
        "hook_call",
        *(word("key"), number("hook_id", "hook"), number("conversation_id", "conversation", nullable=True)),
        *(json("payload"), word("status"), time("made_at"), time("due_at"), count("attempt_count")),
        *(sa.Column("response_status", sa.Integer(), nullable=True), text("reason"), time("done_at", nullable=True)),
        sa.UniqueConstraint("key"),
    )
    index("ix_hook_call_due", "hook_call", ["due_at", "id"], "status = 'waiting'")
    index("ix_hook_call_hook", "hook_call", ["hook_id", "id"])
    # What happened before there were rules on it is nothing new to them.
    op.add_column("conversation_event", sa.Column("is_new", sa.Boolean(), nullable=False, server_default=sa.false()))
    index("ix_conversation_event_new", "conversation_event", ["id"], "is_new")


def downgrade() -> None:
    """Go down."""
    op.drop_index("ix_conversation_event_new", "conversation_event")
    op.drop_column("conversation_event", "is_new")
    for table in (
        *("hook_call", "hook", "rule_suggestion", "rule_task", "rule_run", "rule_silence", "rule_firing"),
        *("rule_tally", "rule_version", "rule", "rule_book"),
    ):
        op.drop_table(table)
