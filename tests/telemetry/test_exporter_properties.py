"""Whatever is in a span: its line is an `ExportTraceServiceRequest` that says the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.status import Status

from dispatch.telemetry._export._otlp_lines import lines
from telemetry.handmade import Spans
from telemetry.otlp import parsed, values_of

text = st.text() | st.sampled_from(["\x00", "\u2028\u2029", "\ufeff", "\U0001d4b3 e\u0301", "\r\n", '"\\\\"'])
whole = st.integers() | st.sampled_from([1 << 63, (1 << 63) - 1, -(1 << 63), -(1 << 63) - 1, 1 << 200])
real = st.floats()
scalars = text | whole | real | st.booleans() | st.binary()
values = scalars | st.lists(text) | st.lists(whole) | st.lists(real) | st.lists(st.booleans())
attributes = st.dictionaries(st.text(min_size=1), values, max_size=5)
moments = st.integers(0, 2**63 - 1)
remote = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.integers(0, 1).map(TraceFlags),
)
statuses = st.sampled_from([Status(), Status(StatusCode.OK)]) | st.builds(Status, st.just(StatusCode.ERROR), text)


def told(value):
    """What OTLP can say of an attribute, in a form that equals itself: one NaN is not another."""
    if isinstance(value, list | tuple):
        return [told(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return repr(str(value))
    return repr(value)


def all_told(attributes):
    return {key: told(value) for key, value in attributes.items()}


@given(
    name=text,
    kind=st.sampled_from(SpanKind),
    said=attributes,
    events=st.lists(st.tuples(text, attributes, moments), max_size=3),
    links=st.lists(st.tuples(remote, attributes), max_size=3),
    status=statuses,
    times=st.tuples(moments, moments),
    resource=attributes,
)
def test_a_span_survives_its_line(name, kind, said, events, links, status, times, resource):  # noqa: PLR0917 - one for each part
    """Read by protobuf's own JSON parser; the newline that ends it is the only one in it."""
    spans = Spans(resource=Resource(resource))
    linked = [Link(*each) for each in links]
    span = spans.tracer().start_span(name, kind=kind, attributes=said, links=linked, start_time=times[0])
    for event in events:
        span.add_event(*event)
    span.set_status(status)
    span.end(times[1])

    [line] = lines(spans.finished)

    assert b"\n" not in line
    [group] = parsed(line).resource_spans
    [read] = group.scope_spans[0].spans
    [made] = spans.finished
    assert all_told(resource).items() <= all_told(values_of(group.resource.attributes)).items()
    assert (name, kind.value + 1) == (read.name, read.kind)
    assert (made.context.trace_id, made.context.span_id) == (
        int.from_bytes(read.trace_id),
        int.from_bytes(read.span_id),
    )
    assert times == (read.start_time_unix_nano, read.end_time_unix_nano)
    assert all_told(said) == all_told(values_of(read.attributes))
    assert [(each, all_told(with_), when) for each, with_, when in events] == [
        (each.name, all_told(values_of(each.attributes)), each.time_unix_nano) for each in read.events
    ]
    assert [(each.trace_id, each.span_id, all_told(with_)) for each, with_ in links] == [
        (int.from_bytes(each.trace_id), int.from_bytes(each.span_id), all_told(values_of(each.attributes)))
        for each in read.links
    ]
    assert (status.status_code.value, status.description or "") == (read.status.code, read.status.message)
