"""The local transport: workers in this process. Arguments travel by reference, context variables come along.

Plain functions run in a pool of threads; coroutine functions on a loop, the destination's own or their caller's.

The caller must not change what it passed until the call is done.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import Task, _get_running_loop
from time import monotonic
from typing import TypeAlias

import msgspec

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._decision import Transport
from dispatch._executor import execute, execute_async
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch._unread import expect_reader
from dispatch._waiting import on_a_thread
from dispatch.errors import CallCancelled, CallExpired, CallFailed, DestinationFull, PassedOver
from dispatch.policy import LocalSettings
from dispatch.pool import CallersLoop, Drained, LoopPool, Pool, PoolStatistics, unsound
from dispatch.transports._destination import HandOver

Loop: TypeAlias = LoopPool[Call] | CallersLoop[Call]

_COROUTINES = 1000
"""At once on a loop, where the policy does not say: what they wait for is seldom this process."""


class LocalDestination:
    """A pool of threads and a loop for coroutines, each with the limits that the policy gives it."""

    transport: Transport = "local"
    always_fit = True  # where a call needs its caller's loop, `try_now` looks for one
    max_payload = None

    def __init__(self, name: str, settings: LocalSettings) -> None:
        self.name = name
        self._settings = settings
        self._pool: Pool[Call] = Pool(
            name,
            self._run,
            workers=settings.workers or min(32, (os.cpu_count() or 1) + 4),
            capacity=settings.capacity,
        )
        kind = CallersLoop if settings.loop == "caller" else LoopPool
        self._loop: Loop = kind(
            name,
            self._start,
            self._lost,
            limit=settings.workers or _COROUTINES,
            capacity=settings.capacity,
        )
        self._is_loop = settings.runner == "asyncio"
        self.try_now = self._loop.try_send if self._is_loop else self._try_now

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        why = self._cannot_run(spec)
        return self._forgets(durability) or (None if why is None else PassedOver(self.name, "cannot_carry", why))

    def unfit(self, durability: Durability) -> PassedOver | None:
        if self._settings.loop == "own" or _get_running_loop() is not None:
            return self._forgets(durability)
        why = "no event loop is running in the calling thread: send it from a coroutine, or write `loop: own`"
        return self._forgets(durability) or PassedOver(self.name, "cannot_carry", why)

    def _forgets(self, durability: Durability) -> PassedOver | None:
        if durability == "ephemeral":
            return None
        cure = "a durable call needs a Celery destination in the policy, and a broker: set DISPATCH_BROKER_URL"
        return PassedOver(self.name, "not_durable", f"what waits in memory dies with the process; {cure}")

    def _cannot_run(self, spec: TaskSpec) -> str | None:
        if spec.coroutine:
            return unsound() if self._settings.loop == "own" else None
        if self._is_loop:
            return f"{spec.name} is no coroutine function: declare it with `async def`, or write `runner: thread`"
        return None

    def predicted_start_ns(self) -> int:
        return self._loop.expected_wait_ns() if self._is_loop else self._pool.expected_wait_ns()

    def refuses(self, spec: TaskSpec, args: tuple[object, ...], kwargs: dict[str, object]) -> PassedOver | None:
        return None

    # ---- taking calls

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Follow `on_full` when there is no room. Raises `DestinationFull` when it says `reject`."""
        pool = self._pool_of(call)
        if pool.try_send(call):
            return None
        if self._settings.on_full == "block" and may_wait and not (pool is self._pool and pool.is_mine()):
            room = _Room(pool, call, self._settings.block_timeout_ns / 1e9)
            try:
                yield room
            except BaseException:
                # Whoever waited is gone; a thread of `wait_async` may still be sending for it.
                call.settle(Failure(CallCancelled(f"call {call.id} was given up while it waited for room")))
                raise
            if room.sent:
                return None
        if pool.closed:
            return PassedOver(self.name, "refused", "it was shut down; `dispatch.configure()` starts anew")
        full = PassedOver(self.name, "full", f"{pool.capacity} calls are waiting")
        if self._settings.on_full == "reject":
            raise DestinationFull(call.spec.name, [full])
        if self._settings.on_full == "caller_runs" and not call.spec.coroutine:
            yield _Here(self, call)
            return None
        return full

    def run_here(self, call: Call) -> bool:
        if call.spec.coroutine or not self._pool.is_mine():
            return False  # a coroutine that is sent from its own loop cannot be finished before `delay` returns
        self._run_inline(call)
        return True

    def _try_now(self, call: Call) -> bool:
        return (self._loop if call.spec.coroutine else self._pool).try_send(call)

    def _pool_of(self, call: Call) -> Pool[Call] | Loop:
        return self._loop if call.spec.coroutine else self._pool

    def _run_inline(self, call: Call) -> None:
        call.decision = msgspec.structs.replace(call.decision, destination=self.name, transport="inline")
        call.sent = ticks()
        self._run(call)

    # ---- running them

    def _run(self, call: Call) -> int:
        """Run a call that arrived, and say how many nanoseconds that took."""
        call.taken = ticks()
        if not call.claim():
            return 0  # cancelled while it waited
        if (call.options is not None or call.spec.expires_ns is not None) and self._expired(call):
            return 0
        try:
            context = call.context
            return self._execute(call) if context is None else context.run(self._execute, call)
        finally:
            # A failure's traceback leads to these frames; a frame that still knew its call would close a circle.
            del call

    def _execute(self, call: Call) -> int:
        trace = telemetry.executing(call) if telemetry.recording() else None
        call.started = ticks()
        outcome = execute(call.spec.function, call.args, call.kwargs)
        call.ended = ticks()
        if trace is not None:
            # Before the caller hears of it: whoever has the result finds the whole trace.
            trace.end(outcome)
        if type(outcome) is Failure:
            expect_reader(call, outcome)
        took = call.ended - call.taken
        call.settle(outcome)
        del call, outcome  # see `_run`
        return took

    def _start(self, loop: asyncio.AbstractEventLoop, call: Call) -> asyncio.Task[None]:
        running = self._run_async(call)
        if loop.get_task_factory() is not None:
            return loop.create_task(running, name=call.spec.name, context=call.context)
        # What `create_task` does, without its half of the cost.
        return Task(running, loop=loop, name=call.spec.name, context=call.context)

    async def _run_async(self, call: Call) -> None:
        """`_run` and `_execute` as a task on a loop, which has the call's context from its first line.

        Written out here, and not shared: on a caller's own loop each call on the way is a fiftieth of the whole.
        """
        call.taken = ticks()
        took = 0
        if call.claim() and not (
            (call.options is not None or call.spec.expires_ns is not None) and self._expired(call)
        ):
            trace = telemetry.executing(call) if telemetry.recording() else None
            call.started = ticks()
            outcome = await execute_async(call.spec.function, call.args, call.kwargs)
            call.ended = ticks()
            if trace is not None:
                trace.end(outcome)
            if type(outcome) is Failure:
                expect_reader(call, outcome)
            call.settle(outcome)
            took = call.ended - call.taken
            del outcome
        self._loop.ended(call, took)
        del call  # see `_run`

    def _lost(self, call: Call) -> None:
        """Its loop did not run it, or not to its end."""
        if call.stage == "running":
            call.settle(Failure(CallFailed(f"call {call.id} of {call.spec.name} was broken off with its event loop")))
        else:
            why = "was cancelled with its event loop before it started"
            call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} {why}")))

    def _expired(self, call: Call) -> bool:
        limit = call.expires_ns
        if limit is None or call.taken - call.entered <= limit:
            return False
        late = f"call {call.id} of {call.spec.name} had waited {(call.taken - call.entered) / 1e9:.3g} s"
        call.settle(Failure(CallExpired(f"{late}, longer than its expires of {limit / 1e9:.3g} s")))
        return True

    # ---- its end

    def close(self, grace: float) -> Drained:
        drop = self._drop if self._settings.on_shutdown == "drop" else None
        deadline = monotonic() + grace
        ended = (self._pool.close(grace, drop=drop), self._loop.close(max(0.0, deadline - monotonic()), drop=drop))
        return Drained(
            finished=sum(each.finished for each in ended),
            dropped=sum(each.dropped for each in ended),
            left=sum(each.left for each in ended),
        )

    def _drop(self, call: Call) -> None:
        call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} was dropped at shutdown")))

    def statistics(self) -> PoolStatistics:
        return self._loop.statistics() if self._is_loop else self._pool.statistics()

    def __repr__(self) -> str:
        return f"<LocalDestination {self.name} {self._loop if self._is_loop else self._pool!r}>"


class _Room:
    """Waiting for room."""

    def __init__(self, pool: Pool[Call] | Loop, call: Call, timeout: float) -> None:
        self._pool = pool
        self._call = call
        self._deadline = monotonic() + timeout
        self.sent = False

    def wait(self) -> None:
        self.sent = self._pool.send(self._call, self._left())

    async def wait_async(self) -> None:
        if isinstance(self._pool, CallersLoop):
            self.sent = await self._pool.asend(self._call, self._left())
        else:
            await on_a_thread(self.wait)

    def _left(self) -> float:
        return max(0.0, self._deadline - monotonic())


class _Here:
    """`caller_runs`: the caller is the worker; a coroutine lends a thread instead of its loop."""

    def __init__(self, destination: LocalDestination, call: Call) -> None:
        self._destination = destination
        self._call = call

    def wait(self) -> None:
        self._destination._run_inline(self._call)  # noqa: SLF001 - one room

    async def wait_async(self) -> None:
        await on_a_thread(self.wait)
