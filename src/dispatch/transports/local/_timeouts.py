"""Attempts that may run for so long and no longer. One thread watches the clock for all of them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from dispatch import telemetry
from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch._timers import Timers
from dispatch._unread import expect_reader
from dispatch.pool import Roster, Worker
from dispatch.transports.local._attempt import timed_out

if TYPE_CHECKING:  # most programs have no worker processes
    from dispatch.pool.processes import Child

_MOMENT = 1.0
"""Seconds that a cancelled coroutine has to clean up, before its call is told without it."""


class _Limited(Protocol):
    """An attempt with a timeout."""

    @property
    def under_way(self) -> bool:
        """Whether its timeout still matters."""

    def expire(self) -> None:
        """Its time is up. In the timers' thread: does not wait."""


class OnThread:
    """An attempt in a worker's thread, which cannot be stopped: its call is told, and the worker abandoned.

    Under `_turn` it either ends or expires, whichever comes first.
    """

    def __init__(self, call: Call, roster: Roster[Call], worker: Worker[Call]) -> None:
        self._call: Call | None = call
        self._roster = roster
        self._worker = worker
        self._trace: telemetry.Execution | None = None
        self._turn = threading.Lock()
        self.expired = False

    def start(self, trace: telemetry.Execution | None) -> None:
        self._trace = trace
        if self._call is not None:
            watch(self._call, self)

    def end(self) -> bool:
        """The attempt has ended. False when it had expired: its call is told so, whatever it did."""
        with self._turn:
            self._call = self._trace = None  # the timer may stay for long, and must not keep the result
            return not self.expired

    @property
    def under_way(self) -> bool:
        return self._call is not None

    def expire(self) -> None:
        with self._turn:
            call, trace = self._call, self._trace
            if call is None or self.expired:
                return
            self.expired = True
            call.ended = ticks()
            self._roster.abandon(self._worker)
        try:
            # Who hears of it may take his time, and other attempts have timeouts too.
            threading.Thread(target=_tell, args=(call, trace), name="dispatch-timed-out", daemon=True).start()
        except RuntimeError:
            _tell(call, trace)


class InProcess:
    """An attempt in a worker process, which is stopped: whoever waits for its answer hears of its death, and then
    whether it had expired.
    """

    def __init__(self, child: Child) -> None:
        self._child: Child | None = child
        self._turn = threading.Lock()
        self._expired = False

    def end(self) -> bool:
        """The process has answered or died. False when it was stopped."""
        with self._turn:
            self._child = None  # another call may have it next
            return not self._expired

    @property
    def under_way(self) -> bool:
        return self._child is not None

    def expire(self) -> None:
        with self._turn:
            if self._child is not None:
                self._expired = True
                self._child.stop()


class OnLoop:
    """An attempt in a task of an event loop. All but `expire` is done in the loop's thread."""

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        self._call: Call | None = call
        self._loop = loop
        self._task: asyncio.Task[None] | None = task
        self._trace: telemetry.Execution | None = None
        self.expired = False

    def start(self, trace: telemetry.Execution | None) -> None:
        self._trace = trace
        if self._call is not None:
            watch(self._call, self)

    def end(self) -> bool:
        """The attempt has ended. False when its time was up."""
        self._call = self._trace = self._task = None
        return not self.expired

    @property
    def under_way(self) -> bool:
        return self._task is not None

    def expire(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the call was told with it
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self.expired = True
            self._task.cancel()
            self._loop.call_later(_MOMENT, self._give_up)

    def _give_up(self) -> None:
        """It has swallowed its cancellation; the call must not wait for it."""
        if self._call is not None:
            self._call.ended = ticks()
            _tell(self._call, self._trace)


def _tell(call: Call, trace: telemetry.Execution | None) -> None:
    """Its attempt goes on, and the call does not wait for it."""
    outcome = timed_out(call)
    if trace is not None:
        trace.break_off(outcome)
    expect_reader(call, outcome)
    call.settle(outcome)


def watch(call: Call, attempt: _Limited) -> None:
    """Have `attempt` expire when the timeout of its call has passed."""
    try:
        _timers.add(ticks() + (call.spec.timeout_ns or 0), attempt)
    except RuntimeError as error:
        # The interpreter is ending; the grace bounds what runs.
        logger("local").warning("a timeout cannot be watched", dispatch_task=call.spec.name, error=str(error))


def _expire(attempt: _Limited) -> None:
    try:
        attempt.expire()
    except BaseException:  # noqa: BLE001 - a fault of ours; the other timeouts must be kept
        logger("local").exception("a timeout met an internal error")


def _is_under_way(attempt: _Limited) -> bool:
    return attempt.under_way


def _now() -> int:
    return ticks()  # read by name each time: `dispatch.testing.clock` replaces it


_timers: Final[Timers[_Limited]] = Timers("dispatch-timeouts", _expire, now=_now, unit=1e-9, wanted=_is_under_way)
renew_in_child(_timers.renew)
