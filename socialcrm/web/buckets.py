"""Token buckets in memory: how often somebody may ask, without a service to count it."""

from collections import OrderedDict


class Buckets:
    """One bucket per key. Each starts with `burst` tokens and gains `per_second`; the longest unused ones are forgotten
    when there are more than `size`, so that nobody fills the memory by making up keys."""

    def __init__(self, burst: float, per_second: float, size: int = 10_000) -> None:
        self._burst = burst
        self._per_second = per_second
        self._size = size
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take one token at the monotonic time `now`: 0.0 when there was one, else the seconds until there is."""
        level, since = self._levels.get(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._per_second)
        is_allowed = level >= 1
        self._levels[key] = (level - 1 if is_allowed else level), now
        self._levels.move_to_end(key)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)
        return 0.0 if is_allowed else (1 - level) / self._per_second

    def __len__(self) -> int:
        return len(self._levels)
