"""A bounded pool of coroutines on one event loop of its own.

Invariants, kept by `_changed`:

- at most `limit` items run, and at most `capacity` wait beside those whose delay has passed; an item waits only
  while `limit` of them run, or for the moment that the loop needs to come round. Beyond that runs, or waits, what one
  of them waits for (`_loans.py`);
- an item is in exactly one place: in `_waiting`, in `_running`, or ended;
- the loop is asked to come round once for all items that were sent since it last did.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeAlias, TypeVar

from dispatch._log import logger
from dispatch.pool._delays import Delays, always, forget
from dispatch.pool._loans import Loans, slot
from dispatch.pool._loop import LoopThread
from dispatch.pool._renewal import renew_in_children
from dispatch.pool._service import SERVICE_NS, SMOOTHING
from dispatch.pool._statistics import Drained, PoolStatistics

T = TypeVar("T")

Start: TypeAlias = Callable[[asyncio.AbstractEventLoop, T], "asyncio.Task[None]"]
"""Makes a task of an item, on a loop, in whose thread it is called. The task's last word is the pool's `ended`."""

_WAKE_UP_NS = 60_000
"""From `send` to the first line on an idle loop of another thread."""


class LoopPool(Generic[T]):
    """Runs at most `limit` items at once on a loop thread that starts with the first of them."""

    def __init__(
        self,
        name: str,
        start: Start[T],
        lost: Callable[[T], object],
        *,
        limit: int,
        capacity: int,
        late: Callable[[T], object] = forget,
        wanted: Callable[[T], bool] = always,
    ) -> None:
        """`lost` gets an item whose task was cancelled before its first step. `late` and `wanted`: as in a `Pool`."""
        self.name = name
        self.limit = limit
        self.capacity = capacity
        self.start = start
        self._lost = lost
        self._late = late
        self._wanted = wanted
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._delays: Delays[T] = Delays(
            self.name, self._admit, lost=self._lost, late=self._late, wanted=self._wanted, capacity=self.capacity
        )
        self._waiting: deque[T] = deque()
        self._running: dict[T, asyncio.Task[None]] = {}
        self._admitted: deque[T] = deque()  # were delayed, and somebody may have promised them his slot
        self._loans = Loans(self._start_ahead, self._wanted)
        self._starting, self._coming_round = 0, False
        self._thread: LoopThread | None = None
        self._finished = self._errors = 0
        self._service_ns = float(SERVICE_NS)
        self.pressure: str | None = None
        self.closed = False

    def try_send(self, item: T) -> bool:
        """Take `item` if there is room at once, and never after `close`."""
        with self._changed:
            return self._has_room() and self._take(item)

    def send(self, item: T, timeout: float) -> bool:
        """Take `item`, waiting up to `timeout` seconds for room; never after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._has_room(), timeout)
            return self._has_room() and self._take(item)

    def send_later(self, item: T, due: int) -> bool:
        """Take `item` and run it not before `due`, in `ticks`; not when as many are delayed as may wait."""
        return not self.closed and self.pressure is None and self._delays.try_add(item, due)

    def send_again(self, item: T, due: int) -> None:
        """`send_later` for an item that was run just now: there is always room for it, until the pool has ended."""
        self._delays.add(item, due)

    def resize(self, capacity: int) -> None:
        """Let so many items wait, and as many be delayed, from now on. None is sent away that is in already."""
        with self._changed:
            self.capacity = self._delays.capacity = capacity
            self._changed.notify_all()

    def press(self, why: str | None) -> None:
        """As of a `Pool`."""
        self.pressure = why
        self.resize(self.capacity)  # has those who wait look again

    def is_mine(self) -> bool:
        """Whether the running coroutine holds one of the slots, or was started by one that does."""
        return self._holder() is not None

    def stand_aside(self, item: T) -> None:
        """The running coroutine is about to wait for `item`: if it holds a slot and `item` waits for one, lend it."""
        holder = self._holder()
        if holder is not None and len(self._running) >= self.limit:
            self._loans.ask(holder, item)

    def send_aside(self, item: T) -> bool:
        """Take `item` beyond all limits, for the running coroutine to lend it its slot and wait. False: not for it."""
        holder = self._holder()
        if holder is None or self.closed or not self._loans.may(holder):
            return False
        with self._changed:
            self._waiting.append(item)
        self._loans.ask(holder, item)
        return True

    def oldest(self) -> T | None:
        """The item that has waited longest, still waiting; `None`: none does."""
        try:
            return self._waiting[0]
        except IndexError:
            return None

    def expected_wait_ns(self) -> int:
        """How long an item sent now would wait for its turn, from the depth and the recent time per item."""
        ahead = len(self._waiting) + len(self._running) - self.limit
        return _WAKE_UP_NS + (round((ahead + 1) * self._service_ns / self.limit) if ahead >= 0 else 0)

    def statistics(self) -> PoolStatistics:
        running, thread = len(self._running), self._thread
        return PoolStatistics(
            waiting=len(self._waiting),
            capacity=self.capacity,
            busy=running,
            workers=running,
            limit=self.limit,
            finished=self._finished,
            errors=self._errors + (thread.errors if thread is not None else 0),
            delayed=self._delays.count,
            next_due_ns=self._delays.next_due_ns,
            service_ns=round(self._service_ns),
        )

    def close(self, grace: float, *, drop: Callable[[T], object] | None = None) -> Drained:
        """Take nothing new, and wait up to `grace` seconds for what is held. Twice is once.

        Delayed items run that are due within the grace; the others are late. With `drop`, they all are, and items that
        have not started are given to it instead of being run. Called from the loop itself it does not wait. What is
        left goes on as long as the process does.
        """
        deadline = monotonic() + grace
        dropped_before = self._delays.dropped
        dropped: list[T] = []
        with self._changed:
            self.closed = True
            before = self._finished
            if drop is not None:
                dropped.extend(self._waiting)
                self._waiting.clear()
            self._changed.notify_all()
        if drop is None:
            self._delays.close(grace)
        else:
            self._delays.close(drop=drop)
            for item in dropped:
                drop(item)
        if self._thread is None or not self._thread.is_current:
            self._delays.outlast(self._wait_until_idle, deadline)
        self._delays.close()
        with self._changed:
            left, thread, finished = self._held(), self._thread, self._finished - before
        if thread is not None and not left:
            thread.end()
            if not thread.is_current:
                thread.join(max(0.0, deadline - monotonic()))
        return Drained(finished=finished, dropped=len(dropped) + self._delays.dropped - dropped_before, left=left)

    def _wait_until_idle(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._held(), timeout)

    def _admit(self, item: T) -> None:
        """Take an item whose time has come. It was let in long ago: nobody asks for room."""
        with self._changed:
            self._admitted.append(item)
            self._take(item)

    # ---- under `_changed`

    def _held(self) -> int:
        return len(self._waiting) + self._starting + len(self._running)

    def _has_room(self) -> bool:
        return not self.closed and self.pressure is None and self._held() < self.limit + self.capacity

    def _take(self, item: T) -> bool:
        if self._thread is None:
            self._thread = LoopThread(f"dispatch-{self.name}-loop")
        self._waiting.append(item)
        if not self._coming_round:
            self._coming_round = True
            self._thread.loop.call_soon_threadsafe(self._come_round, self._thread.loop)
        return True

    # ---- on the loop

    def ended(self, item: T, loop: asyncio.AbstractEventLoop, took_ns: int) -> None:
        """The last word of each item's task. A callback after its end would cost a turn of the loop."""
        self._running[item].remove_done_callback(self._broken_off)
        self._service_ns += (took_ns - self._service_ns) / SMOOTHING
        self._leave(item, loop)

    def _holder(self) -> T | None:
        """Whose slot the running coroutine has, of this pool."""
        held = slot.get()
        if held is None or held.pool is not self or self._thread is None or not self._thread.is_current:
            return None
        item: T | None = held.item
        return item if item in self._running else None

    def _come_round(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            self._coming_round = False
        while True:
            with self._changed:
                if not self._waiting or len(self._running) >= self.limit:
                    break
                item = self._waiting.popleft()
                self._starting = 1
            self._begin(loop, item)
            del item  # a waiting loop must not keep the last item's arguments alive
        while self._admitted:
            self._loans.came(self._admitted.popleft(), self._running)

    def _start_ahead(self, item: T) -> bool:
        """Start an item out of its turn; false when it does not wait any more."""
        with self._changed:
            try:
                self._waiting.remove(item)
            except ValueError:
                return False
            self._starting = 1
        self._begin(asyncio.get_running_loop(), item)
        return item in self._running

    def _begin(self, loop: asyncio.AbstractEventLoop, item: T) -> None:
        try:
            task = self.start(loop, item)
        except BaseException:  # noqa: BLE001 - user code is not called here: this is a fault of ours
            with self._changed:
                self._starting = 0
                self._errors += 1
            logger("pool").exception("an item could not be started", pool=self.name)
            self._lost(item)
            return
        with self._changed:
            self._starting = 0
            self._running[item] = task
        task.add_done_callback(self._broken_off)

    def _broken_off(self, task: asyncio.Task[None]) -> None:
        """A task that did not say `ended`: cancelled before its first step, or a fault of ours."""
        item = next(item for item, its in self._running.items() if its is task)
        if not task.cancelled():
            self._errors += 1
            logger("pool").error("an item met an internal error", pool=self.name, exc_info=task.exception())
        self._lost(item)
        self._leave(item, task.get_loop())

    def _leave(self, item: T, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            del self._running[item]
            self._finished += 1
            self._changed.notify_all()
            over = self.closed and not self._held() and not self._delays.count
        if self._loans.lent:
            self._loans.ended(item)
        if over and self._thread is not None:
            self._thread.end()
        elif self._waiting:
            self._come_round(loop)

    def __repr__(self) -> str:
        now = self.statistics()
        delayed = f" | {now.delayed} delayed" if now.delayed else ""
        state = f"{now.waiting} waiting{delayed} | {'closed' if self.closed else 'open'}"
        return f"<LoopPool {self.name!r} [{now.busy} running, at most {self.limit} | {state}]>"
