"""Calls of coroutine functions, run on an event loop: the destination's own, or their caller's."""

from __future__ import annotations

import asyncio
from asyncio import Task, _get_running_loop
from typing import TypeAlias

import msgspec

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._executor import execute_async
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch.errors import CallCancelled, CallFailed
from dispatch.policy import LocalSettings
from dispatch.pool import Allowance, Bounded, CallersLoop, LoopPool, Slot, Weighed, WeighedCallersLoop, slot, unsound
from dispatch.transports.local._attempt import begin, conclude, is_wanted, late, timed_out
from dispatch.transports.local._timeouts import OnLoop

LoopOfCalls: TypeAlias = LoopPool[Call] | CallersLoop[Call]

_AT_ONCE = 1000
"""On a loop, where the policy does not say: what they wait for is seldom this process."""


class Coroutines:
    """The runner of every coroutine task, beside whatever runs plain functions."""

    def __init__(self, name: str, settings: LocalSettings, allowance: Allowance[Call] | None = None) -> None:
        """`allowance`: what bounds the bytes that wait, where the policy does."""
        self._callers = settings.loop == "caller"
        self._allowance: Allowance[Call] | None = None
        kind = CallersLoop if self._callers else LoopPool
        self._loop: LoopOfCalls = kind(
            name,
            self._start,
            self._lost,
            limit=settings.workers or _AT_ONCE,
            capacity=settings.capacity,
            late=late,
            wanted=is_wanted,
        )
        self.pool: Bounded[Call] = self._loop
        if allowance is not None:
            self.weigh(allowance)

    def weigh(self, allowance: Allowance[Call]) -> None:
        """As of `Threads`."""
        if self._allowance is None:
            self._allowance = allowance
            self._loop.start = self._start_weighed
            self.pool = _weighed(self._loop, allowance)

    def cannot_run(self, spec: TaskSpec) -> str | None:
        """Why no call of this task can ever run here."""
        if not spec.coroutine:
            return f"{spec.name} is no coroutine function: declare it with `async def`, or write `runner: thread`"
        return None if self._callers else unsound()

    def unfit(self) -> str | None:
        """Why it can take nothing from the calling thread just now."""
        if not self._callers or _get_running_loop() is not None:
            return None
        return "no event loop is running in the calling thread: send it from a coroutine, or write `loop: own`"

    def send_aside(self, call: Call) -> bool:
        """Take a call that the running coroutine, of this very loop, is about to wait for, and lend it its slot."""
        if not self._loop.send_aside(call):
            return False
        # It has not begun: that takes the loop, which we hold.
        call.decision = msgspec.structs.replace(call.decision, destination=self._loop.name, transport="local")
        call.sent = ticks()
        return True

    # ---- on the loop

    def _start_weighed(self, loop: asyncio.AbstractEventLoop, call: Call) -> asyncio.Task[None]:
        if self._allowance is not None:
            self._allowance.give(call)
        return self._start(loop, call)

    def _start(self, loop: asyncio.AbstractEventLoop, call: Call) -> asyncio.Task[None]:
        running = self._run(call, loop)
        if loop.get_task_factory() is not None:
            return loop.create_task(running, name=call.spec.name, context=call.context)
        # What `create_task` does, without its half of the cost.
        return Task(running, loop=loop, name=call.spec.name, context=call.context)

    async def _run(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """`Threads.run` as a task on a loop, which has the call's context from its first line.

        Written out here, and not shared: on a caller's own loop each call on the way is a fiftieth of the whole.
        """
        call.taken = ticks()
        took = 0
        held = Slot(self._loop, call)
        slot.set(held)
        limited = call.options is not None or call.spec.limited
        if begin(call) if limited else call.claim():
            trace = telemetry.executing(call) if telemetry.recording(call.taken) else None
            limit = _limit(call, trace) if limited else None
            call.started = ticks()
            outcome = await execute_async(call.spec.function, call.args, call.kwargs)
            if limit is not None and not limit.end():
                outcome = timed_out(call)
            if limit is None or call.outcome is None:
                call.ended = ticks()
            if trace is not None:
                trace.end(outcome)
            took = call.ended - call.taken
            if type(outcome) is Failure or not call.settle(outcome):
                conclude(call, outcome, self.pool.send_again)
            del outcome
        self._loop.ended(call, loop, took)
        held.item = None
        del call  # see `Threads.run`

    def _lost(self, call: Call) -> None:
        """Its loop did not run it, or not to its end."""
        if self._allowance is not None:
            self._allowance.give(call)
        if call.stage == "running":
            call.settle(Failure(CallFailed(f"call {call.id} of {call.spec.name} was broken off with its event loop")))
        else:
            why = "was cancelled with its event loop before it started"
            call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} {why}")))


def _weighed(loop: LoopOfCalls, allowance: Allowance[Call]) -> Weighed[Call]:
    return WeighedCallersLoop(loop, allowance) if isinstance(loop, CallersLoop) else Weighed(loop, allowance)


def _limit(call: Call, trace: telemetry.Execution | None) -> OnLoop | None:
    """Watch the running task's timeout, if it has one."""
    task = asyncio.current_task()
    if call.spec.timeout_ns is None or task is None:
        return None
    limit = OnLoop(call, asyncio.get_running_loop(), task)
    limit.start(trace)
    return limit
