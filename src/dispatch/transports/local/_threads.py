"""Calls of plain functions, run by a pool of threads."""

from __future__ import annotations

import os

import msgspec

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._executor import execute
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch._unread import expect_reader
from dispatch.errors import CallFailed
from dispatch.policy import LocalSettings
from dispatch.pool import Allowance, Bounded, Pool, Weighed
from dispatch.transports.local._expiry import expired


class Threads:
    """The runner that a destination has unless its policy says otherwise."""

    def __init__(self, name: str, settings: LocalSettings, allowance: Allowance[Call] | None = None) -> None:
        """`allowance`: what bounds the bytes that wait, where the policy does."""
        pool = Pool(
            name,
            self.run if allowance is None else allowance.giving(self.run),
            self._lost,
            workers=settings.workers or min(32, (os.cpu_count() or 1) + 4),
            capacity=settings.capacity,
        )
        self.pool: Bounded[Call] = pool if allowance is None else Weighed(pool, allowance)

    def cannot_run(self, spec: TaskSpec) -> str | None:
        """Why no call of this task can ever run here."""
        return None

    def run(self, call: Call) -> int:
        """Run a call that arrived, and say how many nanoseconds that took."""
        call.taken = ticks()
        if not call.claim():
            return 0  # cancelled while it waited
        if (call.options is not None or call.spec.expires_ns is not None) and expired(call):
            return 0
        try:
            context = call.context
            return self._execute(call) if context is None else context.run(self._execute, call)
        finally:
            # A failure's traceback leads to these frames; a frame that still knew its call would close a circle.
            del call

    def run_inline(self, call: Call) -> None:
        """Run a call in the calling thread, which is thereby its worker."""
        call.decision = msgspec.structs.replace(call.decision, destination=self.pool.name, transport="inline")
        call.sent = ticks()
        self.run(call)

    def _lost(self, call: Call) -> None:
        """Its worker fell."""
        why = "met an internal error of dispatch, or an exception from nowhere; the log has it"
        call.settle(Failure(CallFailed(f"call {call.id} of {call.spec.name} was lost when its worker {why}")))

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
        del call, outcome  # see `run`
        return took
