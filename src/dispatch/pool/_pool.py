"""A bounded pool of threads, fed by a channel.

Workers start as work arrives: one with each item, until there are as many as allowed. A worker that is kept by an
item past its time is *abandoned*: another takes its place, and it comes back when there is one for it. After a fork
the child's pool is new and empty: the parent's workers do not exist there, and what they were running is the parent's.

Invariants, kept by `_growing`:

- `_workers` and `_missing` together are never more than `limit`, and neither are the abandoned that were replaced;
- `_unusual` is true while `try_send` has more to ask than whether the channel has room.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from dispatch._log import logger
from dispatch.channel import Channel
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait
from dispatch.pool._delays import Delays, always, forget
from dispatch.pool._renewal import renew_in_children
from dispatch.pool._statistics import Drained, PoolStatistics
from dispatch.pool._stragglers import Stragglers
from dispatch.pool._worker import Relieved, Worker, current_worker

T = TypeVar("T")

_WAKE_UP_NS = 50_000
"""From `send` to a sleeping worker's first line, between threads of one process: 20 to 70 µs measured."""


class Pool(Generic[T]):
    """`workers` threads run `run(item)` for each item sent; at most `capacity` items wait, and as many are delayed."""

    def __init__(
        self,
        name: str,
        run: Callable[[T], int],
        *,
        workers: int,
        capacity: int,
        lost: Callable[[T], object] = forget,
        wanted: Callable[[T], bool] = always,
    ) -> None:
        """`run` says how many nanoseconds the item took, which feeds the expected wait.

        `lost` gets a delayed item that will not run, because the pool ended first; one that is no longer `wanted`
        gives up its place among the delayed.
        """
        self.name = name
        self.limit = workers
        self.capacity = capacity
        self._run = run
        self._lost = lost
        self._wanted = wanted
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self._channel: Channel[T] = Channel(self.capacity)
        self._delays: Delays[T] = Delays(self.name, self._admit, self._lost, self._wanted, capacity=self.capacity)
        self._workers: list[Worker[T]] = []
        self._growing = threading.Lock()
        self._missing = self.limit
        self._abandoned: list[Worker[T]] = []
        self._started = 0
        self._relieved_finished = self._relieved_errors = 0
        self._crowded = False
        """Whether an item whose time has come waits for room."""
        self._unusual = True
        self._stragglers = Stragglers(self._delays)

    # ---- taking items

    def try_send(self, item: T) -> bool:
        """Take `item` if there is room at once, and never after `close`, nor where no thread can be had to run it."""
        if self._unusual and not self._has_workers():
            return False
        try:
            self._channel.send_nowait(item)
        except (WouldWait, ChannelClosed):
            return False
        return True

    def send(self, item: T, timeout: float) -> bool:
        """Take `item`, waiting up to `timeout` seconds for room; never after `close`."""
        if self.stuck:
            return False
        try:
            self._channel.send(item, timeout)
        except (TimeoutError, ChannelClosed):
            return False
        return True

    def send_later(self, item: T, due: int) -> bool:
        """Take `item` and run it not before `due`, in `ticks`; not when as many are delayed as may wait."""
        self._grow()
        return bool(self._workers) and not self.closed and self._delays.try_add(item, due)

    def send_again(self, item: T, due: int) -> None:
        """`send_later` for an item that was run just now: there is always room for it, until the pool has ended."""
        self._delays.add(item, due)

    @property
    def closed(self) -> bool:
        return self._channel.closed

    # ---- looking at it

    def is_mine(self) -> bool:
        """Whether the calling thread is one of this pool's workers."""
        return threading.current_thread() in self._workers

    @property
    def stuck(self) -> bool:
        """Whether as many workers are abandoned as there may be."""
        return len(self._abandoned) >= self.limit

    def expected_wait_ns(self) -> int:
        """How long an item sent now would wait for its worker, from the depth and the recent time per item."""
        waiting = len(self._channel)
        if not waiting and (self._missing or not all(worker.busy for worker in self._workers)):
            return _WAKE_UP_NS
        workers = self._workers
        mean = sum(worker.service_ns for worker in workers) / len(workers) if workers else 0.0
        return _WAKE_UP_NS + round((waiting + 1) * mean / self.limit)

    def statistics(self) -> PoolStatistics:
        with self._growing:
            workers, abandoned = tuple(self._workers), tuple(self._abandoned)
            finished, errors = self._relieved_finished, self._relieved_errors
        return PoolStatistics(
            waiting=len(self._channel),
            capacity=self.capacity,
            busy=sum(worker.busy for worker in workers),
            workers=len(workers),
            limit=self.limit,
            finished=finished + sum(worker.finished for worker in (*workers, *abandoned)),
            errors=errors + sum(worker.errors for worker in (*workers, *abandoned)),
            delayed=self._delays.count + len(self._stragglers),
            next_due_ns=self._delays.next_due_ns,
            abandoned=len(abandoned),
        )

    # ---- its end

    def close(self, grace: float, *, drop: Callable[[T], None] | None = None) -> Drained:
        """Take nothing new, and wait up to `grace` seconds for what is held. Twice is once.

        Delayed items run that are due within the grace; the others are lost. With `drop`, they all are, and items that
        no worker has taken yet are given to it instead of being run.
        """
        deadline = monotonic() + grace
        self._stragglers.deadline = deadline if drop is None else -math.inf
        before, lost_before = self.statistics(), self._delays.lost
        self._channel.close()
        dropped = 0
        if drop is None:
            self._delays.close(grace)
        else:
            self._delays.close()
            for item in self._rest():
                drop(item)
                dropped += 1
        for worker in tuple(self._workers):
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - monotonic()))
        self._delays.close()
        self._stragglers.lose()
        after = self.statistics()
        return Drained(
            finished=after.finished - before.finished,
            dropped=dropped + self._delays.lost - lost_before,
            left=after.waiting + after.busy + after.abandoned,
        )

    def _rest(self) -> list[T]:
        rest = []
        while True:
            try:
                rest.append(self._channel.receive_nowait())
            except (EndOfChannel, WouldWait):
                return rest

    # ---- delayed items

    def _admit(self, item: T) -> None:
        """Send an item whose time has come. In the delays' thread, which may wait; newcomers stand back meanwhile."""
        if self._missing:
            self._grow()
        try:
            self._channel.send_nowait(item)
        except WouldWait:
            self._send_first(item)
        except ChannelClosed:
            self._stragglers.add(item)

    def _send_first(self, item: T) -> None:
        self._set_crowded(crowded=True)
        try:
            # With a timeout those who wait take turns; without one, it would be a race against newcomers.
            self._channel.send(item, threading.TIMEOUT_MAX)
        except ChannelClosed:
            self._stragglers.add(item)
        finally:
            self._set_crowded(crowded=False)

    def _set_crowded(self, *, crowded: bool) -> None:
        with self._growing:
            self._crowded = crowded
            self._review()

    # ---- workers

    def worker_here(self) -> Worker[T] | None:
        """The worker whose thread this is, if it runs nothing else around the item in hand."""
        worker = current_worker()
        return None if worker is None or worker.depth or worker not in self._workers else worker

    def abandon(self, worker: Worker[T]) -> None:
        """Count on `worker` no more: the item that it runs is past its time. A new one starts in its place.

        Beyond `limit` abandoned ones nobody takes their places, so that a pool has at most twice as many threads.
        """
        with self._growing:
            self._workers = [each for each in self._workers if each is not worker]
            self._abandoned.append(worker)
            if len(self._abandoned) <= self.limit:
                self._missing += 1
            self._review()
        self._grow()

    def take_back(self, worker: Worker[T]) -> None:
        """The item that kept `worker` has ended after all. Raises `Relieved` where its place is taken."""
        with self._growing:
            self._abandoned.remove(worker)
            if len(self._workers) < self.limit:
                self._workers = [*self._workers, worker]
                self._missing = min(self._missing, self.limit - len(self._workers))
                self._review()
                return
            self._relieved_finished += worker.finished + 1
            self._relieved_errors += worker.errors
            self._review()
        raise Relieved

    def _has_workers(self) -> bool:
        """Whether a newcomer may be sent; starts a worker for it where there may be one more."""
        if self._missing:
            self._grow()
        return bool(self._workers) and not self._crowded and not self.stuck

    def _grow(self) -> None:
        with self._growing:
            if not self._missing or self.closed:
                return
            worker = Worker(self.name, self._started + 1, self._channel, self._run, self._stragglers.next)
            try:
                worker.start()
            except RuntimeError as error:
                # The machine gives no more threads. Those that run take the work; the next item tries again.
                logger("pool").warning("a worker cannot be started", pool=self.name, error=str(error))
                return
            self._started += 1
            self._workers = [*self._workers, worker]
            self._missing -= 1
            self._review()

    def _review(self) -> None:
        self._unusual = self._missing > 0 or self._crowded or self.stuck

    def __repr__(self) -> str:
        now = self.statistics()
        state = "closed" if self.closed else "open"
        delayed = f" | {now.delayed} delayed" if now.delayed else ""
        abandoned = f", {now.abandoned} abandoned" if now.abandoned else ""
        return (
            f"<Pool {self.name!r} [threads: {now.busy} busy of {now.workers}, at most {now.limit}{abandoned} | "
            f"channel: {now.waiting} of {now.capacity}{delayed} | {state}]>"
        )
