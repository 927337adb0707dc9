"""Figures of promises: kept, broken, at risk; and how long answers took in working time and by the clock."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from socialcrm.domain.rows import Conversation, Sla, SlaPolicy
from socialcrm.reports.filters import FilterError, Filters, read_filters
from socialcrm.reports.links import link
from socialcrm.reports.promises import promises, sla, sla_channels, sla_measures, sla_teams
from tests.reports.conftest import Company

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def week(**more: str) -> Filters:
    return read_filters({"days": "7", **more}, NOON + timedelta(hours=1), ZoneInfo("Africa/Algiers"))


async def promise(
    company: Company,
    status: str = "met",
    seconds: int = 600,
    *,
    at: datetime = NOON,
    measure: str = "first_response",
    team: str | None = None,
    channel: str = "chat",
    percent: int = 0,
    is_broken: bool = False,
) -> None:
    session = company.session
    if "policy" not in company.ids:
        policy = SlaPolicy(name="Standard", place=0, changed_at=NOON)
        session.add(policy)
        await session.flush()
        company.ids["policy"] = policy.id or 0
    held = await session.get_one(Conversation, await company.conversation(channel, team, at))
    has_ended = status not in ("running", "paused")
    session.add(
        Sla(
            conversation_id=held.id or 0,
            measure=measure,
            place=0,
            policy_id=company.ids["policy"],
            channel_id=held.channel_id,
            team_id=held.team_id,
            status=status,
            target_seconds=900,
            started_at=at,
            due_at=at + timedelta(seconds=900),
            ended_at=at + timedelta(seconds=seconds * 2) if has_ended else None,
            breached_at=at + timedelta(seconds=900) if is_broken or status == "late" else None,
            business_seconds=seconds if has_ended else 0,
            wall_seconds=seconds * 2 if has_ended else 0,
            percent=percent,
            computed_at=at,
        )
    )
    await session.flush()


async def several(company: Company) -> None:
    for seconds in (100, 200, 300, 400):
        await promise(company, seconds=seconds, team="support")
    await promise(company, "late", 1000, team="support")
    await promise(company, "running", percent=80)
    await promise(company, "running", percent=50, channel="page")
    await promise(company, "running", is_broken=True, channel="page")
    await promise(company, "dropped", 50)
    await promise(company, "met", 7200, measure="resolution")
    await promise(company, at=NOON - timedelta(days=30))


async def test_a_promise_counts_on_the_day_it_began_and_the_share_is_of_those_that_are_decided(
    company: Company,
) -> None:
    await several(company)
    table = await sla(company.session, week())
    assert [row["started"] for row in table.rows] == [0, 0, 0, 0, 0, 0, 10]
    today = table.rows[-1]
    assert {key: today[key] for key in ("met", "broken", "risk")} == {"met": 5, "broken": 2, "risk": 1}
    assert today["share"] == pytest.approx(5 / 7)
    assert (await sla(company.session, week(channel=str(company.ids["page"])))).rows[-1]["started"] == 2
    assert (await sla(company.session, week(language="ar"))).is_empty


async def test_times_are_medians_and_ninth_deciles_in_working_time_and_by_the_clock(company: Company) -> None:
    await several(company)
    first, resolution = (await sla_measures(company.session, week())).rows
    assert (first["measure"], resolution["measure"]) == ("first_response", "resolution")
    assert (first["median"], first["p90"]) == (300, 1000)
    assert (first["median_wall"], first["p90_wall"]) == (600, 2000)
    assert (resolution["median"], resolution["p90"], resolution["share"]) == (7200, 7200, 1)
    await promise(company, seconds=500)
    (first, _) = (await sla_measures(company.session, week())).rows
    assert first["median"] == 350, "of an even number the mean of the two in the middle"


async def test_teams_and_channels_are_told_apart(company: Company) -> None:
    await several(company)
    teams = {row["name"]: row for row in (await sla_teams(company.session, week())).rows}
    assert (teams["support"]["started"], teams["support"]["share"]) == (5, 4 / 5)
    assert teams[""]["median"] is None, "no first answer of them ended by being given"
    channels = {row["name"]: row["started"] for row in (await sla_channels(company.session, week())).rows}
    assert channels == {"chat": 8, "page": 2}


async def test_every_figure_opens_as_many_rows_as_it_counts(company: Company) -> None:
    await several(company)
    filters = week()
    for fill in (sla, sla_measures, sla_teams, sla_channels):
        table = await fill(company.session, filters)
        for row in table.rows:
            for key in ("started", "met", "broken", "risk"):
                address = link(table, row, key, filters)
                assert bool(address) == bool(row[key])
                if address:
                    assert await opened(company, address) == row[key], address


async def opened(company: Company, address: str) -> int:
    query = dict(part.split("=") for part in address.partition("?")[2].split("&"))
    assert query.get("from", "2026-03-10") <= date(2026, 3, 10).isoformat()
    state, measure = query.pop("state", ""), query.pop("measure", "")
    filters = read_filters(query, NOON + timedelta(hours=1), ZoneInfo("Africa/Algiers"))
    found = await promises(company.session, filters, None, state, measure)
    rows: Sequence[object] = found.rows
    assert len(rows) == found.count
    return found.count


async def test_a_filter_that_is_none_is_refused(company: Company) -> None:
    with pytest.raises(FilterError, match="state should be one of"):
        await promises(company.session, week(), None, "lost")
    with pytest.raises(FilterError, match="measure should be one of"):
        await promises(company.session, week(), None, "", "speed")
