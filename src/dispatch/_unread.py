"""Failures that nobody ever looked at: counted, and logged once a minute per task and exception type.

The same idea as asyncio's "exception was never retrieved": a failed call carries a small object that complains
when it is collected, unless somebody has read the failure by then. A call that succeeds carries nothing.
"""

from __future__ import annotations

from collections import Counter

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._log import logger
from dispatch._outcome import Failure
from dispatch._turn import Turn

_MINUTE = 60 * 10**9

counts: Counter[tuple[str, str]] = Counter()
"""How many failures of each task and exception type went unread, since the process started."""

_turn = Turn()
_last_said: dict[tuple[str, str], int] = {}


class _Complaint:
    __slots__ = ("call", "key", "read", "text")

    def __init__(self, call: Call, error: BaseException) -> None:
        self.read = False
        self.key = (call.spec.name, type(error).__name__)
        self.call = call.id
        try:
            self.text = str(error)[:200]
        except Exception:  # noqa: BLE001 - it is the user's `__str__`
            self.text = "(its text cannot be had)"

    def __del__(self) -> None:
        if self.read:
            return
        with _turn.lock:
            counts[self.key] += 1
            now = ticks()
            if now - _last_said.get(self.key, -_MINUTE) < _MINUTE:
                return
            _last_said[self.key] = now
            so_far = counts[self.key]
        try:
            log = logger("unread")
        except ImportError:  # the interpreter is ending, and has let go of its modules
            return
        task, error = self.key
        log.error(
            "a call failed and nobody read its exception",
            dispatch_task=task,
            dispatch_call_id=self.call,
            error=error,
            message=self.text,
            so_far=so_far,
        )


def expect_reader(call: Call, failure: Failure) -> None:
    """Complain when `call` is forgotten before anybody has read its failure."""
    call.complaint = _Complaint(call, failure.error)


def read(call: Call) -> None:
    """Somebody has seen how `call` ended."""
    if call.complaint is not None:
        call.complaint.read = True
