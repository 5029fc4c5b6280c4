"""The span around a task's body, and for local calls the `dispatch` span before it, built by the worker.

A local caller only takes time stamps. The worker builds both spans afterwards, inside the caller's context and with
explicit times, so that the application's sampler, limits and processors hold. At the detail `compact` they are one.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanContext,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._outcome import Failure, Outcome
from dispatch.telemetry import _names as n
from dispatch.telemetry._account import Account, of_both, of_hand_over, of_run
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._dispatch_span import DispatchSpan, Remote, steps_of
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail_with
from dispatch.telemetry._listener import listener
from dispatch.telemetry._relation import linked_to, relation_of
from dispatch.telemetry._start import start_span


class Execution:
    """A span that is current, here and now, until `end`. Whoever made it ends it, in the same context."""

    __slots__ = ("_account", "_anchor", "_call", "_open", "_span", "_started", "_token", "context")

    def __init__(
        self,
        span: Span,
        context: Context,
        anchor: Anchor,
        started: int,
        *,
        call: Call | None = None,
        account: Account | None = None,
    ) -> None:
        self._span = span
        self._anchor = anchor
        self._started = started
        self._call = call
        self._account = account
        self._open = True
        self.context = context
        """What is current until the end; kept for whom it is to follow."""
        self._token: Token[Context] | None = attach(context)

    @property
    def sampled(self) -> SpanContext | None:
        """Of its span; `None` where that is not sampled."""
        context = get_current_span(self.context).get_span_context()
        return context if context.trace_flags.sampled else None

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
        # What `with harmless:` does, which would cost what a tenth of a light span does.
        try:
            if span.is_recording():
                if call is not None and self._account is not None:
                    self._say_start(self._account, (call.started or self._started) - call.taken)
                if type(outcome) is Failure:
                    fail_with(span, outcome.error, self._anchor.at(ended))
        except Exception as error:  # noqa: BLE001 - see above
            harmless.note(error)
        try:
            span.end(end_time=self._anchor.at(max(ended, self._started)))
        except Exception as error:  # noqa: BLE001 - see above
            harmless.note(error)

    def _say_start(self, account: Account, start: int) -> None:
        account.start = max(0, start)
        if account.is_told:
            self._span.set_attribute(n.START, account.start / 1e3)


class Unsampled(Execution):
    """Keeps a valid context for the body, so that what it starts in there is unsampled too."""

    __slots__ = ()

    def __init__(self, context: Context) -> None:
        self._open = False
        self.context = context
        self._token = attach(context)


def executing(call: Call, *, process: int | None = None) -> Execution | None:
    """Make the spans of a local call that is about to run, and the inner one current. Never raises.

    `process` is the pid of the worker process that will run it; without one it runs here.

    For the worker's thread, inside `call.context`. `None`: nobody takes spans, or the caller's own span is
    unsampled and stays the current one.
    """
    tracer = listener.current()
    if tracer is None:
        return None
    try:
        return _executing(call, tracer, process)
    except Exception as error:  # noqa: BLE001 - as `with harmless:`, see above
        harmless.note(error)
        return None


def _executing(call: Call, tracer: Tracer, process: int | None) -> Execution | None:
    opened: DispatchSpan | Remote | None = call.span
    anchor = listener.anchor if opened is None else opened.anchor
    parent = get_current_span().get_span_context()
    linked = listener.relation != "child" and _is_linked(call)
    if opened is None:
        dropped = listener.drops(parent)
        if dropped and not linked:
            return None
        if listener.detail != "compact" and not dropped:
            opened = _handed_over(call, tracer, parent, anchor)
    context: Context | None = None
    if opened is not None:
        parent, context = opened.span.get_span_context(), set_span_in_context(opened.span)
        if not (opened.recorded or linked):
            return Unsampled(context)
    # What was made by another process, or by this one long ago and lay on disk, is linked as well.
    links = linked_to(parent) if linked or isinstance(opened, Remote) else ()
    if linked:
        parent, context = INVALID_SPAN.get_span_context(), set_span_in_context(INVALID_SPAN)
    started = call.started or ticks()
    span, account = start_span(
        tracer,
        f"execute {call.spec.name}",
        parent,
        context,
        date=anchor.at(started),
        links=links,
        account=lambda: of_both(call, process) if opened is None else of_run(call, process),
    )
    if account is not None:
        call.trace = span.get_span_context()
    if call.retry is not None:
        # For the attempts to come.
        call.span = opened or DispatchSpan.after(span, anchor, recorded=account is not None)
    context = set_span_in_context(span, context)
    if account is None:
        return Unsampled(context)
    return Execution(span, context, anchor, started, call=call, account=account)


def _is_linked(call: Call) -> bool:
    return relation_of(age_ns=(call.taken or ticks()) - call.entered, attempt=call.attempt) == "link"


def _handed_over(call: Call, tracer: Tracer, parent: SpanContext, anchor: Anchor) -> DispatchSpan:
    """The `dispatch` span, made afterwards."""
    name, date = f"dispatch {call.spec.name}", anchor.at(call.entered)
    span, account = start_span(tracer, name, parent, None, date=date, account=lambda: of_hand_over(call))
    sent = call.sent or call.taken or ticks()
    if account is not None and listener.detail == "debug":
        steps_of(call, tracer, anchor, span, sent)
    with harmless:  # a processor that fails at its end must not cost the other span
        span.end(end_time=anchor.at(sent))
    return DispatchSpan.after(span, anchor, recorded=account is not None)
