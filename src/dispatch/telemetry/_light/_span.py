"""A span that costs a fifth of the SDK's as long as nobody touches it, and becomes the SDK's own when somebody does.

Most spans of a task are made with all their attributes, are current while the body runs, and end. The SDK's span is
made for everything else that may happen to one: it has a lock, three bounded containers and a copy of itself for the
processors. A light span keeps what it was made with; it makes the SDK's span, from the very same, at the first use
that is more than reading its context or setting a plain attribute, and from then on hands everything on to it. So there
is one implementation of limits, events, links, exceptions and status, and it is the SDK's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType, TracebackType
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

_UNSET = Status(StatusCode.UNSET)

_turn = Turn()


class Workshop(Protocol):
    """What the light spans of one tracer share."""

    tracer: Tracer
    """The SDK's."""
    processor: SpanProcessor
    """Whom ended spans are given to."""
    scope: InstrumentationScope
    limits: SpanLimits
    most_attributes: int
    """`limits` as a number."""


def _attributes_of(span: LightSpan) -> Mapping[str, Any]:
    return MappingProxyType(span.kept())


def _read(name: str, ours: Callable[[Any], Any]) -> Any:
    """What `ours` reads while the span is light, and `name` of the SDK's own afterwards."""

    def read(span: LightSpan) -> Any:
        whole = span._whole  # noqa: SLF001 - part of the class below
        return ours(span) if whole is None else getattr(whole, name)

    return property(read)


class LightSpan(Span, ReadableSpan):
    """One of `_light_tracer`. Safe from any thread."""

    __slots__ = (
        "_end",
        "_kind",
        "_name",
        "_own_attributes",
        "_own_context",
        "_parent",
        "_start",
        "_whole",
        "_workshop",
    )

    def __init__(
        self,
        workshop: Workshop,
        name: str,
        context: SpanContext,
        *,
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | Callable[[], Attributes] = None,
        start: int = 0,
    ) -> None:
        self._workshop = workshop
        self._name = name
        self._own_context = context
        self._parent = parent
        self._kind = kind
        self._own_attributes: object = attributes
        self._start = start
        self._end: int | None = None
        self._whole: SdkSpan | None = None

    def get_span_context(self) -> SpanContext:
        return self._own_context

    def is_recording(self) -> bool:
        whole = self._whole
        return self._end is None if whole is None else whole.is_recording()

    def kept(self) -> dict[str, Any]:
        """The attributes, made where they are not yet."""
        kept = self._own_attributes
        if callable(kept):
            kept = kept()
        if not isinstance(kept, dict):
            kept = {}
        self._own_attributes = kept
        return kept

    def set_attribute(self, key: str, value: Any) -> None:
        if type(value) in _PLAIN and type(key) is str and key:
            with _turn.lock:
                kept = self.kept()
                if self._whole is None and self._end is None and len(kept) < self._workshop.most_attributes:
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
            whole, early = self._whole, self._end is None
            if early:
                self._end = wall() if end_time is None else end_time
        if whole is None and early:
            self._workshop.processor.on_end(self)
        else:
            self._own().end(end_time)  # which says so where it is the second time

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._own().__exit__(kind, error, traceback)

    # ---- as exporters read it

    name = _read("name", attrgetter("_name"))
    context = property(attrgetter("_own_context"))
    parent = property(attrgetter("_parent"))
    kind = property(attrgetter("_kind"))
    start_time = property(attrgetter("_start"))
    end_time = _read("end_time", attrgetter("_end"))
    attributes = _read("attributes", _attributes_of)
    events = _read("events", lambda _: ())
    links = _read("links", lambda _: ())
    status = _read("status", lambda _: _UNSET)
    resource = _read("resource", attrgetter("_workshop.tracer.resource"))
    instrumentation_scope = _read("instrumentation_scope", attrgetter("_workshop.scope"))
    instrumentation_info = _read("instrumentation_info", attrgetter("_workshop.tracer.instrumentation_info"))
    dropped_attributes = _read("dropped_attributes", lambda _: 0)
    dropped_events = _read("dropped_events", lambda _: 0)
    dropped_links = _read("dropped_links", lambda _: 0)

    def to_json(self, indent: int | None = 4) -> str:
        text: str = self._own().to_json(indent)
        return text

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
            context=self._own_context,
            parent=self._parent,
            sampler=tracer.sampler,
            resource=tracer.resource,
            attributes=self.kept(),
            kind=self._kind,
            # What has ended was handed on already.
            span_processor=workshop.processor if self._end is None else SpanProcessor(),
            instrumentation_info=tracer.instrumentation_info,
            limits=workshop.limits,
            instrumentation_scope=workshop.scope,
        )
        whole.start(start_time=self._start)
        if self._end is not None:
            whole.end(self._end)
        return whole


class Whole(SdkSpan):
    """The SDK's span, which nobody but a tracer may make under its own name."""
