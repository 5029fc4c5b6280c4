"""The light span: whatever is done with it, what comes out is what the SDK's own span would have been."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as api_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    AlwaysRecordSampler,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
    use_span,
)

from dispatch.telemetry._light._span import LightSpan
from dispatch.telemetry._light._tracer import LightTracer, lightened
from dispatch.telemetry._listener import listener
from telemetry.handmade import Spans, provider_in_place


class Counted(IdGenerator):
    """The same ids each time."""

    def __init__(self, *, random: bool) -> None:
        self._last = 0x1234
        self._random = random

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        self._last += 1
        return self._last << 60

    def is_trace_id_random(self) -> bool:
        return self._random


class Pair:
    """Two tracers that differ in nothing but that one of them gives light spans."""

    def __init__(self, *, random: bool = True, **provider: Any) -> None:
        self.sdk, self.light = (self._side(light=light, random=random, **provider) for light in (False, True))

    @staticmethod
    def _side(*, light: bool, random: bool, **provider: Any) -> tuple[Any, InMemorySpanExporter]:
        exporter = InMemorySpanExporter()
        made = TracerProvider(shutdown_on_exit=False, id_generator=Counted(random=random), **provider)
        made.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = made.get_tracer("dispatch", "1", "https://example.org/schema", {"scope": True})
        return (light and lightened(tracer)) or tracer, exporter


def told(span: ReadableSpan) -> dict[str, Any]:
    """All that an exporter can read of a span."""
    return {
        "name": span.name,
        "context": span.context,
        "parent": span.parent,
        "kind": span.kind,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": list(dict(span.attributes).items()),
        "status": (span.status.status_code, span.status.description),
        "events": [(e.name, e.timestamp, dict(e.attributes), e.dropped_attributes) for e in span.events],
        "links": [(link.context, dict(link.attributes or {}), link.dropped_attributes) for link in span.links],
        "resource": span.resource,
        "scope": span.instrumentation_scope,
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
    }


ELSEWHERE = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")]))

plain = st.one_of(st.text(max_size=8), st.booleans(), st.integers(-(2**70), 2**70), st.floats())
values = st.one_of(
    plain, st.lists(st.text(max_size=3), max_size=3), st.binary(max_size=3), st.none(), st.just(object())
)
keys = st.sampled_from(["", "a", "b", "c", "d", "dispatch.start_us"])
attributes = st.dictionaries(keys, values, max_size=4)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set_attribute"), keys, values),
        st.tuples(st.just("set_attributes"), attributes),
        st.tuples(st.just("add_event"), st.just("event"), st.none() | attributes, st.just(17)),
        st.tuples(st.just("add_link"), st.just(ELSEWHERE), st.none() | attributes),
        st.tuples(st.just("update_name"), st.text(max_size=5)),
        st.tuples(st.just("set_status"), st.sampled_from(StatusCode), st.none() | st.text(max_size=3)),
        st.tuples(st.just("set_status"), st.sampled_from(StatusCode).map(Status)),
        st.tuples(st.just("record_exception"), st.just(ValueError("no")), st.none() | attributes, st.just(18)),
        st.tuples(st.just("end"), st.just(99)),
    ),
    max_size=8,
)

contexts = st.sampled_from([None, *(
    SpanContext(0x77, 0x88, is_remote=remote, trace_flags=TraceFlags(flags), trace_state=TraceState([("x", "y")]))
    for remote in (False, True)
    for flags in (0, 1, 2, 3)
), SpanContext(0, 0, is_remote=False)])  # fmt: skip

samplers = st.sampled_from([
    None,
    ALWAYS_ON,
    ALWAYS_OFF,
    TraceIdRatioBased(0.5),
    ParentBased(ALWAYS_OFF),
    ParentBased(TraceIdRatioBased(1.0), remote_parent_sampled=ALWAYS_OFF, local_parent_not_sampled=ALWAYS_ON),
    ParentBasedTraceIdRatio(0.3),
])  # fmt: skip


limits = st.sampled_from([
    None,
    SpanLimits(max_events=1, max_links=1, max_event_attributes=1, max_link_attributes=1),
    SpanLimits(max_span_attributes=64, max_attribute_length=2, max_span_attribute_length=None),
])  # fmt: skip


def use(tracer: Any, parent: SpanContext | None, links: list[Link], made: dict[str, Any], todo: list[Any]) -> Span:
    context = api_context.Context()
    if parent is not None:
        context = set_span_in_context(NonRecordingSpan(parent), context)
    span = tracer.start_span("run", context, SpanKind.INTERNAL, dict(made), links, 11)
    for name, *arguments in todo:
        getattr(span, name)(*arguments)
    span.end(42)
    return span


@given(
    parent=contexts,
    linked=st.booleans(),
    made=st.dictionaries(st.sampled_from(["a", "b", "z"]), plain, max_size=3),
    todo=steps,
    provider=st.fixed_dictionaries({"sampler": samplers, "random": st.booleans(), "span_limits": limits}),
)
def test_a_light_span_comes_out_as_the_sdk_s_own(parent, linked, made, todo, provider):
    """Over generated uses: attributes, limits, events, status, exceptions and links are the same."""
    logging.disable(logging.CRITICAL)
    try:
        pair = Pair(**provider, resource=Resource({"service.name": "shop"}))
        links = [Link(ELSEWHERE, {"a": 1})] if linked else []
        spans = [use(tracer, parent, links, made, todo) for tracer, _ in (pair.sdk, pair.light)]
        expected, actual = (
            [told(span) for span in exporter.get_finished_spans()] for _, exporter in (pair.sdk, pair.light)
        )
        assert repr(expected) == repr(actual)  # not a number is not itself
        assert spans[0].get_span_context() == spans[1].get_span_context()
        assert spans[0].is_recording() == spans[1].is_recording()
    finally:
        logging.disable(logging.NOTSET)


def one(pair: Pair) -> LightSpan:
    span = pair.light[0].start_span("run", attributes={"a": 1})
    assert isinstance(span, LightSpan)
    return span


def test_an_untouched_span_never_becomes_the_sdk_s():
    """Reading its context, setting plain attributes and ending it is what a task's span goes through."""
    span = one(Pair())
    span.set_attribute("b", 2.5)
    assert span.is_recording()
    assert span.get_span_context().is_valid
    span.end()
    assert span._whole is None
    assert not span.is_recording()


def test_attributes_beyond_the_limit_push_out_the_oldest():
    """As the SDK has it, and the dropped ones are counted."""
    pair = Pair(span_limits=SpanLimits(max_span_attributes=64))
    for tracer, _ in (pair.sdk, pair.light):
        span = tracer.start_span("run", attributes={"first": 1}, start_time=1)
        for number in range(70):
            span.set_attribute(f"a{number}", number)
        span.end(2)
    expected, actual = (told(exporter.get_finished_spans()[0]) for _, exporter in (pair.sdk, pair.light))
    assert expected == actual
    assert 7 == actual["dropped"][0]


def test_an_attribute_that_is_set_again_stands_last():
    """As the SDK has it: the oldest are the first to be pushed out."""
    pair = Pair()
    for tracer, _ in (pair.sdk, pair.light):
        span = tracer.start_span("run", attributes={"a": 1, "b": 2})
        span.set_attribute("a", 3)
        span.end()
    expected, actual = (list(exporter.get_finished_spans()[0].attributes) for _, exporter in (pair.sdk, pair.light))
    assert ["b", "a"] == expected == actual


def test_what_the_sdk_s_span_tells_besides_the_api_is_told_too():
    """Instrumentations read the name and the attributes of whatever is current."""
    span = one(Pair())
    assert ("run", {"a": 1}, SpanKind.INTERNAL) == (span.name, dict(span.attributes), span.kind)
    with pytest.raises(AttributeError):
        span.no_such_thing  # noqa: B018


def test_an_error_that_leaves_a_with_block_is_recorded():
    """As by the SDK: an event, a status, an end."""
    pair = Pair()
    with pytest.raises(ValueError, match="no"), use_span(one(pair), end_on_exit=True):
        raise ValueError("no")
    (span,) = pair.light[1].get_finished_spans()
    assert ("exception", StatusCode.ERROR) == (span.events[0].name, span.status.status_code)


def test_ending_twice_hands_over_once(caplog):
    """And says so, as the SDK does."""
    pair = Pair()
    span = one(pair)
    span.end(5)
    span.end(6)
    assert [5] == [each.end_time for each in pair.light[1].get_finished_spans()]
    assert "Calling end() on an ended span." in caplog.text


def test_a_processor_that_comes_later_sees_the_next_span_s_start():
    """It may change spans as they start, which a light one has none of."""

    class Stamp(SpanProcessor):
        def on_start(self, span, parent_context=None):
            span.set_attribute("stamped", "yes")

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = lightened(provider.get_tracer("dispatch"))
    provider.add_span_processor(Stamp())
    tracer.start_span("run").end()
    assert {"stamped": "yes"} == dict(exporter.get_finished_spans()[0].attributes)


class Odd(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> Any:
        return ALWAYS_ON.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "odd"


class OwnBatch(BatchSpanProcessor):
    """One that may do anything."""


@pytest.mark.parametrize(
    "strange",
    [
        {"sampler": Odd()},
        {"sampler": ParentBased(Odd())},
        {"sampler": AlwaysRecordSampler(ALWAYS_OFF)},
        {"span_limits": SpanLimits(max_span_attributes=10)},
        {"span_limits": SpanLimits(max_span_attribute_length=10)},
        {"active_span_processor": ConcurrentMultiSpanProcessor()},
    ],
    ids=["sampler", "delegate", "records all", "few attributes", "short values", "concurrent"],
)
def test_with_strange_parts_the_span_is_the_sdk_s_own(strange):
    """Nobody knows what they do."""
    provider = TracerProvider(shutdown_on_exit=False, **strange)
    assert not isinstance(lightened(provider.get_tracer("dispatch")), LightTracer)
    provider.shutdown()


def test_with_a_processor_of_one_s_own_the_span_is_the_sdk_s_own():
    """A subclass may have an `on_start`."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(OwnBatch(InMemorySpanExporter()))
    assert not isinstance(lightened(provider.get_tracer("dispatch")), LightTracer)
    provider.shutdown()


def test_where_the_sdk_counts_its_own_spans_the_span_is_the_sdk_s_own(monkeypatch):
    """OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED: each start and end is counted."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    provider = TracerProvider(shutdown_on_exit=False)
    assert not isinstance(lightened(provider.get_tracer("dispatch")), LightTracer)


def test_an_sdk_whose_insides_have_changed_gives_its_own_spans(monkeypatch):
    """A light span is built on a few things that the SDK does not promise."""
    monkeypatch.setattr("dispatch.telemetry._light._tracer.limits_of", lambda tracer: tracer.gone)
    spans = Spans()
    with provider_in_place(spans.provider):
        tracer = listener.current()
    assert tracer is not None
    assert not isinstance(tracer, LightTracer)
    spans.provider.shutdown()


def test_a_plain_sdk_gives_light_spans():
    """What `setup()` puts in place, and what most applications have."""
    spans = Spans()
    with provider_in_place(spans.provider):
        assert isinstance(listener.current(), LightTracer)
    spans.provider.shutdown()
