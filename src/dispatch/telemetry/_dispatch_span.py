"""The `dispatch {task}` span: from the call's entry until a destination has it, or none wants it."""

from __future__ import annotations

from typing import Self

from opentelemetry.trace import Span, SpanKind, Tracer, get_current_span, set_span_in_context

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch.errors import DispatchError, NotAccepted, NotConfigured
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import Attributes, of_call, of_decision, of_overhead, of_passed_over
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail, kind_of
from dispatch.telemetry._listener import listener
from dispatch.telemetry._overhead import Overhead


class DispatchSpan:
    """The span while it is real before the hand-over; `Call.span` holds it. Only the caller's thread ends it."""

    __slots__ = ("anchor", "is_ended", "recorded", "span")

    def __init__(
        self,
        call: Call,
        tracer: Tracer,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
    ) -> None:
        """`attributes`: what there is to say beside the call."""
        self.anchor = Anchor()
        self.is_ended = False
        # Where it goes is not settled yet, and an attribute cannot be taken back.
        self.span = tracer.start_span(
            f"dispatch {call.spec.name}",
            kind=kind,
            attributes={**of_call(call), **(attributes or {})},
            start_time=self.anchor.at(call.entered),
        )
        self.recorded = self.span.is_recording()
        """Kept: an ended span no longer says so."""

    @classmethod
    def after(cls, span: Span, anchor: Anchor, *, recorded: bool) -> Self:
        """One that was begun and ended by the worker, below which further attempts belong."""
        made = cls.__new__(cls)
        made.anchor, made.span, made.recorded, made.is_ended = anchor, span, recorded, True
        return made

    def end(self, call: Call, error: BaseException | None) -> None:
        """Say how the hand-over ended. Twice is once."""
        if self.is_ended:
            return
        self.is_ended = True
        moment = ticks() if error is not None else call.sent or ticks()
        with harmless:
            if self.span.is_recording():
                _conclude(self.span, call, moment, error)
                if error is None and listener.detail == "debug" and (tracer := listener.current()) is not None:
                    steps_of(call, tracer, self.anchor, self.span, moment)
        with harmless:
            self.span.end(end_time=self.anchor.at(moment))


class Remote:
    """Stands in `Call.span` for the span of another process, which has ended there."""

    __slots__ = ("anchor", "recorded", "span")

    def __init__(self, span: Span) -> None:
        self.anchor = Anchor()
        self.span = span
        self.recorded = span.get_span_context().trace_flags.sampled


def steps_of(call: Call, tracer: Tracer, anchor: Anchor, span: Span, sent: int) -> None:
    """Below `span`, a span for each step of a hand-over that is done since `sent`."""
    context = set_span_in_context(span)
    since = call.entered
    for name, until in (("decide", call.decided), ("serialize", call.serialized), ("enqueue", sent)):
        if until:  # a step that was not taken has no moment
            step = tracer.start_span(name, context, attributes={n.CALL: call.id}, start_time=anchor.at(since))
            since = max(since, until)
            step.end(end_time=anchor.at(since))


def dispatched(call: Call, error: BaseException | None = None) -> None:
    """End the call's `dispatch` span; with an `error` there is one even where none was open. Twice is once.

    What leaves this process, and what nobody took, is recorded now: nothing more will be heard of it here for sure.

    For the dispatcher, after the slow path and on the caller's thread. Never raises.
    """
    with harmless:
        tracer = listener.current()  # first: who takes metrics is looked for here too
        if error is not None or call.source is not None:
            call.record(None if error is None else type(error))
        opened: DispatchSpan | None = call.span
        if opened is None:
            # Without an error the worker builds the span; a caller that left it nothing has nothing to say.
            if error is None or tracer is None or listener.drops(get_current_span().get_span_context()):
                return
            opened = DispatchSpan(call, tracer)
            call.span = opened
        opened.end(call, error)


def _conclude(span: Span, call: Call, moment: int, error: BaseException | None) -> None:
    if error is None:
        paid = Overhead.of(call, moment)
        span.set_attributes({**of_decision(call.decision), **of_overhead(paid)})
        return
    if isinstance(error, NotAccepted):
        span.set_attributes(of_passed_over(error.passed_over))
    elif not isinstance(error, NotConfigured):
        # The call may still run (`OutcomeUnknown`): the destination it was given to belongs to the story.
        span.set_attributes(of_decision(call.decision))
    fail(span, kind_of(error), str(error) if isinstance(error, DispatchError) else None)
