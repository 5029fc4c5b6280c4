"""The span around a task's body, and for local calls the `dispatch` span before it, built by the worker.

A local caller only takes time stamps. The worker builds both spans afterwards, inside the caller's context and
through the public API with explicit times, so that the application's sampler, limits and processors hold.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Link, Span, Tracer, get_current_span, set_span_in_context

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._outcome import Failure, Outcome
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import Attributes, of_call, of_decision, of_overhead
from dispatch.telemetry._dispatch_span import DispatchSpan, Remote, begin
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail_with
from dispatch.telemetry._listener import listener


class Execution:
    """A span that is current, here and now, until `end`. Whoever made it ends it, in the same context."""

    __slots__ = ("_anchor", "_call", "_open", "_span", "_started", "_token", "context")

    def __init__(self, span: Span, context: Context, anchor: Anchor, started: int, call: Call | None = None) -> None:
        self._span = span
        self._anchor = anchor
        self._started = started
        self._call = call
        self._open = True
        self.context = context
        """What is current until the end; kept for whom it is to follow."""
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
    decision = of_decision(call.decision)
    if opened is None:
        parent = begin(call, tracer, anchor, {**of_call(call), **decision, **of_overhead(call, sent)})
        # Asked before the end: an ended span no longer records.
        sampled = parent.is_recording()
        parent.end(end_time=anchor.at(sent))
        if call.retry is not None:
            call.span = DispatchSpan.after(parent, anchor, recorded=sampled)  # for the attempts to come
    else:
        parent, sampled = opened.span, opened.recorded
    context = set_span_in_context(parent)
    started = call.started or ticks()
    if not sampled:
        # The body gets a valid context all the same, and what it starts in there is unsampled too.
        return Execution(INVALID_SPAN, context, anchor, started)
    span = tracer.start_span(
        f"execute {call.spec.name}",
        context,
        attributes=_of_execution(call, decision, taken - max(sent, call.due), process),
        # Another process made the call, or this one long ago: it lay on disk.
        links=[Link(parent.get_span_context())] if isinstance(opened, Remote) else (),
        start_time=anchor.at(started),
    )
    return Execution(span, set_span_in_context(span, context), anchor, started, call)


def _of_execution(call: Call, decision: Attributes, wait: int, process: int | None) -> Attributes:
    attributes: Attributes = {
        n.TASK: call.spec.name,
        n.CALL: call.id,
        n.DESTINATION: decision[n.DESTINATION],
        n.TRANSPORT: decision[n.TRANSPORT],
        n.RULE: decision[n.RULE],
        n.REASON: decision[n.REASON],
        n.WAIT: max(0, wait) / 1e3,
    }
    if call.attempt > 1:
        attributes[n.ATTEMPT] = call.attempt
    if process is not None:
        attributes[n.PROCESS] = process
    return attributes
