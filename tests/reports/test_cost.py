"""A report of a week costs what the week costs, however much lies before it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, text

from socialcrm.reports import rows, topics
from socialcrm.reports.answers import overall_wait
from socialcrm.reports.filters import Filters
from socialcrm.reports.period import Period
from socialcrm.reports.registry import TABLES
from socialcrm.reports.satisfaction import overall

pytestmark = pytest.mark.both_databases

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
WEEK = Filters(Period(date(2026, 3, 4), date(2026, 3, 10), ZoneInfo("Europe/Paris")))
QUESTIONS = {
    **TABLES,
    "wait": overall_wait,
    "scores": overall,
    "messages": rows.messages,
    "surveys": rows.surveys,
    "first answers": rows.answers,
    "file of messages": rows.message_table,
    "topics": topics.sample,
    "topics against the others": lambda session, filters: topics.sample(session, filters, "others"),
}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_week_is_read_through_indexes_and_never_by_walking_a_whole_table(company, name: str) -> None:
    session = company.session
    await company.many([NOON - timedelta(minutes=10 * minute) for minute in range(5000)])
    conversation = await company.conversation(team="support", opened_at=NOON)
    await company.message(NOON, conversation=conversation, sentiment="negative", complaint=True)
    await company.message(NOON, conversation=conversation, direction="out", author="agent", agent="amina")
    await company.survey(NOON, 4, agent="amina")
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        # Small tables are walked because that is cheapest; what is asked here is whether they have to be.
        await session.execute(text("SET LOCAL enable_seqscan = off"))
    for filters in (WEEK, Filters(WEEK.period, channel_id=1, team_id=1, language="fr")):
        for plan in await _plans(session, QUESTIONS[name], filters):
            for table in ("message", "survey", "conversation", "analysis"):
                walk = f"SCAN {table}" if is_sqlite else f"Seq Scan on {table}"
                assert not [line for line in plan if f"{walk} " in f"{line} "], plan


async def _plans(session, question, filters) -> list[list[str]]:
    """How the database would answer each query of a question."""
    asked: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        asked.append((statement, parameters))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        await question(session, filters)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    connection = await session.connection()
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    plans = []
    for statement, parameters in asked:
        found = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
        plans.append([str(row[-1]) for row in found])
    return plans
