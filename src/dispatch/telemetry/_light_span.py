"""A span that costs a fifth of the SDK's as long as nobody touches it, and becomes the SDK's own when somebody does.

Most spans of a task are made with all their attributes, are current while the body runs, and end. The SDK's span is
made for everything else that may happen to one: it has a lock, three bounded lists and a copy of itself for the
processors. A light span keeps what it was made with; it makes the SDK's span, from the very same, at the first use
that is more than reading its context or setting a plain attribute, and from then on hands everything on to it. So there
is one implementation of limits, events, links, exceptions and status, and it is the SDK's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, Tracer
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes
from typing_extensions import override

from dispatch._clock import wall
from dispatch._turn import Turn

_PLAIN = frozenset((str, bool, int, float))
"""Attribute values that the SDK keeps as they are."""

_turn = Turn()


class Workshop(Protocol):
    """What the light spans of one tracer share."""

    tracer: Tracer
    """The SDK's."""
    processor: SpanProcessor
    """Whom ended spans are given to."""
    limits: SpanLimits
    most_attributes: int
    """`limits` as a number."""


class LightSpan(Span):
    """One of `_light_tracer`. Safe from any thread."""

    __slots__ = ("_attributes", "_context", "_ended", "_kind", "_name", "_parent", "_start", "_whole", "_workshop")

    def __init__(
        self,
        workshop: Workshop,
        name: str,
        context: SpanContext,
        *,
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        start: int = 0,
    ) -> None:
        self._workshop = workshop
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._attributes: dict[str, Any] = attributes if type(attributes) is dict else dict(attributes or {})
        self._start = start
        self._ended = False
        self._whole: SdkSpan | None = None

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        whole = self._whole
        return not self._ended if whole is None else whole.is_recording()

    def set_attribute(self, key: str, value: Any) -> None:
        if type(value) in _PLAIN and type(key) is str and key:
            with _turn.lock:
                kept = self._attributes
                if self._whole is None and not self._ended and len(kept) < self._workshop.most_attributes:
                    kept.pop(key, None)  # what is set again stands last, as the SDK has it
                    kept[key] = value
                    return
        self._own().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._own().set_attributes(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self._own().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self._own().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self._own().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._own().set_status(status, description)

    @override
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._own().record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        with _turn.lock:
            whole, early = self._whole, not self._ended
            self._ended = True
        if whole is None and early:
            workshop = self._workshop
            tracer = workshop.tracer
            workshop.processor.on_end(
                ReadableSpan(
                    name=self._name,
                    context=self._context,
                    parent=self._parent,
                    resource=tracer.resource,
                    attributes=self._attributes,
                    kind=self._kind,
                    instrumentation_info=tracer.instrumentation_info,
                    start_time=self._start,
                    end_time=wall() if end_time is None else end_time,
                    instrumentation_scope=scope_of(tracer),
                )
            )
        else:
            self._own().end(end_time)  # which says so where it is the second time

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._own().__exit__(kind, error, traceback)

    def __getattr__(self, name: str) -> Any:
        # `name`, `attributes`, `events` …: what the SDK's span tells besides the API.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._own(), name)

    def __repr__(self) -> str:
        return repr(self._own())

    def _own(self) -> SdkSpan:
        """The SDK's span in place of this one, made when it is first asked for."""
        with _turn.lock:
            if self._whole is None:
                self._whole = self._become()
            return self._whole

    def _become(self) -> SdkSpan:
        workshop = self._workshop
        tracer = workshop.tracer
        whole = Whole(
            name=self._name,
            context=self._context,
            parent=self._parent,
            sampler=tracer.sampler,
            resource=tracer.resource,
            attributes=self._attributes,
            kind=self._kind,
            # What has ended was handed on already.
            span_processor=SpanProcessor() if self._ended else workshop.processor,
            instrumentation_info=tracer.instrumentation_info,
            limits=workshop.limits,
            instrumentation_scope=scope_of(tracer),
        )
        whole.start(start_time=self._start)
        if self._ended:
            whole.end(self._start)
        return whole


class Whole(SdkSpan):
    """The SDK's span, which nobody but a tracer may make under its own name."""


def scope_of(tracer: Tracer) -> InstrumentationScope:
    return tracer._instrumentation_scope  # noqa: SLF001 - it is told nowhere else
