"""A clock that a test holds in its hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from dispatch import _clock
from dispatch._requirements import Duration
from dispatch._timers import clock_moved
from dispatch._units import as_duration_ns


class HeldClock:
    """Stands still until it is told to go on. Read from any thread, advanced from one."""

    def __init__(self) -> None:
        self._began, self._began_wall = _clock.ticks(), _clock.wall()
        self._passed = 0

    def advance(self, by: Duration) -> None:
        """Let time pass: `"1m30s"`, seconds, or a `timedelta`. Raises `ValueError` unless it is more than nothing."""
        self._passed += as_duration_ns(by)
        clock_moved()

    @property
    def now(self) -> datetime:
        """The date that dispatch sees."""
        # As a float it would be rounded to some other microsecond.
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.wall() // 1000)

    def ticks(self) -> int:
        return self._began + self._passed

    def wall(self) -> int:
        return self._began_wall + self._passed

    def __repr__(self) -> str:
        return f"<HeldClock {self.now.isoformat()}>"


@contextmanager
def clock() -> Generator[HeldClock]:
    """Inside the `with`, time passes for dispatch only when the test says so: `clock.advance("61s")`.

    It is what dispatch reads when it notes moments: a call's `expires`, its stamps, the dates in its traces. It also
    drives what waits for its time in this process: delays, the pauses between attempts, a task's `timeout`. Whoever
    waits for something else really waits: the timeouts of `result`, a pool's `block_timeout`, a broker's deadline,
    and so does Celery's worker. A date given as `expires` or `eta` is compared with the real one. A call that is on
    its way when the block begins or ends has moments of both clocks. Of two clocks the one opened last is read; open
    and close them in one thread.
    """
    held = HeldClock()
    before = _clock.ticks, _clock.wall
    hands = held.ticks, held.wall
    _put(before, hands)
    try:
        yield held
    finally:
        _put(hands, before)


def _put(old: tuple[Callable[[], int], ...], new: tuple[Callable[[], int], ...]) -> None:
    """Have all of dispatch read `new`. Its modules have the functions by name, which is the fastest way to have them,
    so each of them is told.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "dispatch":
            for word, was, now in zip(("ticks", "wall"), old, new, strict=True):
                if vars(module).get(word) is was:
                    setattr(module, word, now)
    clock_moved()
