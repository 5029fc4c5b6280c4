"""The SDK's tracer, with light spans where its parts are all of known kinds.

Known are the samplers and processors of the SDK itself, by their exact classes: what they do when a span starts is
nothing, or can be told beforehand. With anything else in place, and for spans with links, the SDK's own span is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import maxsize
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    get_current_span,
)
from opentelemetry.util.types import Attributes
from typing_extensions import override

from dispatch._clock import wall
from dispatch.telemetry._light._span import LightSpan
from dispatch.telemetry._light._verdict import Verdict, verdict_of

_RANDOM = TraceFlags.RANDOM_TRACE_ID
_FLAGS = {value: TraceFlags(value) for value in (0, TraceFlags.SAMPLED, _RANDOM, _RANDOM | TraceFlags.SAMPLED)}

_ROOM = 64
"""Attributes that a light span must have room for: more than we ever give one."""


class LightTracer(Tracer):
    """In the place of `tracer`, until its parts change."""

    def __init__(self, tracer: SdkTracer, verdict: Verdict) -> None:
        self.tracer = tracer
        self.processor: SpanProcessor = tracer.span_processor
        self.sampler = tracer.sampler
        self.scope = tracer._instrumentation_scope  # noqa: SLF001 - it is told nowhere else
        self.limits = limits_of(tracer)
        self.most_attributes = self.limits.max_span_attributes or maxsize
        self._processors = _processors_of(tracer)
        self._verdict = verdict
        ids = tracer.id_generator
        self._trace_id, self._span_id = ids.generate_trace_id, ids.generate_span_id
        self._random = TraceFlags.RANDOM_TRACE_ID if ids.is_trace_id_random() else 0

    @override
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | Callable[[], Attributes] = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """As the API's, but `attributes` become the span's own: plain values, which nobody else will change.

        Or a function that makes them, and is called when somebody reads them: on export, or never.
        """
        if links or not self.is_valid:
            told = attributes() if callable(attributes) else attributes
            return self.tracer.start_span(
                name, context, kind, told, links, start_time, record_exception, set_status_on_exception
            )
        parent = get_current_span(context).get_span_context()
        made = self.conceive(parent)
        if not made.trace_flags.sampled:
            return NonRecordingSpan(made)
        start = wall() if start_time is None else start_time
        return self.bear(made, parent, name, attributes=attributes, start=start, kind=kind)

    # ---- the two halves of it, for those who know the parent, and that `is_valid`

    def conceive(self, parent: SpanContext) -> SpanContext:
        """The context of a new span below `parent`: whether it is sampled, before anything is made for it."""
        if parent.is_valid:
            trace_id, state, flags = parent.trace_id, parent.trace_state, parent.trace_flags & _RANDOM
            flags |= self._verdict(parent, trace_id)
        else:
            trace_id, state = self._trace_id(), None
            flags = self._random | self._verdict(None, trace_id)
        return SpanContext(trace_id, self._span_id(), is_remote=False, trace_flags=_FLAGS[flags], trace_state=state)

    def bear(
        self,
        made: SpanContext,
        parent: SpanContext,
        name: str,
        *,
        attributes: Attributes | Callable[[], Attributes],
        start: int,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> LightSpan:
        """The span that was conceived as `made`."""
        above = parent if parent.is_valid else None
        return LightSpan(self, name, made, parent=above, kind=kind, attributes=attributes, start=start)

    @property
    def is_valid(self) -> bool:
        """Whether the tracer's parts are those that were known."""
        tracer = self.tracer
        return self.sampler is tracer.sampler and self._processors is _processors_of(tracer)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.start_as_current_span(*args, **kwargs)


def lightened(tracer: Any) -> LightTracer | None:
    """`tracer` with light spans, if all its parts are known. Raises anything where the SDK's insides have changed."""
    if type(tracer) is not SdkTracer or type(tracer.span_processor) is not SynchronousMultiSpanProcessor:
        return None
    verdict = verdict_of(tracer.sampler)
    limits = limits_of(tracer)
    most = limits.max_span_attributes
    known = (
        tracer._is_enabled()  # noqa: SLF001 - as above
        and type(tracer._tracer_metrics) is NoOpTracerMetrics  # noqa: SLF001 - else each start and end is counted
        and all(type(each) in (BatchSpanProcessor, SimpleSpanProcessor) for each in _processors_of(tracer))
        and limits.max_span_attribute_length is None
        and (most is None or most >= _ROOM)
    )
    if verdict is None or not known:
        return None
    light = LightTracer(tracer, verdict)
    LightSpan(light, "one, to see that it can be made", INVALID_SPAN_CONTEXT).update_name("and be changed")
    return light


def limits_of(tracer: SdkTracer) -> SpanLimits:
    return tracer._span_limits  # noqa: SLF001 - it is told nowhere else


def _processors_of(tracer: SdkTracer) -> tuple[SpanProcessor, ...]:
    return tracer.span_processor._span_processors  # noqa: SLF001 - as above
