"""Things whose time will come, soonest first, and a thread that hands each on when it is due."""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Callable
from itertools import count
from threading import TIMEOUT_MAX
from time import monotonic
from typing import Any, Final, Generic, TypeAlias, TypeVar
from weakref import WeakSet

T = TypeVar("T")

Entry: TypeAlias = tuple[float, int, T]
"""When it is due, its number among those that came, and the thing."""

A_WHILE: Final = 5.0
"""Seconds that the thread stays when there is nothing to do."""
FEW: Final = 64
"""Things that nobody wants any more are not worth looking for among so few."""

_known: WeakSet[Timers[Any]] = WeakSet()


def clock_moved() -> None:
    """Have every thread that waits for a time look at its clock again: the seam of `dispatch.testing`."""
    here = os.getpid()
    for timers in tuple(_known):
        if timers.pid == here:  # those of a parent may be locked for ever
            timers.look_again()


class Timers(Generic[T]):
    """What is due, soonest first, and the daemonic thread that waits for it; it starts with the first thing.

    Things that are due at the same moment are handed on in the order in which they came. Whoever makes one renews it
    in forked children: a lock that the parent held would never be released there.
    """

    def __init__(
        self,
        name: str,
        hand_on: Callable[[T], object],
        *,
        now: Callable[[], float],
        unit: float,
        wanted: Callable[[T], bool],
    ) -> None:
        """`hand_on` gets each thing in the timers' thread: it must not raise, and while it waits the others wait.
        Where the thread is struck meanwhile, it gets that thing again.
        `now` is the clock, and `unit` what it counts, in seconds: moments are compared as they are, unrounded.
        What is no longer `wanted` may be forgotten before its time.
        """
        self.name = name
        self._hand_on = hand_on
        self._now = now
        self._unit = unit
        self._wanted = wanted
        _known.add(self)
        self.renew()

    def renew(self) -> None:
        self.pid = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._due: list[Entry[T]] = []
        self._numbers = count()
        self._running = False
        self._in_hand: Entry[T] | None = None
        self._many = FEW

    def add(self, due: float, thing: T, *, most: int | None = None) -> bool:
        """Keep `thing` until `due`, unless `most` others that are wanted are kept already.

        Raises `RuntimeError` when no thread can be started: the interpreter is ending.
        """
        with self._changed:
            if most is not None and len(self._due) >= most:
                self._sweep()
                if len(self._due) >= most:
                    return False
            if not self._running:
                self._start()
            entry = (due, next(self._numbers), thing)
            heapq.heappush(self._due, entry)
            if len(self._due) > self._many:
                self._sweep()
            if self._due and self._due[0] is entry:
                self._changed.notify_all()
        return True

    def take_out(self, *, after: float | None = None) -> list[T]:
        """Forget the things that are due later than `after`, or all of them, and return those that were wanted."""
        with self._changed:
            taken = [entry for entry in self._due if after is None or entry[0] > after]
            self._due = [entry for entry in self._due if after is not None and entry[0] <= after]
            heapq.heapify(self._due)
            self._changed.notify_all()
        return [thing for _, _, thing in sorted(taken, key=lambda entry: entry[:2]) if self._wanted(thing)]

    def wait(self, until: Callable[[], object], deadline: float) -> None:
        """Wait until nothing is left here, or `until()` after something was handed on; at most to that `monotonic`."""
        with self._changed:
            self._changed.wait_for(lambda: until() or not len(self), max(0.0, deadline - monotonic()))

    def look_again(self) -> None:
        """The clock was moved."""
        with self._changed:
            self._changed.notify_all()

    @property
    def next_due(self) -> float | None:
        """When the next thing is due."""
        due = self._due
        return due[0][0] if due else None

    def __len__(self) -> int:
        """How many are kept, and just being handed on."""
        return len(self._due) + (self._in_hand is not None)

    # ---- under `_changed`

    def _sweep(self) -> None:
        self._due = [entry for entry in self._due if self._wanted(entry[2])]
        heapq.heapify(self._due)
        self._many = max(FEW, 2 * len(self._due))

    def _start(self) -> None:
        threading.Thread(target=self._run, name=self.name, daemon=True).start()
        self._running = True

    # ---- in the thread

    def _run(self) -> None:
        """Serve until nothing is due for a while. Whatever ends that otherwise, another thread takes over."""
        try:
            while self._take_next():
                self._hand_on_taken()
        except BaseException:
            with self._changed:
                if self._in_hand is not None:
                    heapq.heappush(self._due, self._in_hand)
                    self._in_hand = None
                self._running = False
                self._start()
            raise

    def _take_next(self) -> bool:
        """Wait for the next thing whose time has come. False after a while with nothing to wait for."""
        with self._changed:
            while True:
                if not self._due and not self._changed.wait(A_WHILE) and not self._due:
                    self._running = False
                    return False
                if not self._due:
                    continue
                time_left = (self._due[0][0] - self._now()) * self._unit
                if time_left <= 0:
                    self._in_hand = heapq.heappop(self._due)
                    return True
                self._changed.wait(min(time_left, TIMEOUT_MAX))

    def _hand_on_taken(self) -> None:
        if self._in_hand is not None:
            self._hand_on(self._in_hand[2])
        with self._changed:
            self._in_hand = None
            self._changed.notify_all()
