"""Bring a database to the newest form of the rows."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from socialcrm.database import Database

LOCK = 0x50C1A2


async def migrate(database: Database, revision: str = "head") -> tuple[str | None, str | None]:
    """Run the missing migrations, one process at a time; the revision before and after."""

    def run(connection: Connection) -> tuple[str | None, str | None]:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        before = _revision(connection)
        command.upgrade(_config(connection), revision)
        return before, _revision(connection)

    async with database.connection() as connection:
        return await connection.run_sync(run)


async def is_current(database: Database) -> bool:
    """Whether no migration is missing."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    async with database.connection() as connection:
        return await connection.run_sync(_revision) == head


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
