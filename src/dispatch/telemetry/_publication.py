"""The `publish {queue}` span, and the headers that carry the trace to the worker."""

from __future__ import annotations

from functools import lru_cache

from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanKind, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dispatch._call import Call
from dispatch._clock import ticks, wall
from dispatch.errors import PassedOver
from dispatch.telemetry import _names as n
from dispatch.telemetry._anchor import Anchor
from dispatch.telemetry._attributes import Attributes
from dispatch.telemetry._dispatch_span import DispatchSpan
from dispatch.telemetry._failures import harmless
from dispatch.telemetry._fault import fail
from dispatch.telemetry._listener import listener
from dispatch.telemetry._waybill import pack


class Publication:
    """One message on its way to a broker. Its span is never current anywhere; any thread may end it."""

    __slots__ = ("_anchor", "_span", "headers")

    def __init__(self, headers: dict[str, str], span: Span | None = None, anchor: Anchor | None = None) -> None:
        self.headers = headers
        """To be sent with the message; ASCII."""
        self._span = span
        self._anchor = anchor

    def end(self, passed: PassedOver | None) -> None:
        """Say how it ended: `None` when the broker has it. Twice is once; never raises."""
        span, self._span = self._span, None
        if span is None or self._anchor is None:
            return
        moment = self._anchor.at(ticks())
        with harmless:
            if passed is not None and span.is_recording():
                fail(span, passed.why, passed.detail or None)
        with harmless:
            span.end(end_time=moment)


def publishing(call: Call, *, queue: str, system: str, size: int) -> Publication:
    """Begin to publish `call`; for the caller's thread and context. Never raises.

    The ids must travel, so the spans are real from here on: `dispatch {task}`, kept in `call.span` for
    `dispatched` to end, and its child `publish {queue}`. `system` is the broker's name in OpenTelemetry's words,
    `size` that of the encoded arguments in bytes.
    """
    headers: dict[str, str] = {}
    with harmless:
        headers[n.SENT_HEADER] = str(wall())
        headers[n.ROUTE_HEADER] = pack(call)
    with harmless:
        tracer = listener.current()
        if tracer is not None:
            return _publishing(call, tracer, headers, queue, _of_publication(call, queue, system, size))
        if not listener.muted and (get_current() or not _reads_context_alone(propagate.get_global_textmap())):
            # Without an SDK the context of whoever called us still passes through, as the API promises.
            propagate.inject(headers)
    return Publication(headers)


def _publishing(call: Call, tracer: Tracer, headers: dict[str, str], queue: str, attributes: Attributes) -> Publication:
    opened: DispatchSpan | None = call.span
    if opened is None:
        if listener.drops(get_current_span().get_span_context()):
            propagate.inject(headers)
            return Publication(headers)
        if listener.detail == "compact":
            call.span = opened = DispatchSpan(call, tracer, kind=SpanKind.PRODUCER, attributes=attributes)
        else:
            call.span = opened = DispatchSpan(call, tracer)
    context: Context = set_span_in_context(opened.span)
    span: Span | None = None
    if opened.recorded and listener.detail != "compact":
        span = tracer.start_span(
            f"publish {queue}",
            context,
            SpanKind.PRODUCER,
            attributes=attributes,
            start_time=opened.anchor.at(ticks()),
        )
        context = set_span_in_context(span)
    publication = Publication(headers, span, opened.anchor)
    # Apart: a propagator of the application's that fails must not leave the span open for ever.
    with harmless:
        propagate.inject(headers, context)
    return publication


@lru_cache(maxsize=1)
def _reads_context_alone(propagator: TextMapPropagator) -> bool:
    """Whether it is the API's own, and writes nothing for an empty context; others may know more than the context."""
    each = propagator._propagators if type(propagator) is CompositePropagator else [propagator]  # noqa: SLF001 - not said elsewhere
    return all(type(one) in (TraceContextTextMapPropagator, W3CBaggagePropagator) for one in each)


def _of_publication(call: Call, queue: str, system: str, size: int) -> Attributes:
    return {
        n.TASK: call.spec.name,
        n.CALL: call.id,
        n.SYSTEM: system,
        n.OPERATION_NAME: "send",
        n.OPERATION_TYPE: "send",
        n.QUEUE: queue,
        n.MESSAGE: call.id,
        n.BODY_SIZE: size,
    }
