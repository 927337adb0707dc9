"""When to poll again: within its bounds, sooner when something comes, and never faster than a quota lasts."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Quota
from socialcrm.engine.polling import READING_SHARE, cost, lasting, pace

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
seconds = st.floats(0.5, 3600)


@given(before=st.floats(0, 10_000), came=st.booleans(), fastest=seconds, more=st.floats(1, 3600))
def test_the_pace_stays_between_the_fastest_and_the_slowest(
    before: float, came: bool, fastest: float, more: float
) -> None:
    slowest = fastest + more
    assert fastest <= pace(before, came, fastest, slowest) <= slowest


@given(first=st.floats(0, 10_000), second=st.floats(0, 10_000), came=st.booleans(), fastest=seconds, more=seconds)
def test_a_slower_pace_before_never_means_a_faster_one_after_and_news_never_slow_it_down(
    first: float, second: float, came: bool, fastest: float, more: float
) -> None:
    first, second = sorted((first, second))
    slowest = fastest + more
    assert pace(first, came, fastest, slowest) <= pace(second, came, fastest, slowest)
    assert pace(first, True, fastest, slowest) <= pace(first, False, fastest, slowest)


def test_silence_doubles_the_wait_and_news_halve_it() -> None:
    waits = [0.0]
    for came in (False, False, False, False, False, True, True, True):
        waits.append(pace(waits[-1], came, 60, 600))
    assert waits[1:] == [60, 120, 240, 480, 600, 300, 150, 75]


def test_where_the_platform_does_the_waiting_nothing_adapts() -> None:
    assert pace(40, False, 1, 0) == 1
    assert pace(40, True, 1, 0) == 0


@given(
    limit=st.integers(1, 20_000),
    used=st.integers(0, 20_000),
    price=st.integers(1, 60),
    window=st.floats(1, 86_400),
    fastest=st.floats(1, 600),
    came=st.lists(st.booleans(), max_size=200),
)
def test_polls_of_one_price_last_until_the_quota_begins_anew(
    limit: int, used: int, price: int, window: float, fastest: float, came: list[bool]
) -> None:
    resets_at, now, wait, spent = NOW + timedelta(seconds=window), NOW, 0.0, min(used, limit)
    before = spent
    for some in [*came, False]:
        wait = pace(wait, some, fastest, fastest * 8)
        now += timedelta(seconds=max(wait, lasting(Quota(spent, limit, resets_at), price, now)))
        if now >= resets_at - timedelta(milliseconds=1):  # times are rounded to microseconds
            break
        spent += price
    assert spent <= max(limit * READING_SHARE, before)


def test_a_quota_without_a_reset_or_after_it_holds_nobody_back() -> None:
    assert lasting(None, 1, NOW) == 0
    assert lasting(Quota(90, 100, unit="percent"), 1, NOW) == 0
    assert lasting(Quota(90, 100, NOW), 1, NOW) == 0


def test_the_price_of_a_poll_is_what_it_took_within_one_window() -> None:
    later = NOW + timedelta(hours=1)
    assert cost(Quota(3, 10, NOW), Quota(7, 10, NOW)) == 4
    assert cost(Quota(3, 10, NOW), Quota(3, 10, NOW)) == 1
    assert cost(Quota(9, 10, NOW), Quota(2, 10, later)) == 1
    assert cost(None, Quota(5000, 10_000, NOW)) == 1
