"""What calls cost, in its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan

import msgspec

from dispatch.telemetry._reading.excerpt import Handed, Ran
from dispatch.telemetry._reading.histogram import Histogram
from dispatch.telemetry._reading.starts import StartsRow

PARTS = ("decide", "serialize", "enqueue", "wait", "start", "run", "overhead")
"""In the order in which a call goes through them, and what the caller paid."""


class Spread(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How the values of one part are spread, in microseconds. Percentiles are right but for one percent."""

    count: int
    """Calls that say."""
    p50: float
    p90: float
    p99: float
    largest: float
    """Exactly."""


class Costs(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The calls that went one way; `None` as a name: several, or none. A part that no call tells of is `None`."""

    destination: str | None = None
    transport: str | None = None
    task: str | None = None
    rule: str | None = None
    calls: int
    failed: int
    """Calls whose hand-over failed, or their last attempt."""
    dead: int
    """Of the failed, those that were given up and kept as dead letters."""
    without_run: int
    """Calls that had been handed over, and whose run is not in the files."""
    decide: Spread | None
    serialize: Spread | None
    enqueue: Spread | None
    """On Celery: until the broker had answered."""
    wait: Spread | None
    """Until a worker took it, the first time."""
    start: Spread | None
    """From there to the task's first line."""
    run: Spread | None
    """The body, the last time it ran."""
    overhead: Spread | None
    """What the caller paid: the sum of the first three."""


class Group:
    """What is kept of the calls that went one way: no more for a million of them than for a thousand."""

    __slots__ = (*PARTS, "dead", "starts", "without_run")

    def __init__(self) -> None:
        self.dead = self.without_run = 0
        self.overhead = Histogram()
        self.decide = Histogram()
        self.serialize = Histogram()
        self.enqueue = Histogram()
        self.wait = Histogram()
        self.start = Histogram()
        self.run = Histogram()
        self.starts = StartsRow()

    def hand_over(self, handed: Handed) -> None:
        """Count what the caller paid."""
        if not isnan(handed.overhead):
            self.overhead.add(handed.overhead)
        if not isnan(handed.decide):
            self.decide.add(handed.decide)
        if not isnan(handed.serialize):
            self.serialize.add(handed.serialize)
        if not isnan(handed.enqueue):
            self.enqueue.add(handed.enqueue)

    def begin(self, ran: Ran) -> None:
        """Count how long it was until its first attempt."""
        if not isnan(ran.wait):
            self.wait.add(ran.wait)
        if not isnan(ran.start):
            self.start.add(ran.start)

    def merge(self, other: Group) -> None:
        """Count all of `other` too."""
        self.dead += other.dead
        self.without_run += other.without_run
        for mine, others in zip(self._parts(), other._parts(), strict=True):
            mine.merge(others)
        self.starts.merge(other.starts)

    def costs(self, names: Mapping[str, str | None]) -> Costs:
        """What was counted, under these names."""
        return Costs(
            calls=self.starts.calls,
            failed=self.starts.failed,
            dead=self.dead,
            without_run=self.without_run,
            destination=names.get("destination"),
            transport=names.get("transport"),
            task=names.get("task"),
            rule=names.get("rule"),
            decide=_spread(self.decide),
            serialize=_spread(self.serialize),
            enqueue=_spread(self.enqueue),
            wait=_spread(self.wait),
            start=_spread(self.start),
            run=_spread(self.run),
            overhead=_spread(self.overhead),
        )

    def _parts(self) -> Iterable[Histogram]:
        return (getattr(self, part) for part in PARTS)


def _spread(part: Histogram) -> Spread | None:
    p50, p90, p99 = (part.quantile(share) for share in (0.5, 0.9, 0.99))
    if p50 is None or p90 is None or p99 is None:
        return None
    return Spread(count=part.count, p50=p50, p90=p90, p99=p99, largest=part.largest)
