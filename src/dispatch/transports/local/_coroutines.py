"""Calls of coroutine functions, run on an event loop: the destination's own, or their caller's."""

from __future__ import annotations

import asyncio
from asyncio import Task, _get_running_loop
from typing import TypeAlias

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._executor import execute_async
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch.errors import CallCancelled, CallFailed
from dispatch.policy import LocalSettings
from dispatch.pool import CallersLoop, LoopPool, unsound
from dispatch.transports.local._attempt import begin, conclude, is_wanted, lose, timed_out
from dispatch.transports.local._timeouts import OnLoop

LoopOfCalls: TypeAlias = LoopPool[Call] | CallersLoop[Call]

_AT_ONCE = 1000
"""On a loop, where the policy does not say: what they wait for is seldom this process."""


class Coroutines:
    """The runner of every coroutine task, beside whatever runs plain functions."""

    def __init__(self, name: str, settings: LocalSettings) -> None:
        self._callers = settings.loop == "caller"
        kind = CallersLoop if self._callers else LoopPool
        self.pool: LoopOfCalls = kind(
            name,
            self._start,
            self._lost,
            limit=settings.workers or _AT_ONCE,
            capacity=settings.capacity,
            wanted=is_wanted,
        )

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

    # ---- on the loop

    def _start(self, loop: asyncio.AbstractEventLoop, call: Call) -> asyncio.Task[None]:
        running = self._run(call)
        if loop.get_task_factory() is not None:
            return loop.create_task(running, name=call.spec.name, context=call.context)
        # What `create_task` does, without its half of the cost.
        return Task(running, loop=loop, name=call.spec.name, context=call.context)

    async def _run(self, call: Call) -> None:
        """`Threads.run` as a task on a loop, which has the call's context from its first line.

        Written out here, and not shared: on a caller's own loop each call on the way is a fiftieth of the whole.
        """
        call.taken = ticks()
        took = 0
        limited = call.options is not None or call.spec.limited
        if begin(call) if limited else call.claim():
            trace = telemetry.executing(call) if telemetry.recording() else None
            limit = _limit(call, trace) if limited else None
            call.started = ticks()
            outcome = await execute_async(call.spec.function, call.args, call.kwargs)
            if limit is not None and not limit.end():
                outcome = timed_out(call)
            if call.outcome is None:
                call.ended = ticks()
            if trace is not None:
                trace.end(outcome)
            took = call.ended - call.taken
            if type(outcome) is Failure or not call.settle(outcome):
                conclude(call, outcome, self.pool.send_again)
            del outcome
        self.pool.ended(call, took)
        del call  # see `Threads.run`

    def _lost(self, call: Call) -> None:
        """Its loop did not run it, or not to its end."""
        if call.stage == "running":
            call.settle(Failure(CallFailed(f"call {call.id} of {call.spec.name} was broken off with its event loop")))
        elif call.due:
            lose(call)
        else:
            why = "was cancelled with its event loop before it started"
            call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} {why}")))


def _limit(call: Call, trace: telemetry.Execution | None) -> OnLoop | None:
    """Watch the running task's timeout, if it has one."""
    task = asyncio.current_task()
    if call.spec.timeout_ns is None or task is None:
        return None
    limit = OnLoop(call, asyncio.get_running_loop(), task)
    limit.start(trace)
    return limit
