"""A destination in this process: which calls it takes, what it does when it is full, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from sys import maxsize
from time import monotonic
from typing import Literal, Self

from msgspec.structs import replace

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._decision import Transport
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch._units import show_size
from dispatch.errors import CallCancelled, DestinationFull, PassedOver
from dispatch.policy import LocalSettings
from dispatch.pool import Allowance, Bounded, Drained
from dispatch.transports._destination import HandOver, Pending
from dispatch.transports._statistics import DestinationStatistics
from dispatch.transports.local._coroutines import Coroutines
from dispatch.transports.local._leave import Leave
from dispatch.transports.local._threads import Threads
from dispatch.transports.local._waits import Aside, Here, InPlace, Room


class LocalDestination:
    """A pool for functions and a loop for coroutines, each with the limits that the policy gives it."""

    transport: Transport = "local"
    runs_on: Transport = "local"
    _runner: type[Threads] = Threads
    always_fit = True  # where a call needs its caller's loop, `try_now` looks for one

    def __init__(self, name: str, settings: LocalSettings) -> None:
        self.name = name
        self.max_payload = settings.max_bytes
        self._settings = settings
        self._allowance = _allowance(settings)
        self._coroutines = Coroutines(name, settings, self._allowance)
        self._functions = None if settings.runner == "asyncio" else self._runner(name, settings, self._allowance)
        self._pool: Bounded[Call] = self._coroutines.pool if self._functions is None else self._functions.pool
        """For everything that is no coroutine."""

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        runner = self._coroutines if spec.coroutine or self._functions is None else self._functions
        why = runner.cannot_run(spec)
        return self._forgets(durability) or (None if why is None else PassedOver(self.name, "cannot_carry", why))

    def unfit(self, durability: Durability) -> PassedOver | None:
        if durability != "ephemeral":
            return self._forgets(durability)
        held = None if self._functions is None else self._functions.unfit()
        if held is not None:
            return PassedOver(self.name, "refused", held)
        why = self._coroutines.unfit()
        return None if why is None else PassedOver(self.name, "cannot_carry", why)

    def _forgets(self, durability: Durability) -> PassedOver | None:
        if durability == "ephemeral":
            return None
        cure = "a durable call needs a Celery destination in the policy, and a broker: set DISPATCH_BROKER_URL"
        return PassedOver(self.name, "not_durable", f"what waits in memory dies with the process; {cure}")

    def predicted_start_ns(self, spec: TaskSpec) -> int:
        return self._pool_for(spec).expected_wait_ns()

    def figures(self, spec: TaskSpec) -> dict[str, int]:
        now = self._pool_for(spec).statistics()
        names = ("waiting", "capacity", "busy", "limit", "service_ns")
        return {{"limit": "workers"}.get(name, name): getattr(now, name) for name in names}

    def refuses(self, spec: TaskSpec, args: tuple[object, ...], kwargs: dict[str, object]) -> PassedOver | None:
        return None

    # ---- taking calls

    def try_now(self, call: Call) -> bool:
        return (self._coroutines.pool if call.spec.coroutine else self._pool).try_send(call)  # `_pool_for`, written out

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Follow `on_full` when there is no room. Raises `DestinationFull` when it says `reject`."""
        pool = self._pool_for(call.spec)
        if call.delay_ns:
            return self._hand_over_later(pool, call, call.delay_ns)
        if pool.try_send(call):
            return None
        if self._settings.on_full == "block" and may_wait and not pool.is_mine():
            room = Room(pool, call, self._settings.block_timeout_ns / 1e9)
            try:
                yield room
            except BaseException:
                # Whoever waited is gone; a thread of `wait_async` may still be sending for it.
                call.settle(Failure(CallCancelled(f"call {call.id} was given up while it waited for room")))
                raise
            if room.sent:
                return None
        if pool.closed:
            return self._closed()
        full = PassedOver(self.name, "full", pool.pressure or self._how_full(pool.capacity))
        if self._settings.on_full == "reject":
            raise DestinationFull(call.spec.name, [full])
        if self._settings.on_full == "caller_runs" and self._functions is not None and not call.spec.coroutine:
            yield Here(self._functions, call)
            return None
        return full

    def _hand_over_later(self, pool: Bounded[Call], call: Call, delay_ns: int) -> PassedOver | None:
        """Nobody waits for room among the delayed: it may be hours before there is some."""
        call.due = call.entered + delay_ns
        if pool.send_later(call, call.due):
            return None
        call.due = 0
        if pool.closed:
            return self._closed()
        full = PassedOver(self.name, "full", pool.pressure or self._how_full(pool.capacity, "delayed"))
        if self._settings.on_full == "reject":
            raise DestinationFull(call.spec.name, [full])
        return full

    def _closed(self) -> PassedOver:
        return PassedOver(self.name, "refused", "it was shut down; `dispatch.configure()` starts anew")

    def run_here(self, call: Call, *, awaiting: bool) -> Pending | None:
        if call.delay_ns:
            return None  # its time is to come
        if call.spec.coroutine:
            # Without `await` it cannot be finished before `delay` returns.
            return Aside(call) if awaiting and self._coroutines.send_aside(call) else None
        if self._functions is None or not self._pool.is_mine():
            return None
        return InPlace(self._functions, call)

    def _how_full(self, capacity: int, how: Literal["waiting", "delayed"] = "waiting") -> str:
        allowance = self._allowance
        if allowance is None or self.max_payload is None:
            return f"{capacity} calls are {how}"
        waiting = f"{show_size(allowance.held)} of {show_size(allowance.limit)} are waiting, others stand in line,"
        return f"{waiting} or {capacity} calls are {how}"

    def _pool_for(self, spec: TaskSpec) -> Bounded[Call]:
        return self._coroutines.pool if spec.coroutine else self._pool

    # ---- its end, and its next life

    def revised(self, settings: LocalSettings) -> Self:
        """The same workers, and what waits for them, under other limits; the runner has to be the same."""
        other = copy(self)
        other._settings = settings  # noqa: SLF001 - another of this class
        other.max_payload = settings.max_bytes
        other._allowance = self._allowance or _allowance(settings)  # noqa: SLF001 - as above
        return other

    def enforce(self) -> None:
        for pool in self._pools:
            pool.resize(self._settings.capacity)
        if self._allowance is not None:
            self._allowance.become(self.max_payload or maxsize)
            for runner in (self._coroutines, self._functions):
                if runner is not None:
                    runner.weigh(self._allowance)
            self._pool = self._pools[0]

    def press(self, why: str | None) -> None:
        """Be as if full from now on, because of `why`; `None`: no more. What is in goes on. Never waits."""
        for pool in self._pools:
            pool.press(why)

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        leave = Leave(hand_on if self._settings.on_shutdown == "hand_over" else None)
        drop = None if self._settings.on_shutdown == "finish" else leave
        deadline = monotonic() + grace
        ended = Drained.sum(pool.close(max(0.0, deadline - monotonic()), drop=drop) for pool in self._pools)
        return replace(ended, dropped=ended.dropped - leave.handed_over, handed_over=leave.handed_over)

    @property
    def _pools(self) -> tuple[Bounded[Call], ...]:
        return (self._coroutines.pool,) if self._functions is None else (self._functions.pool, self._coroutines.pool)

    def statistics(self) -> DestinationStatistics:
        """Threads and the loop for coroutines together; the limits are those of what runs plain functions."""
        pools = [pool.statistics() for pool in self._pools]
        oldest = [call.entered for pool in self._pools if (call := pool.oldest()) is not None]
        return DestinationStatistics(
            transport=self.transport,
            waiting=sum(each.waiting for each in pools),
            capacity=self._pool.capacity,
            bytes=None if self._allowance is None or self.max_payload is None else self._allowance.held,
            max_bytes=self.max_payload,
            oldest_waiting_ns=ticks() - min(oldest) if oldest else None,
            timers=sum(each.delayed for each in pools),
            next_due_ns=min((each.next_due_ns for each in pools if each.next_due_ns is not None), default=None),
            busy=sum(each.busy for each in pools),
            workers=sum(each.workers for each in pools),
            limit=pools[0].limit,
            abandoned=sum(each.abandoned for each in pools),
            finished=sum(each.finished for each in pools),
            errors=sum(each.errors for each in pools),
            alarm=self._pool.pressure,
        )

    def glance(self) -> DestinationStatistics:
        return self.statistics()

    def __repr__(self) -> str:
        return f"<LocalDestination {self.name} {self._pool!r}>"


def _allowance(settings: LocalSettings) -> Allowance[Call] | None:
    return None if settings.max_bytes is None else Allowance(settings.max_bytes, _weight, Call.tell)


def _weight(call: Call) -> int:
    """What the policy measured; where it was not asked to, or could not tell, nothing."""
    return call.payload or 0
