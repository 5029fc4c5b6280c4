"""One attempt of a call, whoever runs it: whether it may begin, and what becomes of the call when it has ended.

A runner's own way for a plain call is `call.claim()`, run, `call.settle(outcome)`. `begin` and `conclude` are the same
for every call; a runner in a hurry asks them only where there is more to it.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._log import logger
from dispatch._outcome import Failure, Outcome
from dispatch._unread import expect_reader
from dispatch.errors import CallCancelled, CallExpired, CallFailed, CallTimeout


def taken(call: Call) -> int:
    """When a worker took the call that it has in hand, in `ticks`."""
    return call.taken


def begin(call: Call) -> bool:
    """Claim a call that was taken just now. False: it is not to run, now or ever, and nothing is left to do.

    Where further attempts may follow, they get a copy of its context, as it is before this one changes it.
    """
    # Run in place by a worker that waited for it, a call may leave behind its entry in the channel.
    if call.due > call.taken or not call.claim():
        return False
    limit = call.expires_ns
    if limit is not None and call.taken - call.entered > limit:
        late = f"call {call.id} of {call.spec.name} had waited {(call.taken - call.entered) / 1e9:.3g} s"
        call.settle(Failure(CallExpired(f"{late}, longer than its expires of {limit / 1e9:.3g} s")))
        return False
    if call.retry is not None and call.context is not None:
        call.context = call.context.copy()
    return True


def conclude(call: Call, outcome: Outcome, send_again: Callable[[Call, int], object]) -> None:
    """Give `call` the outcome of an attempt; or have it attempted again, by `send_again(call, due)`.

    When the call was told another outcome meanwhile, because its time was up, this one is dropped and logged.
    """
    if type(outcome) is Failure and call.outcome is None:
        due = _next_due(call, outcome.error)
        if due is not None and call.again(due):
            send_again(call, due)
            return
        expect_reader(call, outcome)
    if not call.settle(outcome):
        logger("local").warning(
            "a call has ended after its timeout, and what it did was dropped",
            dispatch_task=call.spec.name,
            dispatch_call_id=call.id,
            ended="failed" if type(outcome) is Failure else "returned",
        )


def timed_out(call: Call) -> Failure:
    """The outcome of an attempt that has run for as long as it may."""
    limit = (call.spec.timeout_ns or 0) / 1e9
    return Failure(CallTimeout(f"call {call.id} of {call.spec.name} ran longer than its timeout of {limit:.3g} s"))


def lost(call: Call) -> None:
    """Settle a call whose worker fell."""
    why = "met an internal error of dispatch, or an exception from nowhere; the log has it"
    call.settle(Failure(CallFailed(f"call {call.id} of {call.spec.name} was lost when its worker {why}")))


def late(call: Call) -> None:
    """Settle a call whose delay, or the pause before another attempt, outlasts its pool."""
    pause = "its delay had" if call.attempt == 1 else f"the pause before its attempt {call.attempt} had"
    call.settle(
        Failure(CallCancelled(f"call {call.id} of {call.spec.name} was dropped at shutdown: {pause} not passed"))
    )


def is_wanted(call: Call) -> bool:
    """Whether it is worth waiting for its time: nobody has cancelled it."""
    return call.outcome is None


def _next_due(call: Call, error: BaseException) -> int | None:
    """When there is to be another attempt; `None`: there is none."""
    retry = call.retry
    if retry is None or not retry.wants(error, call.attempt):
        return None
    if isinstance(error.__cause__, CancelledError):
        return None  # somebody cancelled the coroutine, or its loop has ended: that is no accident
    due = ticks() + retry.pause_ns(call.attempt)
    limit = call.expires_ns
    # What would have expired by then fails with its own error, which says more.
    return None if limit is not None and due - call.entered > limit else due
