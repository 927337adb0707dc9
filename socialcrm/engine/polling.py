"""When to poll again: pure functions of what came lately and of what the platform still allows."""

from datetime import datetime

from connectors.base import Quota

READING_SHARE = 0.8
"""How much of a quota polling may use; the rest is left for answers and for what people ask."""


def pace(before: float, came: bool, fastest: float, slowest: float) -> float:
    """Seconds between polls from now on: half as many after something came, twice as many after nothing did.

    Where `slowest` is not above `fastest` the platform does the waiting: at once after something came, else `fastest`.
    """
    if slowest <= fastest:
        return 0.0 if came else fastest
    next_one = before / 2 if came else before * 2
    return min(max(next_one, fastest), slowest)


def lasting(quota: Quota | None, cost: float, now: datetime) -> float:
    """The shortest wait, in seconds, with which polls of this cost last until the quota begins anew; 0 where nothing
    says that they would not."""
    if quota is None or quota.resets_at is None or quota.resets_at <= now:
        return 0.0
    seconds = (quota.resets_at - now).total_seconds()
    polls = int((quota.limit * READING_SHARE - quota.used) / cost)
    return seconds / polls if polls >= 1 else seconds


def cost(before: Quota | None, after: Quota | None) -> float:
    """What one poll took of the quota, at least 1; a quota that began anew, or that nobody knew, tells nothing."""
    if before is None or after is None or before.resets_at != after.resets_at:
        return 1.0
    return max(after.used - before.used, 1.0)
