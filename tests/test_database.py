"""Sessions: one that only reads writes nothing, not even by accident."""

import pytest
from sqlalchemy import select

from socialcrm.database import Database
from socialcrm.domain.rows import Team

pytestmark = pytest.mark.both_databases


async def test_a_session_that_reads_refuses_to_write_and_leaves_the_row_as_it_was(database: Database) -> None:
    async with database.write() as session:
        session.add(Team(key="support", name="Support"))
    with pytest.raises(RuntimeError, match="only reads"):
        async with database.read() as session:
            (await session.execute(select(Team))).scalar_one().name = "Changed"
            await session.execute(select(Team))
    async with database.read() as session:
        assert (await session.execute(select(Team))).scalar_one().name == "Support"


async def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.write() as session:
            session.add(Team(key="support", name="Support"))
            await session.flush()
            raise ZeroDivisionError
    assert not await database.has(select(Team))
    async with database.write() as session:
        session.add(Team(key="support", name="Support"))
    assert await database.has(select(Team))
