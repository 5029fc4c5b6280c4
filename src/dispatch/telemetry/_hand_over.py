"""A call that waits where it cannot stay goes to another destination, at a shutdown, long after `delay` returned."""

from __future__ import annotations

from copy import copy

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch.errors import PassedOver
from dispatch.telemetry._attributes import of_decision, of_overhead, of_passed_over
from dispatch.telemetry._dispatch_span import DispatchSpan, Remote
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail
from dispatch.telemetry._overhead import Overhead


class HandOver:
    """Keeps what the caller has paid, and ends the call's `dispatch` span with that and the destination in the end.

    The span is real once a candidate has needed that; where none has, the worker builds it, as for any local call.
    """

    __slots__ = ("_before", "_call")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._before = copy(call)

    def end(self, passed: list[PassedOver] | None = None) -> None:
        """Somebody has it; with `passed`, nobody wanted it. Never raises."""
        with harmless:
            opened: DispatchSpan | Remote | None = self._call.span
            if not isinstance(opened, DispatchSpan) or opened.is_ended:
                return
            opened.is_ended = True
            before = self._before
            sent = before.sent or ticks()
            with harmless:
                opened.span.set_attributes(of_overhead(Overhead.of(before, sent)))
                if passed is None:
                    opened.span.set_attributes(of_decision(self._call.decision))
                else:
                    opened.span.set_attributes(of_passed_over(tuple(passed)))
                    fail(opened.span, "dropped", "dropped at shutdown: nobody took it")
            opened.span.end(end_time=opened.anchor.at(sent))
