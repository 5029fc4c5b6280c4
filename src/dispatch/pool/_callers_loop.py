"""A bounded pool of coroutines on the event loop of whoever sends them.

Each loop has a lane of its own, with limits of its own. Of a lane, everything but its end is done in its loop's
thread, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import _get_running_loop, get_running_loop
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Generic, TypeVar

from dispatch._log import logger
from dispatch.pool._delays import Delays, always, forget
from dispatch.pool._lane import Lane
from dispatch.pool._loans import slot
from dispatch.pool._loop_pool import Start
from dispatch.pool._renewal import renew_in_children
from dispatch.pool._service import SERVICE_NS, SMOOTHING
from dispatch.pool._statistics import Drained, PoolStatistics

T = TypeVar("T")

_WAKE_UP_NS = 20_000
"""From `send` to the first line: one turn of the loop, when nobody else keeps it."""


class CallersLoop(Generic[T]):
    """Runs at most `limit` items at once on each loop, while at most `capacity` wait there."""

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
        """`lost` gets what its loop cancelled before its first step, or was closed before. Else as a `Pool`."""
        self.name = name
        self.limit = limit
        self.capacity = capacity
        self.start = start
        self._lost, self._late, self._wanted = lost, late, wanted
        self._on_broken_off = self._broken_off  # made once, not for each item
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self._delays: Delays[tuple[Lane[T], T]] = Delays(
            self.name,
            self._admit,
            lost=lambda delayed: self._lost(delayed[1]),
            late=lambda delayed: self._late(delayed[1]),
            wanted=lambda delayed: self._wanted(delayed[1]),
            capacity=self.capacity,
        )
        self._lanes: dict[asyncio.AbstractEventLoop, Lane[T]] = {}
        self._changed = threading.Condition(threading.Lock())
        self._finished = self._errors = 0
        self._service_ns = float(SERVICE_NS)
        self.pressure: str | None = None
        self.closed = False

    def try_send(self, item: T) -> bool:
        """Take `item` if a loop runs in this thread and has room, and never after `close`."""
        loop = _get_running_loop()
        if loop is None or self.closed or self.pressure is not None:
            return False
        lane = self._lanes.get(loop) or self._new_lane(loop)
        if len(lane.running) < self.limit:
            # `_run`, written out: a call to it would be a twentieth of what all this may cost.
            lane.running[item] = task = self.start(loop, item)
            task.add_done_callback(self._on_broken_off)
        elif len(lane.waiting) < self.capacity:
            lane.waiting.append(item)
        else:
            return False
        return True

    async def asend(self, item: T, timeout: float) -> bool:  # noqa: ASYNC109 - its end is no error
        """`try_send` that waits up to `timeout` seconds for room."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop) or self._new_lane(loop)  # before it looks: whoever tells of room finds it
        deadline = loop.time() + timeout
        while not self.try_send(item):
            if self.closed:
                return False
            try:
                await lane.hope(deadline)
            except TimeoutError:
                return self.try_send(item)
        return True

    def ended(self, item: T, loop: asyncio.AbstractEventLoop, took_ns: int) -> None:
        """The last word of each item's task. A callback after its end would cost a turn of the loop."""
        lane = self._lanes[loop]
        lane.running.pop(item).remove_done_callback(self._on_broken_off)
        self._finished += 1
        if lane.waiting or lane.hoping or lane.lent or self.closed:
            self._service_ns += (took_ns - self._service_ns) / SMOOTHING
            self._go_on(lane, item)

    def send(self, item: T, _timeout: float) -> bool:
        """`try_send`: in a thread whose loop runs, nobody may wait."""
        return self.try_send(item)

    def send_later(self, item: T, due: int) -> bool:
        """Run `item` on this thread's loop not before `due`; not when as many are delayed as may wait on one."""
        loop = _get_running_loop()
        if loop is None or self.closed or self.pressure is not None:
            return False
        return self._delays.try_add((self._lanes.get(loop) or self._new_lane(loop), item), due)

    def send_again(self, item: T, due: int) -> None:
        """`send_later` for an item that was run just now: there is always room for it, until the pool has ended."""
        self._delays.add((self._lanes[get_running_loop()], item), due)

    def resize(self, capacity: int) -> None:
        """Let so many items wait on each loop, and as many be delayed, from now on. None is sent away that is in."""
        self.capacity = self._delays.capacity = capacity
        for lane in tuple(self._lanes.values()):
            with suppress(RuntimeError):  # a loop that is closed has nobody who hopes
                lane.loop.call_soon_threadsafe(lane.tell_all_of_room)

    def press(self, why: str | None) -> None:
        self.pressure = why
        self.resize(self.capacity)  # has those who hope look again

    def is_mine(self) -> bool:
        """Whether the running coroutine holds one of the slots of its loop, or was started by one that does."""
        return self._holding() is not None

    def stand_aside(self, item: T) -> None:
        """The running coroutine is about to wait for `item`: if it holds a slot and `item` waits for one, lend it."""
        held = self._holding()
        if held is not None and len(held[0].running) >= self.limit:
            held[0].loans.ask(held[1], item)

    def send_aside(self, item: T) -> bool:
        """Take `item` beyond all limits, for the running coroutine to lend it its slot and wait. False: not for it."""
        held = self._holding()
        if held is None or self.closed or not held[0].loans.may(held[1]):
            return False
        held[0].waiting.append(item)
        held[0].loans.ask(held[1], item)
        return True

    def oldest(self) -> T | None:
        """An item that has waited longest on its loop, still waiting; `None`: none does."""
        for lane in tuple(self._lanes.values()):
            with suppress(IndexError):
                return lane.waiting[0]
        return None

    def expected_wait_ns(self) -> int:
        """How long an item sent now would wait for its turn on the calling thread's loop."""
        loop = _get_running_loop()
        lane = None if loop is None else self._lanes.get(loop)
        if lane is None or len(lane.running) < self.limit:
            return _WAKE_UP_NS
        return _WAKE_UP_NS + round((len(lane.waiting) + 1) * self._service_ns / self.limit)

    def statistics(self) -> PoolStatistics:
        lanes = tuple(self._lanes.values())
        busy = sum(len(lane.running) for lane in lanes)
        return PoolStatistics(
            waiting=sum(len(lane.waiting) for lane in lanes),
            capacity=self.capacity,
            busy=busy,
            workers=busy,
            limit=self.limit,
            finished=self._finished,
            errors=self._errors,
            delayed=self._delays.count,
            next_due_ns=self._delays.next_due_ns,
            service_ns=round(self._service_ns),
        )

    def close(self, grace: float, *, drop: Callable[[T], object] | None = None) -> Drained:
        """Take nothing new, and wait up to `grace` seconds for what the loops of other threads hold. Twice is once.

        Delayed items run that are due within the grace; the others are late. With `drop`, they all are, and items that
        have not started are given to it instead of being run. A loop that runs in the calling thread is not waited
        for: it could not go on meanwhile. Called there, all that is delayed is late.
        """
        deadline, here = monotonic() + grace, _get_running_loop()
        self.closed = True
        self._forget_closed()
        before, dropped_before = self._finished, self._delays.dropped
        if drop is None and here is None:
            self._delays.close(grace)
        else:
            self._delays.close(drop=None if drop is None else lambda delayed: drop(delayed[1]))
        dropped = 0 if drop is None else self._drop_waiting(drop)
        self._delays.outlast(lambda timeout: self._wait_until_idle(here, timeout), deadline)
        self._delays.close()
        left = sum(lane.held() for lane in tuple(self._lanes.values()))
        dropped += self._delays.dropped - dropped_before
        return Drained(finished=self._finished - before, dropped=dropped, left=left)

    # ---- within

    def _wait_until_idle(self, here: asyncio.AbstractEventLoop | None, timeout: float) -> None:
        """But for the loop that runs in the calling thread."""
        others = [lane for lane in tuple(self._lanes.values()) if lane.loop is not here]
        with self._changed:
            self._changed.wait_for(lambda: not any(lane.held() for lane in others if lane.loop.is_running()), timeout)

    def _admit(self, delayed: tuple[Lane[T], T]) -> None:
        """Bring an item whose time has come to its loop; nobody asks for room. In the delays' thread."""
        lane, item = delayed
        lane.waiting.append(item)
        try:
            lane.loop.call_soon_threadsafe(self._come_round, lane, item)
        except RuntimeError:  # the loop is closed
            with suppress(ValueError):  # somebody else was here first, and told the item
                lane.waiting.remove(item)
                self._lost(item)

    def _come_round(self, lane: Lane[T], item: T) -> None:
        """In the lane's loop."""
        if len(lane.running) < self.limit:
            with suppress(IndexError):  # `close` dropped it, in another thread
                self._run(lane, lane.waiting.popleft())
        else:
            lane.loans.came(item, lane.running)

    def _holding(self) -> tuple[Lane[T], T] | None:
        """Whose slot the running coroutine has, of this pool, and on which lane."""
        held, loop = slot.get(), _get_running_loop()
        if held is None or held.pool is not self or loop is None:
            return None
        lane = self._lanes.get(loop)
        item: T = held.item
        return (lane, item) if lane is not None and item in lane.running else None

    def _start_ahead(self, lane: Lane[T], item: T) -> bool:
        """Start an item out of its turn; false when it does not wait any more."""
        try:
            lane.waiting.remove(item)
        except ValueError:
            return False
        self._run(lane, item)
        return True

    def _run(self, lane: Lane[T], item: T) -> None:
        lane.running[item] = task = self.start(lane.loop, item)
        task.add_done_callback(self._on_broken_off)

    def _broken_off(self, task: asyncio.Task[None]) -> None:
        """A task that did not say `ended`: cancelled before its first step, or a fault of ours."""
        lane = self._lanes[task.get_loop()]
        item = next(item for item, its in lane.running.items() if its is task)
        if not task.cancelled():
            self._errors += 1
            logger("pool").error("an item met an internal error", pool=self.name, exc_info=task.exception())
        self._lost(item)
        del lane.running[item]
        self._finished += 1
        self._go_on(lane, item)

    def _go_on(self, lane: Lane[T], ended: T) -> None:
        if lane.lent:
            lane.loans.ended(ended)
        if len(lane.running) < self.limit:
            with suppress(IndexError):  # nobody waits, or `close` dropped them, in another thread
                self._run(lane, lane.waiting.popleft())
        lane.tell_of_room()
        with self._changed:
            self._changed.notify_all()

    def _drop_waiting(self, drop: Callable[[T], object]) -> int:
        dropped = [item for lane in tuple(self._lanes.values()) for item in lane.take_waiting()]
        for item in dropped:
            drop(item)
        return len(dropped)

    def _new_lane(self, loop: asyncio.AbstractEventLoop) -> Lane[T]:
        self._forget_closed()
        return self._lanes.setdefault(loop, Lane(loop, self._start_ahead, self._wanted))

    def _forget_closed(self) -> None:
        """A loop that was closed runs nothing any more; whoever still waits for it is told."""
        for loop, lane in tuple(self._lanes.items()):
            if loop.is_closed() and self._lanes.pop(loop, None) is lane:
                for item in (*lane.waiting, *lane.running):
                    self._lost(item)

    def __repr__(self) -> str:
        now, state = self.statistics(), "closed" if self.closed else "open"
        return f"<CallersLoop {self.name!r} [{now.busy} running | {now.waiting} waiting | {state}]>"
