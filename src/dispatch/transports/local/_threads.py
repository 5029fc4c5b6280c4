"""Calls of plain functions, run by a pool of threads."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._executor import execute
from dispatch._outcome import Failure
from dispatch._registry import TaskSpec
from dispatch.policy import LocalSettings
from dispatch.pool import Allowance, Bounded, Inside, Pool, Weighed
from dispatch.transports.local._attempt import begin, conclude, is_wanted, late, lost, taken
from dispatch.transports.local._timeouts import OnThread


class Threads:
    """The runner that a destination has unless its policy says otherwise."""

    def __init__(
        self,
        name: str,
        settings: LocalSettings,
        allowance: Allowance[Call] | None = None,
        send_again: Callable[[Call, int], object] | None = None,
    ) -> None:
        """`allowance`: what bounds the bytes that wait, where the policy does.

        `send_again` has a call attempted again, by default when it is due and in the pool.
        """
        self._unweighed = self._make_pool(name, settings, self.run, lost)
        self._roster = self._unweighed.threads
        self.pool: Bounded[Call] = self._unweighed
        self._told_again = send_again
        self._send_again = send_again or self.pool.send_again
        if allowance is not None:
            self.weigh(allowance)

    def _make_pool(
        self, name: str, settings: LocalSettings, run: Callable[[Call], int], lost: Callable[[Call], None]
    ) -> Pool[Call]:
        workers = settings.workers or min(32, (os.cpu_count() or 1) + 4)
        words = {"workers": workers, "capacity": settings.capacity}
        return Pool(name, run, lost, **words, late=late, wanted=is_wanted, since=taken)

    def weigh(self, allowance: Allowance[Call]) -> None:
        """Have `allowance` bound the bytes that wait, from now on. Twice is once."""
        if self.pool is self._unweighed:
            # Those who run it first: what is weighed when it is let in has to be met by somebody who gives that back.
            self._unweighed.work_by(allowance.giving(self.run), allowance.giving(lost))
            self.pool = Weighed(self._unweighed, allowance)
            self._send_again = self._told_again or self.pool.send_again

    def cannot_run(self, spec: TaskSpec) -> str | None:
        """Why no call of this task can ever run here."""
        return None

    def unfit(self) -> str | None:
        """Why it can take nothing just now."""
        if not self._roster.stuck:
            return None
        held = f"{self._roster.count().abandoned} threads are held by calls past their timeout"
        return f"{held}, as many as it has workers; it goes on when they return"

    def run(self, call: Call) -> int:
        """Run a call that arrived, and say how many nanoseconds that took."""
        call.taken = ticks()
        try:
            if call.options is not None or call.spec.limited:
                return self._run_limited(call)
            if not call.claim():
                return 0  # cancelled while it waited
            context = call.context
            return self._execute(call) if context is None else context.run(self._execute, call)
        finally:
            # A failure's traceback leads to these frames; a frame that still knew its call would close a circle.
            del call

    def run_inline(self, call: Call) -> None:
        """Run a call in the calling thread, which is thereby its worker. There is no other to take its place when
        the call's `timeout` has passed, so that it may run for longer.
        """
        call.decision = msgspec.structs.replace(call.decision, destination=self.pool.name, transport="inline")
        call.sent = call.taken = ticks()
        try:
            with Inside(call):
                self._run_limited(call, bounded=False)
        finally:
            del call  # see `run`

    def _run_limited(self, call: Call, *, bounded: bool = True) -> int:
        """`run` for a call that has something to be asked."""
        context = call.context
        if not begin(call):
            return 0
        worker = self._roster.here() if bounded and call.spec.timeout_ns is not None else None
        limit = None if worker is None else OnThread(call, self._roster, worker)
        try:
            return self._execute(call, limit) if context is None else context.run(self._execute, call, limit)
        finally:
            del call  # see `run`
            if limit is not None and limit.expired and worker is not None:
                self._roster.take_back(worker)

    def _execute(self, call: Call, limit: OnThread | None = None) -> int:
        trace = telemetry.executing(call) if telemetry.recording(call.taken) else None
        if limit is not None:
            limit.start(trace)
        call.started = ticks()
        outcome = execute(call.spec.function, call.args, call.kwargs)
        if limit is None or limit.end():
            call.ended = ticks()
        if trace is not None:
            # Before the caller hears of it: whoever has the result finds the whole trace.
            trace.end(outcome)
        took = call.ended - call.taken
        if type(outcome) is Failure or not call.settle(outcome):
            conclude(call, outcome, self._send_again)
        del call, outcome  # see `run`
        return took
