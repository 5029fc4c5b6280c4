"""A destination in this process: which calls it takes, what it does when it is full, and how it ends."""

from __future__ import annotations

from time import monotonic

from dispatch._call import Call
from dispatch._decision import Transport
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import CallCancelled, DestinationFull, PassedOver
from dispatch.policy import LocalSettings
from dispatch.pool import Drained, Pool, PoolStatistics
from dispatch.transports._destination import HandOver
from dispatch.transports.local._coroutines import Coroutines, LoopOfCalls
from dispatch.transports.local._threads import Threads
from dispatch.transports.local._waits import Here, Room


class LocalDestination:
    """A pool of threads and a loop for coroutines, each with the limits that the policy gives it."""

    transport: Transport = "local"
    always_fit = True  # where a call needs its caller's loop, `try_now` looks for one
    max_payload = None

    def __init__(self, name: str, settings: LocalSettings) -> None:
        self.name = name
        self._settings = settings
        self._coroutines = Coroutines(name, settings)
        self._functions = None if settings.runner == "asyncio" else Threads(name, settings)
        self._pool = self._coroutines.pool if self._functions is None else self._functions.pool
        """For everything that is no coroutine."""

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        runner = self._coroutines if spec.coroutine or self._functions is None else self._functions
        why = runner.cannot_run(spec)
        return self._forgets(durability) or (None if why is None else PassedOver(self.name, "cannot_carry", why))

    def unfit(self, durability: Durability) -> PassedOver | None:
        if self._functions is not None and self._functions.pool.stuck:
            held = f"{self._functions.pool.statistics().abandoned} threads are held by calls past their timeout"
            return PassedOver(self.name, "refused", f"{held}, as many as it has workers; it goes on when they return")
        why = self._coroutines.unfit()
        return self._forgets(durability) or (None if why is None else PassedOver(self.name, "cannot_carry", why))

    def _forgets(self, durability: Durability) -> PassedOver | None:
        if durability == "ephemeral":
            return None
        cure = "a durable call needs a Celery destination in the policy, and a broker: set DISPATCH_BROKER_URL"
        return PassedOver(self.name, "not_durable", f"what waits in memory dies with the process; {cure}")

    def predicted_start_ns(self) -> int:
        return self._pool.expected_wait_ns()

    def refuses(self, spec: TaskSpec, args: tuple[object, ...], kwargs: dict[str, object]) -> PassedOver | None:
        return None

    # ---- taking calls

    def try_now(self, call: Call) -> bool:
        return (self._coroutines.pool if call.spec.coroutine else self._pool).try_send(call)

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Follow `on_full` when there is no room. Raises `DestinationFull` when it says `reject`."""
        pool = self._coroutines.pool if call.spec.coroutine else self._pool
        if call.delay_ns:
            return self._hand_over_later(pool, call, call.delay_ns)
        if pool.try_send(call):
            return None
        if self._settings.on_full == "block" and may_wait and (call.spec.coroutine or not pool.is_mine()):
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
        full = PassedOver(self.name, "full", f"{pool.capacity} calls are waiting")
        if self._settings.on_full == "reject":
            raise DestinationFull(call.spec.name, [full])
        if self._settings.on_full == "caller_runs" and self._functions is not None and not call.spec.coroutine:
            yield Here(self._functions, call)
            return None
        return full

    def _hand_over_later(self, pool: Pool[Call] | LoopOfCalls, call: Call, delay_ns: int) -> PassedOver | None:
        """Nobody waits for room among the delayed: it may be hours before there is some."""
        call.due = call.entered + delay_ns
        if pool.send_later(call, call.due):
            return None
        call.due = 0
        if pool.closed:
            return self._closed()
        full = PassedOver(self.name, "full", f"{pool.capacity} calls are delayed")
        if self._settings.on_full == "reject":
            raise DestinationFull(call.spec.name, [full])
        return full

    def _closed(self) -> PassedOver:
        return PassedOver(self.name, "refused", "it was shut down; `dispatch.configure()` starts anew")

    def run_here(self, call: Call) -> bool:
        if call.spec.coroutine or call.delay_ns or self._functions is None or not self._pool.is_mine():
            return False  # a coroutine that is sent from its own loop cannot be finished before `delay` returns
        self._functions.run_inline(call)
        return True

    # ---- its end

    def close(self, grace: float) -> Drained:
        drop = self._drop if self._settings.on_shutdown == "drop" else None
        deadline = monotonic() + grace
        ended = [pool.close(max(0.0, deadline - monotonic()), drop=drop) for pool in self._pools]
        return Drained(
            finished=sum(each.finished for each in ended),
            dropped=sum(each.dropped for each in ended),
            left=sum(each.left for each in ended),
        )

    @property
    def _pools(self) -> tuple[Pool[Call] | LoopOfCalls, ...]:
        return (self._coroutines.pool,) if self._functions is None else (self._functions.pool, self._coroutines.pool)

    def _drop(self, call: Call) -> None:
        call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} was dropped at shutdown")))

    def statistics(self) -> PoolStatistics:
        return self._pool.statistics()

    def __repr__(self) -> str:
        return f"<LocalDestination {self.name} {self._pool!r}>"
