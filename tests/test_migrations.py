"""The migrated database is the one that the rows describe."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from socialcrm.database import Database
from socialcrm.domain.rows import metadata
from socialcrm.migrate import is_current, migrate


async def test_the_migrations_lead_to_the_rows_of_the_domain(database_url: str) -> None:
    database = Database(database_url)

    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    async with database.connection() as connection:
        assert await connection.run_sync(differences) == []
    assert await is_current(database)
    before, after = await migrate(database)
    assert before == after, "a second migration finds nothing to do"
    await database.close()
