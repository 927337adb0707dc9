"""The barometer's figures, counted by hand, and as sure as published tables say."""

import math
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from socialcrm.reports.barometer import FEW, Index, barometer, kinds, standing
from socialcrm.reports.filters import Filters
from socialcrm.reports.period import Period
from socialcrm.reports.satisfaction import overall
from tests.reports.conftest import Company

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
WEEK = Filters(Period(date(2026, 3, 4), date(2026, 3, 10), ZoneInfo("Africa/Algiers")))


def test_the_intervals_are_those_of_the_books() -> None:
    # Wilson's interval for 8 of 10: 0.4902 to 0.9433 (Newcombe 1998, Statistics in Medicine 17, method 3).
    low, high = Index("csat", 20, 10, 8).interval or (0, 0)
    assert (round(low / 100, 4), round(high / 100, 4)) == (0.4902, 0.9433)
    low, high = Index("csat", 20, 10, 10).interval or (0, 0)
    assert (round(low / 100, 3), round(high, 9)) == (0.722, 100)
    nps = Index("nps", 200, 100, 50, 20)
    half = 100 * 1.959964 * math.sqrt((0.5 + 0.2 - 0.09) / 100)
    assert nps.value == pytest.approx(30)
    assert nps.interval == pytest.approx((30 - half, 30 + half))
    assert (Index("csat", 5, 1, 1).interval, Index("csat", 5).value, Index("questionnaire", 5, 5).value) == (
        None,
        None,
        None,
    )
    assert Index("csat", 8, 2).rate == 0.25


async def test_per_day_per_week_and_by_whom(company: Company) -> None:
    for score in (5, 5, 4, 2):
        await company.survey(NOON, score, agent="amina", team="support")
    await company.survey(NOON - timedelta(days=1), None, channel="mail")
    for _ in range(FEW):
        await company.survey(NOON - timedelta(days=1), 3, agent="yacine")
    days = await barometer(company.session, WEEK, "csat", "day")
    today, yesterday = days.rows[-1], days.rows[-2]
    assert (today["mean"], today["answered"], today["sent"], today["rate"]) == (75, 4, 4, 1)
    assert (yesterday["mean"], yesterday["answered"], yesterday["sent"]) == (0, FEW, FEW + 1)
    weeks = await barometer(company.session, WEEK, "csat", "week")
    assert sum(row["sent"] for row in weeks.rows) == sum(row["sent"] for row in days.rows) == FEW + 5
    assert all(row["day"].weekday() == 0 for row in weeks.rows[1:])
    by_agent = await standing(company.session, WEEK, "csat", "agent")
    named = {row["id"]: row for row in by_agent.rows}
    assert by_agent.rows[0]["id"] == company.ids["yacine"], "enough answers come first"
    assert (named[company.ids["amina"]]["is_ranked"], named[None]["sent"]) == (False, 1)
    found = await kinds(company.session, WEEK)
    assert (found["csat"].sent, found["csat"].answered) == (FEW + 5, FEW + 4)


async def test_scores_of_other_scales_are_not_mixed_into_satisfaction(company: Company) -> None:
    await company.survey(NOON, 5)
    await company.survey(NOON, 10, kind="nps")
    assert (await overall(company.session, WEEK)).mean == 5
    assert (await kinds(company.session, WEEK))["nps"].value == 100
