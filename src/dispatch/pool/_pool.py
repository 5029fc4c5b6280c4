"""A bounded pool of threads, fed by a channel.

After a fork the child's pool is new and empty: the parent's workers do not exist there, and what they were running is
the parent's.

Invariant, kept by the turn of `threads`: `_unusual` is true while `try_send` has more to ask than whether the channel
has room.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from dispatch._clock import ticks
from dispatch._fork import notice_fork
from dispatch.channel import Channel
from dispatch.channel._capacity import Capacity
from dispatch.channel._oldest import oldest
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait
from dispatch.pool._delays import Delays, always, forget
from dispatch.pool._renewal import renew_in_children
from dispatch.pool._roster import Roster
from dispatch.pool._service import lasting, together, unknown
from dispatch.pool._statistics import Drained, PoolStatistics
from dispatch.pool._stragglers import Stragglers
from dispatch.pool._worker import Worker

T = TypeVar("T")

_WAKE_UP_NS = 50_000
"""From `send` to a sleeping worker's first line, between threads of one process: 20 to 70 µs measured."""


class Pool(Generic[T]):
    """`workers` threads run `run(item)` for each item sent; at most `capacity` items wait, and as many are delayed."""

    def __init__(
        self,
        name: str,
        run: Callable[[T], int],
        lost: Callable[[T], None],
        *,
        workers: int,
        capacity: int,
        late: Callable[[T], object] = forget,
        wanted: Callable[[T], bool] = always,
        since: Callable[[T], int] = unknown,
    ) -> None:
        """`run` says how many nanoseconds the item took, which feeds the expected wait.

        `lost` gets an item whose worker fell: it did not run, or not to its end. `late` gets a delayed one that will
        not run, because the pool ended first. One that is no longer `wanted` gives up its place among the delayed.
        `since` says at which of the `ticks` a worker took an item, 0 where that is not known.
        """
        self.name = name
        self.limit = workers
        self.capacity = capacity
        self.work: Callable[[T], int] = run
        self.lost: Callable[[T], None] = lost
        self._late, self._wanted = late, wanted
        self._since = since
        self.threads = Roster(self, workers, self._review)
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self.channel: Channel[T] = Channel(self.capacity)
        self._slots = Capacity(self.channel) if self.capacity else None
        self.closing = threading.Event()
        self.threads.renew()
        self._delays: Delays[T] = Delays(
            self.name,
            self._admit,
            lost=self._lose,
            late=self._late,
            wanted=self._wanted,
            capacity=self.capacity,
        )
        self._stragglers = Stragglers(self._delays)
        self._crowded = False  # whether an item whose time has come waits for room
        self.pressure: str | None = None
        self._relief = threading.Event()  # down while there is pressure
        self._unusual = True

    # ---- taking items

    def try_send(self, item: T) -> bool:
        """Take `item` if there is room at once, and never after `close`, nor where no thread can be had to run it."""
        if self._unusual and not self._welcomes():
            return False
        try:
            self.channel.send_nowait(item)
        except (WouldWait, ChannelClosed):
            return False
        return True

    def send(self, item: T, timeout: float) -> bool:
        """Take `item`, waiting up to `timeout` seconds for room; never after `close`, nor without a worker.

        Starts none: to be tried after `try_send`, which does.
        """
        if not self.threads.workers or self.threads.stuck:
            return False
        deadline = monotonic() + timeout
        while self.pressure is not None and not self.closed:
            if not self._relief.wait(max(0.0, deadline - monotonic())):
                return False
        try:
            self.channel.send(item, max(0.0, deadline - monotonic()))
        except (TimeoutError, ChannelClosed):
            return False
        return True

    def send_later(self, item: T, due: int) -> bool:
        """Take `item` and run it not before `due`, in `ticks`; not when as many are delayed as may wait."""
        self.threads.grow()
        welcome = bool(self.threads.workers) and self.pressure is None and not self.closed
        return welcome and self._delays.try_add(item, due)

    def send_again(self, item: T, due: int) -> None:
        """`send_later` for an item that was run just now: there is always room for it, until the pool has ended."""
        self._delays.add(item, due)

    def work_by(self, run: Callable[[T], int], lost: Callable[[T], None]) -> None:
        """Have items run otherwise: whatever is sent from now on, and what waits already."""
        with self.threads.turn:
            self.work = run
            self.lost = lost
            for worker in self.threads.everybody:
                worker.run_item = run

    def resize(self, capacity: int) -> None:
        """Let so many items wait, and as many be delayed, from now on. None is sent away that is in already.

        Raises `ValueError` to or from 0: that is another kind of channel.
        """
        if capacity != self.capacity:
            if self._slots is None:
                raise ValueError("a pool without capacity gets none while it works")
            self._slots.become(capacity)
            self.capacity = capacity
            self._delays.capacity = capacity

    def press(self, why: str | None) -> None:
        """Be as if full from now on, because of `why`; `None`: no more. What is in goes on. Never waits."""
        with self.threads.turn:
            # While there is pressure the flag is down, or those who wait would turn in a circle.
            if why is not None:
                self._relief.clear()
            self.pressure = why
            if why is None or self.closed:
                self._relief.set()
            self._review()

    @property
    def closed(self) -> bool:
        return self.channel.closed

    # ---- looking at it

    def is_mine(self) -> bool:
        """Whether the calling thread is one of this pool's workers."""
        return threading.current_thread() in self.threads.workers

    def expected_wait_ns(self) -> int:
        """How long an item sent now would wait for its worker, from the depth and the recent time per item."""
        waiting = len(self.channel)
        workers = self.threads.workers
        if not waiting and (self.threads.missing or not all(worker.busy for worker in workers)):
            return _WAKE_UP_NS
        return _WAKE_UP_NS + round((waiting + 1) * self.service_ns() / self.limit)

    def service_ns(self) -> float:
        """How long a worker takes for one item, as far as recent items and those in hand tell."""
        now = ticks()
        return together([lasting(each.service_ns, each.item, self._since, now) for each in self.threads.workers])

    def statistics(self) -> PoolStatistics:
        threads = self.threads.count()
        return PoolStatistics(
            waiting=len(self.channel),
            capacity=self.capacity,
            busy=threads.busy,
            workers=threads.workers,
            limit=self.limit,
            finished=threads.finished,
            errors=threads.errors,
            delayed=self._delays.count + len(self._stragglers),
            next_due_ns=self._delays.next_due_ns,
            abandoned=threads.abandoned,
            service_ns=round(self.service_ns()),
        )

    def oldest(self) -> T | None:
        """The item that has waited longest, still waiting; `None`: none does, or it cannot be told."""
        return oldest(self.channel)

    # ---- its end

    def close(self, grace: float, *, drop: Callable[[T], object] | None = None) -> Drained:
        """Take nothing new, and wait up to `grace` seconds for what is held. Twice is once.

        Delayed items run that are due within the grace; the others are late. With `drop`, they all are, and items that
        no worker has taken yet are given to it instead of being run.
        """
        deadline = monotonic() + grace
        self._stragglers.deadline = deadline if drop is None else -math.inf
        before, dropped_before = self.statistics(), self._delays.dropped
        self.channel.close()
        self.closing.set()
        self._relief.set()
        dropped = 0
        if drop is None:
            self._delays.close(grace)
        else:
            self._delays.close(drop=drop)
            for item in self._rest():
                drop(item)
                dropped += 1
        while (worker := self.threads.alive()) is not None and (time_left := deadline - monotonic()) > 0:
            worker.join(time_left)
        self._delays.close()
        self._stragglers.drop()
        after = self.statistics()
        return Drained(
            finished=after.finished - before.finished,
            dropped=dropped + self._delays.dropped - dropped_before,
            left=after.waiting + after.busy + after.abandoned,
        )

    def _rest(self) -> list[T]:
        rest = []
        while True:
            try:
                rest.append(self.channel.receive_nowait())
            except (EndOfChannel, WouldWait):
                return rest

    # ---- delayed items

    def _lose(self, item: T) -> None:
        self.lost(item)  # looked up when there is one: it may have changed

    def _admit(self, item: T) -> None:
        """Send an item whose time has come. In the delays' thread, which may wait; newcomers stand back meanwhile."""
        self.threads.grow()
        try:
            self.channel.send_nowait(item)
        except WouldWait:
            self._send_first(item)
        except ChannelClosed:
            self._stragglers.add(item)

    def _send_first(self, item: T) -> None:
        self._set_crowded(crowded=True)
        try:
            # With a timeout those who wait take turns; without one, it would be a race against newcomers.
            self.channel.send(item, threading.TIMEOUT_MAX)
        except ChannelClosed:
            self._stragglers.add(item)
        finally:
            self._set_crowded(crowded=False)

    def _set_crowded(self, *, crowded: bool) -> None:
        with self.threads.turn:
            self._crowded = crowded
            self._review()

    # ---- asked by those who send, and by the workers

    def _welcomes(self) -> bool:
        """Whether a newcomer may be sent; starts a worker for it where there may be one more."""
        if notice_fork():
            return False  # this pool was the parent's a moment ago: whoever sends tries anew
        self.threads.grow()
        return bool(self.threads.workers) and not (self._crowded or self.threads.stuck or self.pressure is not None)

    def _review(self) -> None:
        self._unusual = self._crowded or self.pressure is not None or self.threads.missing > 0 or self.threads.stuck

    def straggler(self) -> T:
        return self._stragglers.next()

    def replace(self, worker: Worker[T]) -> bool:
        return self.threads.replace(worker)

    def __repr__(self) -> str:
        now = self.statistics()
        state = "closed" if self.closed else "open"
        delayed = f" | {now.delayed} delayed" if now.delayed else ""
        abandoned = f", {now.abandoned} abandoned" if now.abandoned else ""
        return (
            f"<Pool {self.name!r} [threads: {now.busy} busy of {now.workers}, at most {now.limit}{abandoned} | "
            f"channel: {now.waiting} of {now.capacity}{delayed} | {state}]>"
        )
