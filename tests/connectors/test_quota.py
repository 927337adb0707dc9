"""What platforms say of how much we may still ask, in one form."""

import time
from datetime import UTC, datetime

import pytest

from connectors.base import Quota
from connectors.facebook import FacebookConnector
from connectors.x_usage import resets_at
from tests.connectors.test_x import opened, recorded
from tests.connectors.test_youtube import opened as opened_youtube
from tests.connectors.test_youtube import recorded as recorded_youtube
from tests.servers.graph import graph_server
from tests.servers.platform import Answer, platform


async def test_x_tells_its_window_with_each_answer_and_the_one_nearest_its_end_counts() -> None:
    reset = int(time.time()) + 600

    def headers(left: int) -> dict[str, str]:
        return {"x-rate-limit-limit": "10", "x-rate-limit-remaining": str(left), "x-rate-limit-reset": str(reset)}

    async with platform(Answer(200, recorded("mentions"), headers(3))) as here:
        here.answers["recent"] = Answer(200, recorded("mentions"), headers(9))
        connector = opened(here.url, messages="leave")
        assert connector.quota is None
        await connector.poll(None)
        await connector.search("#shop", None)
        assert connector.quota == Quota(7, 10, datetime.fromtimestamp(reset, UTC))
        here.answer = Answer(200, recorded("mentions"), {"x-rate-limit-limit": "many"})
        await connector.poll(None)
        assert connector.quota.used == 7
        await connector.close()


async def test_x_tells_the_posts_of_the_month_when_it_is_asked_who_we_are() -> None:
    async with platform(Answer(200, recorded("me"))) as here:
        here.answers |= {"token": Answer(200, {"token_type": "bearer", "access_token": "app"})}
        here.answers |= {"tweets": Answer(200, recorded("usage"))}
        connector = opened(here.url)
        cap = (await connector.connect()).cap
        assert (cap and (cap.used, cap.limit, cap.unit)) == (14435, 15000, "posts")
        assert cap and cap.resets_at and cap.resets_at.day == 10
        for answer in (Answer(403, {"title": "Forbidden"}), Answer(200, b"<html>"), Answer(200, {"data": {}})):
            here.answers["tweets"] = answer
            assert (await connector.connect()).cap is None, "nothing depends on it"
        await connector.close()
    assert next(call.headers["authorization"] for call in here.calls if call.path.endswith("tweets")) == "Bearer app"


@pytest.mark.parametrize(
    ("day", "now", "then"),
    [(10, "2026-03-01", "2026-03-10"), (10, "2026-03-10", "2026-04-10"), (31, "2026-02-03", "2026-02-28"),
     (31, "2026-02-28", "2026-03-31"), (1, "2026-12-05", "2027-01-01")],
)  # fmt: skip
def test_a_month_of_x_begins_with_the_day_that_it_names(day: int, now: str, then: str) -> None:
    at = resets_at(day, datetime.fromisoformat(f"{now}T12:00+00:00"))
    assert at == datetime.fromisoformat(f"{then}T00:00+00:00")


async def test_youtube_counts_its_own_units_until_midnight_in_california() -> None:
    async with platform(Answer(200, recorded_youtube("commentThreads"))) as here:
        connector = opened_youtube(here.url, daily_units="500")
        assert connector.quota is None
        await connector.poll(None)
        quota = connector.quota
        await connector.close()
    assert quota is not None
    assert (quota.limit, quota.unit, quota.used > 0) == (500, "units", True)
    assert quota == connector.quota, "the reset is one moment, whenever it is asked for"


async def test_meta_tells_the_share_of_its_fullest_limit() -> None:
    async with graph_server() as graph:
        connector = FacebookConnector(graph.config())
        assert connector.quota is None
        graph.headers = {"X-App-Usage": '{"call_count":10,"total_time":42,"total_cputime":7}'}
        await connector.graph.get("me", {"fields": "id"})
        assert connector.quota == Quota(42, 100, unit="percent")
        await connector.close()
