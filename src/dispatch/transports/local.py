"""The local transport: a worker pool in this process. Arguments travel by reference, context variables come along.

The caller must not change what it passed until the call is done.
"""

from __future__ import annotations

import asyncio
import os

import msgspec

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._decision import Transport
from dispatch._executor import execute
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch._unread import expect_reader
from dispatch.errors import CallCancelled, CallExpired, DestinationFull, PassedOver
from dispatch.policy import LocalSettings
from dispatch.pool import Drained, Pool, PoolStatistics
from dispatch.transports._destination import HandOver


class LocalDestination:
    """A pool of threads with the limits that the policy gives it."""

    transport: Transport = "local"
    always_fit = True
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
        self.try_now = self._pool.try_send

    # ---- asked while deciding

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        return self.unfit(durability)

    def unfit(self, durability: Durability) -> PassedOver | None:
        if durability == "ephemeral":
            return None
        cure = "a durable call needs a Celery destination in the policy, and a broker: set DISPATCH_BROKER_URL"
        return PassedOver(self.name, "not_durable", f"what waits in memory dies with the process; {cure}")

    def predicted_start_ns(self) -> int:
        return self._pool.expected_wait_ns()

    def refuses(self, spec: TaskSpec, args: tuple[object, ...], kwargs: dict[str, object]) -> PassedOver | None:
        return None

    # ---- taking calls

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Follow `on_full` when there is no room. Raises `DestinationFull` when it says `reject`."""
        if self._pool.try_send(call):
            return None
        if self._settings.on_full == "block" and may_wait and not self._pool.is_mine():
            room = _Room(self._pool, call, self._settings.block_timeout_ns / 1e9)
            try:
                yield room
            except BaseException:
                # Whoever waited is gone; a thread of `wait_async` may still be sending for it.
                call.settle(Failure(CallCancelled(f"call {call.id} was given up while it waited for room")))
                raise
            if room.sent:
                return None
        if self._pool.closed:
            return PassedOver(self.name, "refused", "it was shut down; `dispatch.configure()` starts anew")
        full = PassedOver(self.name, "full", f"{self._pool.capacity} calls are waiting")
        if self._settings.on_full == "reject":
            raise DestinationFull(call.spec.name, [full])
        if self._settings.on_full == "caller_runs":
            yield _Here(self, call)
            return None
        return full

    def run_here(self, call: Call) -> bool:
        if not self._pool.is_mine():
            return False
        self._run_inline(call)
        return True

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
        return self._pool.close(grace, drop=drop)

    def _drop(self, call: Call) -> None:
        call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} was dropped at shutdown")))

    def statistics(self) -> PoolStatistics:
        return self._pool.statistics()

    def __repr__(self) -> str:
        return f"<LocalDestination {self.name} {self._pool!r}>"


class _Room:
    """Waiting for room in the channel."""

    def __init__(self, pool: Pool[Call], call: Call, timeout: float) -> None:
        self._pool = pool
        self._call = call
        self._timeout = timeout
        self.sent = False

    def wait(self) -> None:
        self.sent = self._pool.send(self._call, self._timeout)

    async def wait_async(self) -> None:
        await asyncio.to_thread(self.wait)


class _Here:
    """`caller_runs`: the caller is the worker; a coroutine lends a thread instead of its loop."""

    def __init__(self, destination: LocalDestination, call: Call) -> None:
        self._destination = destination
        self._call = call

    def wait(self) -> None:
        self._destination._run_inline(self._call)  # noqa: SLF001 - one room

    async def wait_async(self) -> None:
        await asyncio.to_thread(self.wait)
