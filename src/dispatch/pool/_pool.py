"""A bounded pool of threads, fed by a channel.

Workers start as work arrives: one with each item, until there are as many as allowed. After a fork the child's
pool is new and empty: the parent's workers do not exist there, and what they were running is the parent's.

A worker that falls is replaced. One that falls over its first item is replaced after a pause, which doubles with each
that does no better: whatever is wrong with all of them must not keep the machine busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from dispatch._fork import notice_fork
from dispatch._log import logger
from dispatch.channel import Channel
from dispatch.channel._oldest import oldest
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait
from dispatch.pool._renewal import renew_in_children
from dispatch.pool._statistics import Drained, PoolStatistics
from dispatch.pool._worker import Worker

T = TypeVar("T")

_WAKE_UP_NS = 50_000
"""From `send` to a sleeping worker's first line, between threads of one process: 20 to 70 µs measured."""

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0
"""Seconds."""


class Pool(Generic[T]):
    """`workers` threads run `run(item)` for each item sent; at most `capacity` items wait."""

    def __init__(
        self, name: str, run: Callable[[T], int], lost: Callable[[T], None], *, workers: int, capacity: int
    ) -> None:
        """`run` says how many nanoseconds the item took, which feeds the expected wait.

        `lost` gets an item whose worker fell: it did not run, or not to its end.
        """
        self.name = name
        self.limit = workers
        self.capacity = capacity
        self.work = run
        self.lost = lost
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self._channel: Channel[T] = Channel(self.capacity)
        self._workers: list[Worker[T]] = []
        self._growing = threading.Lock()
        self._missing = self.limit
        self._fallen_finished = 0
        self._fallen_errors = 0
        self.closing = threading.Event()

    def try_send(self, item: T) -> bool:
        """Take `item` if there is room at once, and never after `close`, nor where no thread can be had to run it."""
        if self._missing and not self._manned():
            return False
        try:
            self._channel.send_nowait(item)
        except (WouldWait, ChannelClosed):
            return False
        return True

    def send(self, item: T, timeout: float) -> bool:
        """Take `item`, waiting up to `timeout` seconds for room; never after `close`, nor without a worker.

        Starts none: to be tried after `try_send`, which does.
        """
        if not self._workers:
            return False
        try:
            self._channel.send(item, timeout)
        except (TimeoutError, ChannelClosed):
            return False
        return True

    @property
    def closed(self) -> bool:
        return self._channel.closed

    def is_mine(self) -> bool:
        """Whether the calling thread is one of this pool's workers."""
        return threading.current_thread() in self._workers

    def expected_wait_ns(self) -> int:
        """How long an item sent now would wait for its worker, from the depth and the recent time per item."""
        waiting = len(self._channel)
        if not waiting and (self._missing or not all(worker.busy for worker in self._workers)):
            return _WAKE_UP_NS
        workers = self._workers
        mean = sum(worker.service_ns for worker in workers) / len(workers) if workers else 0.0
        return _WAKE_UP_NS + round((waiting + 1) * mean / self.limit)

    def statistics(self) -> PoolStatistics:
        workers = tuple(self._workers)
        return PoolStatistics(
            waiting=len(self._channel),
            capacity=self.capacity,
            busy=sum(worker.busy for worker in workers),
            workers=len(workers),
            limit=self.limit,
            finished=self._fallen_finished + sum(worker.finished for worker in workers),
            errors=self._fallen_errors + sum(worker.errors for worker in workers),
        )

    def oldest(self) -> T | None:
        """The item that has waited longest, still waiting; `None`: none does, or it cannot be told."""
        return oldest(self._channel)

    def close(self, grace: float, *, drop: Callable[[T], None] | None = None) -> Drained:
        """Take nothing new, and wait up to `grace` seconds for what is held. Twice is once.

        With `drop`, items that no worker has taken yet are given to it instead of being run.
        """
        self._channel.close()
        self.closing.set()
        before = self.statistics()
        dropped = 0
        if drop is not None:
            for item in self._rest():
                drop(item)
                dropped += 1
        deadline = monotonic() + grace
        while (worker := self._alive()) is not None and (time_left := deadline - monotonic()) > 0:
            worker.join(time_left)
        after = self.statistics()
        return Drained(finished=after.finished - before.finished, dropped=dropped, left=after.waiting + after.busy)

    def _rest(self) -> list[T]:
        rest = []
        while True:
            try:
                rest.append(self._channel.receive_nowait())
            except (EndOfChannel, WouldWait):
                return rest

    def _alive(self) -> Worker[T] | None:
        """A worker that has not ended, but for the calling thread; each time, since one may have been replaced."""
        here = threading.current_thread()
        return next((each for each in tuple(self._workers) if each is not here and each.is_alive()), None)

    def _manned(self) -> bool:
        """Start one more worker; whether there is any."""
        if notice_fork():
            return False  # this pool was the parent's a moment ago: whoever sends tries anew
        with self._growing:
            if self._missing and not self.closed:
                worker = self._started(len(self._workers) + 1)
                if worker is not None:
                    self._workers.append(worker)
                    self._missing -= 1
            return bool(self._workers)

    def replace(self, worker: Worker[T]) -> bool:
        """Start another worker in the place of one that fell. False when none can be had: it goes on itself."""
        pause = 0.0 if worker.finished > 1 else min(_LONGEST_PAUSE, 2 * worker.pause or _FIRST_PAUSE)
        with self._growing:
            if worker not in self._workers:
                return True  # replaced already; or a task forked, and in the child nobody knows its worker
            replacement = self._started(worker.number, pause)
            if replacement is None:
                return False
            self._workers[self._workers.index(worker)] = replacement
            self._fallen_finished += worker.finished
            self._fallen_errors += worker.errors
        return True

    def _started(self, number: int, pause: float = 0.0) -> Worker[T] | None:
        worker = Worker(self, number, self._channel, pause=pause)
        try:
            worker.start()
        except RuntimeError as error:
            # The machine gives no more threads. Those that run take the work; the next item tries again.
            logger("pool").warning("a worker cannot be started", pool=self.name, error=str(error))
            return None
        return worker

    def __repr__(self) -> str:
        now = self.statistics()
        state = "closed" if self.closed else "open"
        return (
            f"<Pool {self.name!r} [threads: {now.busy} busy of {now.workers}, at most {now.limit} | "
            f"channel: {now.waiting} of {now.capacity} | {state}]>"
        )
