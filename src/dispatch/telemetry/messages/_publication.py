"""The `publish {queue}` span, and the headers that carry the trace to the worker."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import lru_cache

from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, get_current
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
from dispatch.telemetry.messages._conventions import Server, of_message
from dispatch.telemetry.messages._instrumentation import spans_each_publish
from dispatch.telemetry.messages._waybill import pack


class Publication:
    """One message on its way to a broker. Its span is never current for the caller; any thread may end it."""

    __slots__ = ("_anchor", "_late", "_span", "context", "headers")

    def __init__(
        self,
        headers: dict[str, str],
        context: contextvars.Context | None = None,
        span: Span | None = None,
        anchor: Anchor | None = None,
        late: Callable[[], Span] | None = None,
    ) -> None:
        """`late` begins the span of a publication that fails, where one that goes well has somebody else's."""
        self.headers = headers
        """To be sent with the message; ASCII."""
        self.context = context
        """The caller's, with the innermost span current; Celery's signals are sent in it. `None`: as it is."""
        self._span = span
        self._anchor = anchor
        self._late = late

    def end(self, passed: PassedOver | None) -> None:
        """Say how it ended: `None` when the broker has it. Twice is once; never raises."""
        span, self._span = self._span, None
        late, self._late = self._late, None
        if self._anchor is None:
            return
        moment = self._anchor.at(ticks())
        with harmless:
            if span is None and late is not None and passed is not None:
                span = late()
        if span is None:
            return
        with harmless:
            if passed is not None and span.is_recording():
                fail(span, passed.why, passed.detail or None)
        with harmless:
            span.end(end_time=moment)


def publishing(
    call: Call,
    *,
    queue: str,
    system: str,
    size: int,
    compressed: int | None = None,
    server: Server | None = None,
    routing_key: str | None = None,
) -> Publication:
    """Begin to publish `call`; for the caller's thread and context. Never raises.

    The ids must travel, so the spans are real from here on: `dispatch {task}`, kept in `call.span` for
    `dispatched` to end, and its child `publish {queue}`. `system` is the broker's name in OpenTelemetry's words,
    `size` that of the encoded arguments in bytes, `compressed` what compression has left of it.
    """
    headers = _headers(call)
    with harmless:
        tracer = listener.current()
        if tracer is not None:
            message = of_message("send", call.id, queue=queue, system=system, server=server, routing_key=routing_key)
            attributes: Attributes = {n.TASK: call.spec.name, n.CALL: call.id, **message, n.BODY_SIZE: size}
            if compressed is not None:
                attributes[n.COMPRESSED_SIZE] = compressed
            return _publishing(call, tracer, headers, f"publish {queue}", attributes)
        _pass_through(headers)
    return Publication(headers)


def keeping(call: Call) -> dict[str, str]:
    """The headers of a call that is to be kept on disk first; for the caller's thread and context. Never raises.

    `dispatch {task}` is real from here on, as when it is published; nothing else is, for a disk is no broker.
    """
    headers = _headers(call)
    with harmless:
        tracer = listener.current()
        if tracer is None:
            _pass_through(headers)
        else:
            opened = _opened(call, tracer)
            propagate.inject(headers, None if opened is None else set_span_in_context(opened.span))
    return headers


def _headers(call: Call) -> dict[str, str]:
    headers: dict[str, str] = {}
    with harmless:
        headers[n.SENT_HEADER] = str(wall())
        headers[n.ROUTE_HEADER] = pack(call)
    return headers


def _pass_through(headers: dict[str, str]) -> None:
    """Without an SDK the context of whoever called us still goes on, as the API promises."""
    if not listener.muted and (get_current() or not _reads_context_alone(propagate.get_global_textmap())):
        propagate.inject(headers)


def _opened(
    call: Call, tracer: Tracer, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
) -> DispatchSpan | None:
    """The call's `dispatch` span, real; `None`: below the caller's own span nothing is sampled."""
    opened: DispatchSpan | None = call.span
    if opened is None and not listener.drops(get_current_span().get_span_context()):
        opened = call.span = DispatchSpan(call, tracer, kind=kind, attributes=attributes)
    return opened


def _publishing(call: Call, tracer: Tracer, headers: dict[str, str], name: str, attributes: Attributes) -> Publication:
    alone = listener.detail == "compact"
    opened = _opened(call, tracer, SpanKind.PRODUCER, attributes) if alone else _opened(call, tracer)
    if opened is None:
        propagate.inject(headers)
        return Publication(headers)
    above: Context = set_span_in_context(opened.span)
    begun = opened.anchor.at(ticks())

    def begin() -> Span:
        return tracer.start_span(name, above, SpanKind.PRODUCER, attributes=attributes, start_time=begun)

    span: Span | None = None
    late: Callable[[], Span] | None = None
    if opened.recorded and not alone:
        if spans_each_publish():
            late = begin
        else:
            span = begin()
    context = above if span is None else set_span_in_context(span)
    publication = Publication(headers, within(context, call.context), span, opened.anchor, late)
    # Apart: a propagator of the application's that fails must not leave the span open for ever.
    with harmless:
        propagate.inject(headers, context)
    return publication


def within(context: Context, outer: contextvars.Context | None = None) -> contextvars.Context:
    """A copy of `outer`, by default an empty one, in which `context` is current."""
    made = contextvars.Context() if outer is None else outer.copy()
    made.run(attach, context)
    return made


@lru_cache(maxsize=1)
def _reads_context_alone(propagator: TextMapPropagator) -> bool:
    """Whether it is the API's own, and writes nothing for an empty context; others may know more than the context."""
    each = propagator._propagators if type(propagator) is CompositePropagator else [propagator]  # noqa: SLF001 - not said elsewhere
    return all(type(one) in (TraceContextTextMapPropagator, W3CBaggagePropagator) for one in each)
