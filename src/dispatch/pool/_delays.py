"""Items that wait outside of their pool until they are due: for their time, or for another attempt."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from dispatch._clock import ticks
from dispatch._log import logger
from dispatch._timers import Timers

T = TypeVar("T")


def forget(_item: object) -> None:
    """What becomes of late items unless somebody cares."""


def always(_item: object) -> bool:
    """Which items are wanted unless some may become unwanted."""
    return True


class Delays(Generic[T]):
    """A thread for each pool that delays anything: while it waits for room there, other pools go on."""

    def __init__(
        self,
        pool: str,
        hand_on: Callable[[T], object],
        *,
        lost: Callable[[T], object],
        late: Callable[[T], object],
        wanted: Callable[[T], bool],
        capacity: int,
    ) -> None:
        """`hand_on` gets what is due, and may wait; `late` what the pool's end forestalls; `lost` what met a fault."""
        self.dropped = 0
        """How many were late."""
        self._hand_on = hand_on
        self._lost = lost
        self._late = late
        self.capacity = capacity
        self._last = math.inf
        """What is due later than that is late."""
        self._timers: Timers[T] = Timers(f"dispatch-{pool}-delays", self._ring, now=_now, unit=1e-9, wanted=wanted)

    def try_add(self, item: T, due: int) -> bool:
        """Keep `item` until `due`, in `ticks`; not when the delays are full, or no thread can be had for them."""
        try:
            return self._timers.add(due, item, most=self.capacity)
        except RuntimeError as error:
            logger("pool").warning("a thread for delays cannot be started", error=str(error))
            return False

    def add(self, item: T, due: int) -> None:
        """Keep `item`, of which the pool was rid a moment ago, however many there are."""
        try:
            if due <= self._last:
                self._timers.add(due, item)
                return
        except RuntimeError as error:
            logger("pool").warning("a thread for delays cannot be started", error=str(error))
        self.drop(item)

    def drop(self, item: T) -> None:
        self.dropped += 1
        self._late(item)

    def close(self, grace: float = -math.inf, *, drop: Callable[[T], object] | None = None) -> None:
        """What is due within so many seconds may still go into the pool; the rest is late, now and whenever it comes.

        Without a `grace`, that is everything. With `drop`, what is late is given to it.
        """
        self._late = drop or self._late
        self._last = _now() + grace * 1e9
        for item in self._timers.take_out(after=self._last):
            self.drop(item)

    def wait(self, until: Callable[[], object], deadline: float) -> None:
        """Wait until nothing is delayed, or `until()` after an item was handed on; at most to that `monotonic`."""
        self._timers.wait(until, deadline)

    def outlast(self, wait_for_the_running: Callable[[float], object], deadline: float) -> None:
        """Wait until nothing is delayed and nothing runs, for which to wait is known elsewhere; at most to `deadline`.

        What ran may be delayed in its turn, for another attempt.
        """
        while True:
            self.wait(lambda: False, deadline)
            wait_for_the_running(max(0.0, deadline - monotonic()))
            if not self.count or monotonic() >= deadline:
                return

    @property
    def next_due_ns(self) -> int | None:
        """In how many nanoseconds the next item is due."""
        due = self._timers.next_due
        return None if due is None else max(0, round(due) - _now())

    @property
    def count(self) -> int:
        """How many wait; those that nobody wants any more may count as well."""
        return len(self._timers)

    def _ring(self, item: T) -> None:
        try:
            self._hand_on(item)
        except BaseException:  # noqa: BLE001 - a fault of ours; the items behind it have their time as well
            logger("pool").exception("an item that was due met an internal error")
            self._lost(item)


def _now() -> int:
    return ticks()  # read by name each time: `dispatch.testing.clock` replaces it
