"""The span around a task's body, and for local calls the `dispatch` span before it, built by the worker.

A local caller only takes time stamps. The worker builds both spans afterwards, inside the caller's context and
through the public API with explicit times, so that the application's sampler, limits and processors hold. Where the
detail is compact, they are one.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Span, Tracer, get_current_span, set_span_in_context

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._outcome import Failure, Outcome
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import of_hand_over, of_run
from dispatch.telemetry._dispatch_span import DispatchSpan, Remote, begin, steps_of
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail_with
from dispatch.telemetry._listener import listener


class Execution:
    """A span that is current, here and now, until `end`. Whoever made it ends it, in the same context."""

    __slots__ = ("_anchor", "_call", "_open", "_span", "_started", "_token")

    def __init__(self, span: Span, context: Context, anchor: Anchor, started: int, call: Call | None = None) -> None:
        self._span = span
        self._anchor = anchor
        self._started = started
        self._call = call
        self._open = True
        self._token: Token[Context] | None = attach(context)

    def end(self, outcome: Outcome) -> None:
        """Say what the body did. Twice is once; never raises."""
        token, self._token = self._token, None
        if token is None:
            return
        detach(token)
        self.break_off(outcome)

    def break_off(self, outcome: Outcome) -> None:
        """End the span, while the body goes on in its own thread, where `end` is still to come. Never raises."""
        if not self._open:
            return
        self._open = False
        call, span = self._call, self._span
        ended = ticks() if call is None else call.ended or ticks()
        with harmless:
            if span.is_recording():
                if call is not None and call.taken:
                    span.set_attribute(n.START, max(0, (call.started or self._started) - call.taken) / 1e3)
                if isinstance(outcome, Failure):
                    fail_with(span, outcome.error, self._anchor.at(ended))
        with harmless:
            span.end(end_time=self._anchor.at(max(ended, self._started)))


def executing(call: Call, *, process: int | None = None) -> Execution | None:
    """Make the spans of a local call that is about to run, and the inner one current. Never raises.

    `process` is the pid of the worker process that will run it; without one it runs here.

    For the worker's thread, inside `call.context`. `None`: nobody takes spans, or the caller's own span is
    unsampled and stays the current one.
    """
    tracer = listener.current()
    if tracer is None:
        return None
    with harmless:
        return _executing(call, tracer, process)
    return None


def _executing(call: Call, tracer: Tracer, process: int | None) -> Execution | None:
    opened: DispatchSpan | Remote | None = call.span
    if opened is None and listener.drops(get_current_span().get_span_context()):
        return None
    anchor = Anchor() if opened is None else opened.anchor
    taken = call.taken or ticks()
    # The caller stamps `sent` after the hand-over; a quick worker is here before it does.
    sent = call.sent or taken
    attributes = of_run(call, taken - max(sent, call.due), process)
    context: Context | None = None
    if opened is None and listener.detail == "compact":
        attributes = {**of_hand_over(call, sent), **attributes}
    else:
        opened = opened or _handed_over(call, tracer, anchor, sent)
        context = set_span_in_context(opened.span)
        if not opened.recorded:
            # The body gets a valid context all the same, and what it starts in there is unsampled too.
            return Execution(INVALID_SPAN, context, anchor, call.started or ticks())
    started = call.started or ticks()
    span = tracer.start_span(f"execute {call.spec.name}", context, attributes=attributes, start_time=anchor.at(started))
    recorded = span.is_recording()
    if recorded:
        call.trace = span.get_span_context()
    if call.retry is not None:
        call.span = opened or DispatchSpan.after(span, anchor, recorded=recorded)  # for the attempts to come
    return Execution(span, set_span_in_context(span, context), anchor, started, call)


def _handed_over(call: Call, tracer: Tracer, anchor: Anchor, sent: int) -> DispatchSpan:
    """The `dispatch` span, made afterwards."""
    span = begin(call, tracer, anchor, of_hand_over(call, sent))
    # Asked before the end: an ended span no longer records.
    recorded = span.is_recording()
    if recorded and listener.detail == "debug":
        steps_of(call, tracer, anchor, span, sent)
    span.end(end_time=anchor.at(sent))
    return DispatchSpan.after(span, anchor, recorded=recorded)
