"""The caller's end of a call, in the words of `concurrent.futures`, of Celery, and of `await`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

import msgspec

from dispatch._attention import Attention, stand_aside, stand_in
from dispatch._call import Call
from dispatch._decision import Decision
from dispatch._fork import notice_fork
from dispatch._ids import here
from dispatch._log import logger
from dispatch._outcome import Failure, Outcome, Success
from dispatch._unread import read
from dispatch._waiting import Once, arrival, block, in_event_loop, leave_free
from dispatch.errors import CallCancelled, CallExpired, CallFailed, HandleLost, WouldBlock

R = TypeVar("R", covariant=True)  # noqa: PLC0105 - short, as it stands in every other signature

_LOOPS_OWN = (StopIteration, asyncio.CancelledError)
"""Raised through a coroutine, these would end it, or pass for its own cancellation."""

Status: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled", "expired", "spooled", "unknown"]


class Handle(msgspec.Struct, Generic[R], eq=False, weakref=True):
    """One call's result, state and decision. Made by `delay` and its relatives, never by hand.

    Safe from any thread. What waits forever by default takes a `timeout` in seconds and raises `TimeoutError`;
    the call goes on all the same.
    """

    _call: Call

    @property
    def id(self) -> str:
        """The call's id; on Celery it is the task id."""
        return self._call.id

    @property
    def task(self) -> str:
        """The registered name of the task."""
        return self._call.spec.name

    @property
    def decision(self) -> Decision:
        """Where the call went, by which rule, and why others were passed over."""
        call = self._call
        return msgspec.structs.replace(
            call.decision,
            payload_bytes=call.payload,
            decide_ns=call.decided - call.entered if call.decided else None,
            actual_start_ns=call.start_ns,
        )

    # ---- waiting for it

    def result(self, timeout: float | None = None) -> R:
        """What the task returned; raises what the task raised, with its traceback.

        Raises `TimeoutError` after `timeout` seconds, a `CallFailed` when the call did not run or its own error
        cannot be rebuilt, and `WouldBlock` in a running event loop while the call is unfinished: await it there.
        """
        try:
            return self._value(self._call.outcome or self._wait(timeout))
        finally:
            del self  # see `_value`

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or `None` when it returned. Waits, and fails to wait, as `result` does."""
        outcome = self._call.outcome or self._wait(timeout)
        read(self._call)
        return outcome.error if isinstance(outcome, Failure) else None

    def get(self, timeout: float | None = None, *, propagate: bool = True) -> R | BaseException:
        """Celery's word for `result`; with `propagate=False` an error is returned instead of raised."""
        try:
            return self.result(timeout) if propagate else self.exception(timeout) or self.result()
        finally:
            del self  # see `_value`

    def __await__(self) -> Generator[Any, None, R]:
        """`await handle` is `result()` that leaves the event loop free. Cancelling the wait leaves the call alone."""
        try:
            call = self._call
            if call.outcome is None:
                if call.space is not here.space:  # `call.foreign`, written out
                    self._refuse_foreign()
                if call.source is not None:
                    yield from leave_free(Attention(call), None).__await__()
                else:
                    if call.stage == "waiting":
                        stand_aside(call)
                    arrived, wake = arrival()
                    if call.tell(wake):
                        try:
                            yield from arrived
                        except BaseException:
                            call.forget(wake)
                            raise
            outcome = call.outcome
            return outcome.value if type(outcome) is Success else self._awaited(_settled(call))
        finally:
            outcome = None
            del self, call  # see `_value`

    # ---- looking at it

    def done(self) -> bool:
        """Whether the call has ended, in whatever way. On Celery this looks into the result backend once."""
        call = self._call
        if call.outcome is None and call.source is not None:
            call.source.peek(call)
        return call.outcome is not None

    ready = done

    def running(self) -> bool:
        """Whether the task's body runs right now. Known only of calls in this process."""
        return self._call.stage == "running"

    def successful(self) -> bool:
        """Whether the task returned."""
        return self.done() and isinstance(self._call.outcome, Success)

    def failed(self) -> bool:
        """Whether the call ended with an error, its own or ours."""
        return self.done() and isinstance(self._call.outcome, Failure)

    def cancelled(self) -> bool:
        """Whether the call was cancelled before it started."""
        return self.status == "cancelled"

    @property
    def status(self) -> Status:
        """One word: waiting, running, done, failed, cancelled, expired, spooled, unknown."""
        if not self.done():
            stage = self._call.stage
            return "waiting" if stage == "settled" else stage
        outcome = _settled(self._call)
        if isinstance(outcome, Success):
            return "done"
        if isinstance(outcome.error, CallCancelled):
            return "cancelled"
        return "expired" if isinstance(outcome.error, CallExpired) else "failed"

    state = status

    # ---- acting on it

    def cancel(self) -> bool:
        """Keep the call from running. True only when it is certain that it will not run."""
        call = self._call
        if call.outcome is not None:
            return self.cancelled()
        self._refuse_foreign()
        when = "it started" if call.attempt == 1 else f"its attempt {call.attempt}"
        cancelled = Failure(CallCancelled(f"call {call.id} of {call.spec.name} was cancelled before {when}"))
        if call.source is None:
            return call.settle(cancelled, unless_running=True)
        return call.source.revoke(call) and call.settle(cancelled)

    def add_done_callback(self, callback: Callable[[Handle[R]], object]) -> None:
        """Call `callback(handle)` once the call has ended: at once when it has, else in the thread that ends it.

        What the callback raises is logged and goes no further.
        """
        call = self._call

        def tell() -> None:
            try:
                callback(self)
            except BaseException:  # noqa: BLE001 - it is the user's code, in somebody else's thread
                logger("handle").exception(
                    "a done callback failed", dispatch_task=call.spec.name, dispatch_call_id=call.id
                )

        if not attention(self).tell(tell):
            tell()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a handle belongs to its process and cannot be pickled; pass `handle.id`, or the result")

    def __repr__(self) -> str:
        call = self._call
        state = self.status if call.source is None or call.outcome is not None else call.stage
        return f"<Handle {call.id} | {call.spec.name} | {call.decision.destination} | {state}>"

    # ---- within

    def _value(self, outcome: Outcome) -> R:
        if isinstance(outcome, Success):
            value: R = outcome.value
            return value
        read(self._call)
        try:
            raise outcome.error.with_traceback(outcome.traceback)
        finally:
            # The error's traceback leads to the frames that it passes on its way up. A frame that still knew the
            # handle, or the outcome, would close a circle around every failure.
            del outcome, self

    def _awaited(self, outcome: Outcome) -> R:
        if isinstance(outcome, Failure) and isinstance(outcome.error, _LOOPS_OWN):
            read(self._call)
            raise CallFailed(f"the task raised {outcome.error!r}, which means something else to an event loop")
        try:
            return self._value(outcome)
        finally:
            del self, outcome  # see `_value`

    def _wait(self, timeout: float | None) -> Outcome:
        call = self._call
        self._refuse_foreign()
        if in_event_loop():
            raise WouldBlock(
                f"call {call.id} of {call.spec.name} has not finished, and waiting for it here would stop the "
                "running event loop. Write `await handle` instead of `handle.result()`."
            )
        if timeout is None:
            stand_in(call, also_later=True)
        block(Attention(call), timeout)
        if call.outcome is None:
            raise TimeoutError(f"call {call.id} of {call.spec.name} has not finished after {timeout} s")
        return call.outcome

    def _refuse_foreign(self) -> None:
        notice_fork()
        if self._call.foreign:
            raise HandleLost(
                f"call {self._call.id} of {self._call.spec.name} was made by the parent of this forked process, "
                "and only the parent can know its outcome. Make calls after the fork."
            )


def attention(handle: Handle[Any]) -> Once:
    """What waits for `handle` without looking at it. Raises `HandleLost` when it can never end here."""
    if handle._call.outcome is None:  # noqa: SLF001 - one room
        handle._refuse_foreign()  # noqa: SLF001 - one room
    return Attention(handle._call)  # noqa: SLF001 - one room


def call_of(handle: Handle[Any]) -> Call:
    """What is behind it."""
    return handle._call  # noqa: SLF001 - one room


def outcome_of(handle: Handle[Any]) -> Outcome | None:
    """How the call ended, as far as it is known here; looks nowhere."""
    return handle._call.outcome  # noqa: SLF001 - one room


def _settled(call: Call) -> Outcome:
    if call.outcome is None:
        raise CallFailed(f"call {call.id} of {call.spec.name} woke its waiter without an outcome")
    return call.outcome
