"""How numbers are spread, in buckets that are one fiftieth wide: memory for their range, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import ceil, inf, log

ERROR = 0.01
"""A percentile is off by no more than this part of itself."""

_GROWTH = (1 + ERROR) / (1 - ERROR)
"""Each bucket ends where it began, times this; its middle is then no further from its ends than `ERROR`."""
_STEPS = 1 / log(_GROWTH)
_LEAST = 1e-3
"""What is less counts as nothing. In microseconds: less than a nanosecond."""
_SHIFT = log(_LEAST) * _STEPS - 1


class Histogram:
    """Of any finite numbers. Ask it for percentiles: each is right but for `ERROR`, and within what was added."""

    __slots__ = ("_buckets", "count", "largest", "smallest")

    def __init__(self) -> None:
        self.count = 0
        self.smallest = inf
        self.largest = -inf
        self._buckets: dict[int, int] = {}
        """Bucket 1 begins at `_LEAST`, 0 is around nothing, and below it they are mirrored."""

    def add(self, value: float) -> None:
        self.count += 1
        if value < self.smallest:  # noqa: PLR1730 - `min` takes twice as long, and this is done ten million times
            self.smallest = value
        if value > self.largest:  # noqa: PLR1730 - as above
            self.largest = value
        if value >= _LEAST:
            bucket = ceil(log(value) * _STEPS - _SHIFT)
        elif value <= -_LEAST:
            bucket = -ceil(log(-value) * _STEPS - _SHIFT)
        else:
            bucket = 0
        buckets = self._buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count all of `other` too."""
        self.count += other.count
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """The smallest value that `share` of all values do not exceed; `None` without any."""
        if not self.count:
            return None
        wanted, ordered = ceil(share * self.count), sorted(self._buckets.items())
        below = accumulate(count for _, count in ordered)
        bucket = next(at for (at, _), so_far in zip(ordered, below, strict=True) if so_far >= wanted)
        return min(max(_middle(bucket), self.smallest), self.largest)

    def buckets(self) -> Iterator[tuple[float, int]]:
        """The middle of each bucket that is not empty, in their order, and how many values are in it."""
        return ((_middle(bucket), count) for bucket, count in sorted(self._buckets.items()))


def _middle(bucket: int) -> float:
    """What is off by the same part of itself from either end."""
    if bucket == 0:
        return 0.0
    end = _LEAST * _GROWTH ** (abs(bucket) - 1)
    return (end if bucket > 0 else -end) * 2 / (1 + _GROWTH)
