"""Every figure is what somebody would count by hand, and opens exactly the rows that it counts."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from socialcrm.reports import rows
from socialcrm.reports.answers import answers, overall_wait
from socialcrm.reports.filters import FilterError, Filters, read_filters
from socialcrm.reports.messages import complaints, languages, sentiment, used_languages, volume
from socialcrm.reports.period import Period
from socialcrm.reports.satisfaction import Scores, csat, csat_agents, csat_channels, csat_teams, overall, student_t

ZONE = ZoneInfo("Africa/Algiers")
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
WEEK = Filters(Period(date(2026, 3, 5), date(2026, 3, 11), ZONE))
DAY = Filters(Period(date(2026, 3, 10), date(2026, 3, 10), ZONE))


async def test_volume_counts_incoming_messages_per_day_and_channel(company) -> None:
    await company.message(NOON, channel="chat")
    await company.message(NOON, channel="chat")
    await company.message(NOON, channel="mail")
    await company.message(NOON, channel="chat", direction="out", author="agent")
    await company.message(NOON, channel="chat", direction="note", author="agent")
    table = await volume(company.session, DAY)
    assert [(column.title, column.is_name) for column in table.columns] == [
        ("Day", False),
        ("chat", True),
        ("mail", True),
        ("All channels", False),
    ]
    chat, mail = (f"channel_{company.ids[name]}" for name in ("chat", "mail"))
    assert table.rows == [{"day": date(2026, 3, 10), chat: 2, mail: 1, "total": 3}]
    assert not table.is_empty


async def test_sentiment_keeps_what_is_unsure_and_what_is_not_read_yet_visible(company) -> None:
    for label in ("positive", "negative", "negative"):
        await company.message(NOON, sentiment=label)
    await company.message(NOON, sentiment="negative", unsure=["sentiment"])
    await company.message(NOON, sentiment="neutral", unsure=["complaint"])
    await company.message(NOON)
    (row,) = (await sentiment(company.session, DAY)).rows
    counts = [row[label] for label in ("positive", "neutral", "negative", "unsure", "pending", "total")]
    assert counts == [1, 1, 2, 1, 1, 6]
    assert row["negative_share"] == pytest.approx(2 / 6)


async def test_complaints_that_are_not_sure_are_counted_apart(company) -> None:
    await company.message(NOON, sentiment="negative", complaint=True)
    await company.message(NOON, sentiment="negative", complaint=True, unsure=["complaint"])
    await company.message(NOON, sentiment="neutral")
    await company.message(NOON)
    (row,) = (await complaints(company.session, DAY)).rows
    assert row == {"day": date(2026, 3, 10), "complaints": 1, "unsure": 1, "total": 4, "share": 0.25}


async def test_languages_are_listed_most_first(company) -> None:
    for language in ("fr", "ar", "ar"):
        await company.message(NOON, sentiment="neutral", language=language)
    await company.message(NOON, sentiment="neutral", language="en", unsure=["language"])
    table = await languages(company.session, WEEK)
    assert [(row["language"], row["count"]) for row in table.rows] == [("ar", 2), ("fr", 1), ("unsure", 1)]
    assert table.rows[0]["share"] == 0.5
    assert await used_languages(company.session, WEEK) == ["ar", "en", "fr"]


async def test_filters_restrict_every_figure_and_its_rows_alike(company) -> None:
    await company.message(NOON, channel="chat", team="support", sentiment="negative", complaint=True)
    await company.message(NOON, channel="mail", team="support", sentiment="negative", complaint=True)
    await company.message(NOON, channel="chat", sentiment="negative", complaint=True, language="ar")
    await company.survey(NOON, 4, channel="chat", team="support")
    await company.survey(NOON, 1, channel="mail")
    chat, support = company.ids["chat"], company.ids["support"]
    for change, messages, surveys in (
        ({}, 3, 2),
        ({"channel_id": chat}, 2, 1),
        ({"team_id": support}, 2, 1),
        ({"team_id": 0}, 1, 1),
        ({"language": "ar"}, 1, 0),
        ({"channel_id": chat, "team_id": support, "language": "fr"}, 1, 1),
    ):
        filters = Filters(DAY.period, **change)
        assert (await volume(company.session, filters)).rows[0]["total"] == messages, change
        assert (await sentiment(company.session, filters)).rows[0]["negative"] == messages, change
        assert (await complaints(company.session, filters)).rows[0]["complaints"] == messages, change
        found = await rows.messages(company.session, filters, sentiment="negative", complaint="yes")
        assert (found.count, len(found.rows)) == (messages, messages), change
        assert (await overall(company.session, filters)).sent == surveys, change
        assert (await rows.surveys(company.session, filters)).count == surveys, change


async def test_rows_come_newest_first_and_page_by_page_without_gaps(company) -> None:
    times = [NOON + timedelta(seconds=second // 2) for second in range(2 * rows.PAGE + 7)]
    await company.many(times)
    seen, place = [], None
    while True:
        page = await rows.messages(company.session, DAY, place)
        seen += [row.Message.id for row in page.rows]
        if page.next is None:
            break
        place = rows.Place.read(str(page.next))
        assert place == page.next
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(times) == page.count


@pytest.mark.parametrize("text", ["x", "1.2.3", "-1.5", "1" * 60 + ".1", "99999999999999999999.1", "٣.٣", "."])
def test_a_damaged_place_is_a_sentence(text: str) -> None:
    with pytest.raises(FilterError, match="damaged"):
        rows.Place.read(text)


async def test_csat_keeps_the_number_of_answers_and_the_response_rate_beside_the_mean(company) -> None:
    for score in (5, 4, 3, None):
        await company.survey(NOON, score, agent="amina", team="support")
    await company.survey(NOON - timedelta(days=1), None, channel="mail")
    table = await csat(company.session, Filters(Period(date(2026, 3, 8), date(2026, 3, 10), ZONE)))
    empty, unanswered, full = table.rows
    assert (empty["mean"], empty["sent"], empty["rate"]) == (None, 0, None)
    assert (unanswered["mean"], unanswered["sent"], unanswered["rate"]) == (None, 1, 0)
    assert (full["mean"], full["answered"], full["sent"], full["rate"]) == (4, 3, 4, 0.75)
    by_agent = await csat_agents(company.session, WEEK)
    assert [(row["name"], row["answered"], row["sent"]) for row in by_agent.rows] == [("amina", 3, 4), ("", 0, 1)]
    by_team = await csat_teams(company.session, WEEK)
    assert [(row["name"], row["sent"]) for row in by_team.rows] == [("support", 4), ("", 1)]
    by_channel = await csat_channels(company.session, WEEK)
    assert [(row["name"], row["sent"]) for row in by_channel.rows] == [("chat", 4), ("mail", 1)]
    amina = await rows.surveys(company.session, WEEK, agent_id=company.ids["amina"], is_answered=True)
    assert (amina.count, {row.agent for row in amina.rows}) == (3, {"amina"})
    assert (await rows.surveys(company.session, WEEK, agent_id=0)).count == 1
    assert (await rows.surveys(company.session, WEEK, score=5)).count == 1


def test_the_interval_is_that_of_the_nist_handbook() -> None:
    # Ten scores with mean 3.9 and standard deviation 1.1972: 3.9 ± 2.2622 * 1.1972 / sqrt(10).
    scores = (5, 5, 4, 3, 5, 2, 4, 5, 2, 4)
    low, high = Scores(10, 10, sum(scores), sum(s * s for s in scores)).interval or (0, 0)
    assert (low, high) == (pytest.approx(3.0435, abs=1e-3), pytest.approx(4.7565, abs=1e-3))


@pytest.mark.parametrize("scores", [(), (4,), (5, 5, 5)])
def test_there_is_no_interval_where_nothing_is_known_of_the_spread(scores) -> None:
    assert Scores(9, len(scores), sum(scores), sum(s * s for s in scores)).interval is None


def test_an_interval_stays_on_the_scale() -> None:
    assert Scores(2, 2, 9, 41).interval == (1, 5)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (9, 2.2622), (10, 2.2281), (30, 2.0423), (100, 1.9840)]
)
def test_quantiles_of_student_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, abs=1e-4)


async def test_only_the_first_answer_of_a_person_counts_and_the_median_is_in_the_middle(company) -> None:
    for minutes in (1, 2, 3, 60):
        conversation = await company.conversation(opened_at=NOON)
        await company.message(NOON, conversation=conversation, direction="out", author="bot")
        for later in (minutes, minutes + 5):
            at = NOON + timedelta(minutes=later)
            await company.message(at, conversation=conversation, direction="out", author="agent", agent="amina")
    (row,) = (await answers(company.session, DAY)).rows
    assert row == {"day": date(2026, 3, 10), "count": 4, "median": 150}
    assert await overall_wait(company.session, DAY) == (4, 150)
    found = await rows.answers(company.session, DAY)
    assert (found.count, sorted(row.waited for row in found.rows)) == (4, [60, 120, 180, 3600])
    assert {row.agent for row in found.rows} == {"amina"}
    assert await overall_wait(company.session, Filters(Period(date(2026, 1, 1), date(2026, 1, 2), ZONE))) == (0, None)


async def test_the_median_of_an_odd_number_of_waits_is_the_middle_one(company) -> None:
    for minutes in (1, 4, 60):
        conversation = await company.conversation(opened_at=NOON)
        at = NOON + timedelta(minutes=minutes)
        await company.message(at, conversation=conversation, direction="out", author="agent")
    assert await overall_wait(company.session, DAY) == (3, 240)


def test_filters_survive_a_trip_through_the_address() -> None:
    query = {"from": "2026-03-01", "to": "2026-03-09", "channel": "3", "team": "0", "language": "ar"}
    filters = read_filters(query, NOON, ZONE)
    assert filters.query() == "from=2026-03-01&to=2026-03-09&channel=3&team=0&language=ar"
    assert read_filters({"days": "30"}, NOON, ZONE).query(sentiment="negative") == "days=30&sentiment=negative"
    assert read_filters({}, NOON, ZONE).query() == "days=7"


@pytest.mark.parametrize(
    "query",
    [
        {"days": "8"},
        {"days": "x"},
        {"days": ""},
        {"from": "yesterday"},
        {"from": "2026-03-09", "to": "2026-03-01"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"channel": "-1"},
        {"team": "9" * 30},
        {"channel": "²"},
        {"from": "0001-01-01"},
    ],
)
def test_what_is_not_a_filter_is_refused_in_a_sentence(query) -> None:
    with pytest.raises(FilterError, match=r"\.$"):
        read_filters(query, NOON, ZONE)
