"""How the span of a run belongs to its caller's: `DISPATCH_TRACE_RELATION`."""

from __future__ import annotations

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import get_current_span

from dispatch import telemetry
from dispatch._clock import ticks, wall
from dispatch.settings import Settings
from dispatch.telemetry import messages
from dispatch.telemetry._relation import relation_of
from telemetry.handmade import QUEUE, Spans, a_call, provider_in_place, receive, run, send

MINUTE = 60_000_000_000


@pytest.fixture
def relation(spans):
    """Puts one in force."""
    return lambda said: telemetry.follow(Settings(trace_relation=said))


def made(ago):
    """A call that was made so long ago."""
    return a_call(made=QUEUE, entered=ticks() - ago, decided=0)


def test_a_child_is_in_its_caller_s_trace_and_linked_to_it(spans, relation):
    """The default, however late it runs."""
    relation("child")
    receive(send(made(60 * MINUTE)), attempt=3)

    process, publish = spans["process"], spans["publish"]
    assert publish.context.span_id == process.parent.span_id
    assert [publish.context.span_id] == [link.context.span_id for link in process.links]


def test_a_link_is_a_trace_of_its_own_that_names_the_other(spans, relation):
    """A root; what the body starts is below it, and the caller's baggage is still there."""
    relation("link")
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    headers = send(a_call(made=QUEUE))
    context.detach(token)
    seen = []

    def body():
        seen.append(baggage.get_baggage("tenant"))
        with spans.tracer().start_as_current_span("query"):
            pass

    receive(headers, body=body)
    process, publish = spans["process"], spans["publish"]
    assert process.parent is None
    assert publish.context.trace_id != process.context.trace_id
    assert [publish.context.span_id] == [link.context.span_id for link in process.links]
    assert process.context.span_id == spans["query"].parent.span_id
    assert ["acme"] == seen
    assert "queue" == process.attributes["dispatch.destination"]


def test_a_link_without_anything_to_link_to_is_a_root(spans, relation):
    """As beat's own messages are: nobody's call."""
    relation("link")
    receive({})

    assert (None, ()) == (spans["process"].parent, spans["process"].links)


@pytest.mark.parametrize(
    ("ago", "attempt", "expected"),
    [(0, 1, "child"), (4 * MINUTE, 1, "child"), (6 * MINUTE, 1, "link"), (0, 2, "link"), (-60 * MINUTE, 1, "child")],
)
def test_auto_links_what_runs_much_later_or_again(spans, relation, ago, attempt, expected):
    """Held back, on disk or in a queue for more than five minutes since `delay`; or not the first attempt."""
    relation("auto")
    receive(send(made(ago)), attempt=attempt)

    assert expected == ("link" if spans["process"].parent is None else "child")
    assert 1 == len(spans["process"].links)


def test_a_delay_does_not_hide_how_old_the_call_is(spans, relation):
    """The wait is counted from when it was due, and the age is not."""
    relation("auto")
    headers = send(made(6 * MINUTE)) | messages.due_in(0)
    receive(headers)

    assert spans["process"].parent is None
    assert spans["process"].attributes["dispatch.wait_us"] < 60_000_000


@pytest.mark.parametrize(
    "route", ["", "made=", ";made=soon", ";made=-5", ";made=" + "9" * 30, ";made=٣", 7, b"x", None]
)
def test_an_age_that_makes_no_sense_is_none(spans, relation, failures, route):
    """It may have come in a stranger's message."""
    relation("auto")
    headers = send(a_call(made=QUEUE)) | {"dispatch-route": route}
    receive(headers)

    assert spans["process"].parent is not None
    assert 0 == failures()


def test_the_age_stands_in_the_decision_s_header(spans):
    """No header more."""
    headers = send(made(MINUTE))

    stamped = int(headers["dispatch-route"].partition(";made=")[2].partition(";")[0])
    assert MINUTE <= wall() - stamped < 2 * MINUTE


def test_a_link_has_its_own_lot_drawn():
    """The caller's trace was left out; a root's sampler decides about this one, and it is recorded."""
    spans = Spans(sampler=ParentBased(ALWAYS_ON))
    caller = Spans(sampler=ParentBased(TraceIdRatioBased(0)))
    with provider_in_place(caller.provider):
        headers = send(a_call(made=QUEUE))
    with provider_in_place(spans.provider):
        telemetry.follow(Settings(trace_relation="link"))
        receive(headers)
        telemetry.follow(Settings(trace_relation="child"))
        receive(headers)

    [recorded] = spans.finished
    assert recorded.parent is None
    assert [headers["traceparent"].split("-")[2]] == [format(link.context.span_id, "016x") for link in recorded.links]


def test_a_link_may_be_left_out_although_its_caller_was_recorded(spans):
    """The other way round; the body has a valid current span all the same."""
    headers = send(a_call(made=QUEUE))
    worker, seen = Spans(sampler=ParentBased(ALWAYS_OFF)), []
    with provider_in_place(worker.provider):
        telemetry.follow(Settings(trace_relation="link"))
        receive(headers, body=lambda: seen.append(get_current_span().get_span_context()))

    assert [] == worker.finished
    assert seen[0].is_valid
    assert spans["publish"].context.trace_id != seen[0].trace_id


def test_the_relation_is_asked_of_what_anybody_knows_of_a_run(relation):
    """A local run asks the same."""
    relation("auto")

    assert "child" == relation_of(age_ns=0, attempt=1)
    assert "link" == relation_of(age_ns=5 * MINUTE + 1, attempt=1)


def test_a_local_run_may_be_a_trace_of_its_own_that_names_the_other(spans, relation):
    """`execute` is a root, and what the body starts is below it."""
    relation("link")
    seen = []
    with spans.tracer().start_as_current_span("request") as request:
        call = a_call()
    run(call, lambda: seen.append(get_current_span().get_span_context()))

    outer, inner = spans["dispatch"], spans["execute"]
    assert request.get_span_context().span_id == outer.parent.span_id
    assert inner.parent is None
    assert outer.context.trace_id != inner.context.trace_id
    assert [outer.context] == [link.context for link in inner.links]
    assert [inner.context] == seen
    assert call.trace == inner.context


def test_a_compact_local_run_is_linked_to_whoever_called(spans, monkeypatch):
    """There is no span between the two."""
    telemetry.follow(Settings(trace_relation="link", trace_detail="compact"))
    with spans.tracer().start_as_current_span("request") as request:
        call = a_call()
    run(call)

    assert ["request", "execute shop.resize"] == spans.names
    assert [request.get_span_context()] == [link.context for link in spans["execute"].links]
    assert spans["execute"].parent is None


def test_auto_links_a_local_call_that_ran_long_after_it_was_made(spans, relation):
    """It was held back by its eta."""
    relation("auto")
    run(a_call())
    assert spans["dispatch"].context.span_id == spans["execute"].parent.span_id
    spans.exporter.clear()

    now = ticks()
    run(a_call(entered=now - 6 * MINUTE, decided=now - 6 * MINUTE, sent=now - 6 * MINUTE, due=now - 2_000))
    assert spans["execute"].parent is None
    assert [spans["dispatch"].context] == [link.context for link in spans["execute"].links]


def test_auto_links_the_second_attempt_of_a_local_call(spans, relation):
    """It ran again."""
    relation("auto")
    run(a_call(attempt=2))
    assert spans["execute"].parent is None


def test_a_local_run_of_its_own_decides_by_itself_whether_it_is_sampled(relation):
    """Below an unsampled caller nothing is dispatched that is seen, and yet the run may be."""
    spans = Spans(sampler=ParentBased(ALWAYS_ON))
    with provider_in_place(spans.provider):
        telemetry.follow(Settings(trace_relation="link"))
        dark = Spans(sampler=ALWAYS_OFF)
        with dark.tracer().start_as_current_span("request"):
            call = a_call()
        run(call)
    assert ["execute shop.resize"] == spans.names
    spans.provider.shutdown()
