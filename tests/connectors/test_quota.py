"""What platforms say of how much we may still ask, in one form."""

import time
from datetime import UTC, datetime

from connectors.base import Quota
from connectors.facebook import FacebookConnector
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
