"""Which calls somebody wants to see."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from dispatch.telemetry._reading.call_record import CallRecord
from dispatch.telemetry._reading.trace import Trace

REFUSED = "refused"
"""In the place of a destination: none took the call."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """All that is said must hold; nothing said, every call is wanted."""

    task: str | None = None
    """A pattern such as `billing.*`, capitals as they are."""
    destination: str | None = None
    """Its name; `refused`: no destination took the call."""
    rule: str | None = None
    slower_ns: int | None = None
    """It took longer, from `delay` to the end of the last of its spans."""
    errors: bool = False
    """The hand-over failed, or an attempt did, also one that was repeated."""
    since_ns: int | None = None
    """`delay` was called then or later, in nanoseconds since 1970."""

    def has_route(self, destination: str | None, task: str, rule: str | None) -> bool:
        """Whether calls that go this way are wanted."""
        return (
            (self.task is None or fnmatchcase(task, self.task))
            and (self.destination is None or (destination or REFUSED) == self.destination)
            and (self.rule is None or rule == self.rule)
        )

    def has_call(self, call: CallRecord) -> bool:
        return (
            self._is_of(call)
            and (self.slower_ns is None or (call.total_us or 0) * 1e3 > self.slower_ns)
            and (not self.errors or call.error is not None or call.failed_attempts > 0)
        )

    def has_trace(self, trace: Trace, calls: Iterable[CallRecord]) -> bool:
        """Whether a trace with these calls is wanted: `slower_ns` and `errors` are asked of the whole trace."""
        calls = tuple(calls)
        if self.slower_ns is not None and trace.duration_ns <= self.slower_ns:
            return False
        if self.errors and not (trace.failed or any(call.error is not None for call in calls)):
            return False
        if self.task is self.destination is self.rule is None and trace.start_ns >= (self.since_ns or 0):
            return True  # somebody else's trace has no calls
        return any(map(self._is_of, calls))

    def _is_of(self, call: CallRecord) -> bool:
        made_then = self.since_ns is None or call.started_ns >= self.since_ns
        return made_then and self.has_route(call.destination, call.task, call.rule)
