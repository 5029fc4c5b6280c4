"""DISPATCH_TRACE_DETAIL: how many spans a call leaves, and what they say."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, get_current_span

from dispatch._clock import ticks
from dispatch._outcome import Failure
from dispatch._retry import Retry
from dispatch.errors import PassedOver
from dispatch.telemetry._account import _known
from dispatch.telemetry._listener import listener
from telemetry.handmade import QUEUE, Spans, a_call, decision, provider_in_place, receive, run, send


@pytest.fixture
def detail(monkeypatch):
    """Says how much, from now on."""

    def say(word):
        monkeypatch.setenv("DISPATCH_TRACE_DETAIL", word)
        listener.follow(None)

    yield say
    monkeypatch.undo()
    listener.follow(None)


def moments():
    now = ticks()
    return {"entered": now - 9_000, "decided": now - 7_500, "sent": now - 5_000, "taken": now - 2_000}


def test_off_leaves_no_span(spans, detail):
    """The application's own spans are not concerned."""
    detail("off")
    with spans.tracer().start_as_current_span("request"):
        call = a_call()
    run(call)
    assert ["request"] == spans.names


def test_compact_leaves_one_span_of_a_local_call(spans, detail):
    """It covers the body, and says what two would have said, but for what goes without saying and the parts of sums."""
    detail("full")
    run(a_call(payload=7, **moments()))
    full = {**spans["dispatch"].attributes, **spans["execute"].attributes}
    spans.exporter.clear()

    detail("compact")
    with spans.tracer().start_as_current_span("request") as request:
        call = a_call(payload=7, **moments())
    run(call)

    assert ["request", "execute shop.resize"] == spans.names
    assert request.get_span_context().span_id == spans["execute"].parent.span_id
    unsaid = {"dispatch.reason", "dispatch.durability"}
    parts = {"dispatch.decide_us", "dispatch.serialize_us", "dispatch.enqueue_us"}
    assert full.keys() == spans["execute"].attributes.keys() | unsaid | parts
    assert 4.0 == spans["execute"].attributes["dispatch.overhead_us"]


def test_compact_says_what_does_not_go_without_saying(spans, detail):
    """A pinned call, for one."""
    detail("compact")
    run(a_call(made=decision(reason="pinned")))

    assert "pinned" == spans["execute"].attributes["dispatch.reason"]


def test_compact_leaves_two_spans_of_a_call_through_a_broker(spans, detail):
    """One at each end, the producer's with the broker's attributes."""
    detail("compact")
    headers = send(a_call(made=QUEUE))
    receive(headers)

    assert ["dispatch shop.resize", "process shop.charge"] == spans.names
    assert SpanKind.PRODUCER == spans["dispatch"].kind
    assert "default" == spans["dispatch"].attributes["messaging.destination.name"]
    assert "queue" == spans["dispatch"].attributes["dispatch.destination"]
    assert spans["dispatch"].context.span_id == spans["process"].parent.span_id


def test_compact_keeps_the_attempts_of_a_call_in_one_trace(spans, detail):
    """The first is the root of the others where nobody else is."""
    detail("compact")
    call = a_call()
    call.spec = _with_retry(call.spec)
    run(call, outcome=Failure(ValueError("no")))
    call.again(0)
    run(call)

    first, second = spans.finished
    assert first.context.span_id == second.parent.span_id
    assert (None, 2) == (first.attributes.get("dispatch.attempt"), second.attributes["dispatch.attempt"])


def test_debug_leaves_a_span_for_each_step_of_the_hand_over(spans, detail):
    """Below `dispatch`, one after the other, without gaps; arguments that travel by reference are not encoded."""
    detail("debug")
    run(a_call(**moments()))

    assert ["decide", "enqueue", "dispatch shop.resize", "execute shop.resize"] == spans.names
    assert spans["dispatch"].start_time == spans["decide"].start_time
    assert spans["decide"].end_time == spans["enqueue"].start_time
    assert spans["dispatch"].end_time == spans["enqueue"].end_time
    assert {spans["dispatch"].context.span_id} == {spans[each].parent.span_id for each in ("decide", "enqueue")}


def test_debug_shows_the_steps_of_a_publish(spans, detail):
    """There the arguments are encoded."""
    detail("debug")
    now = ticks()
    send(a_call(made=QUEUE, entered=now - 9_000, decided=now - 7_500, serialized=now - 4_000, sent=0, taken=0))

    below = [span.name for span in spans.finished if span.parent is not None]
    assert ["publish default", "decide", "serialize", "enqueue"] == below
    assert [3_500] == [span.end_time - span.start_time for span in spans.finished if span.name == "serialize"]


def test_a_step_that_came_out_of_order_takes_no_time(spans, detail):
    """A candidate that failed before the last decision leaves moments out of order."""
    detail("debug")
    now = ticks()
    run(a_call(entered=now - 9_000, decided=now - 5_000, serialized=now - 7_000, sent=now - 4_000))

    assert 0 == spans["serialize"].end_time - spans["serialize"].start_time


@pytest.mark.parametrize("word", ["compact", "full", "debug"])
def test_the_body_has_a_valid_current_span_at_every_detail(spans, detail, word):
    """Sampled or not."""
    detail(word)
    seen = []
    run(a_call(), lambda: seen.append(get_current_span().get_span_context()))
    assert spans["execute"].context == seen[0]


@pytest.mark.parametrize("word", ["compact", "full", "debug"])
@pytest.mark.parametrize(
    "sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.0)], ids=["never", "parent", "ratio"]
)
def test_an_unsampled_call_leaves_nothing_at_any_detail(detail, word, sampler):
    """And its body has a valid current span all the same."""
    spans = Spans(sampler=sampler)
    with provider_in_place(spans.provider):
        detail(word)
        seen = []
        run(a_call(), lambda: seen.append(get_current_span().get_span_context()))
    assert [] == spans.names
    assert seen[0].is_valid
    assert not seen[0].trace_flags.sampled
    spans.provider.shutdown()


def test_decisions_that_differ_are_told_apart(spans):
    """What many calls have in common is kept; what a moment decided is not."""
    late = {"passed_over": (PassedOver("queue", "full", "9 calls are waiting"),)}
    plain = a_call()
    for call in (plain, a_call(made=plain.decision), a_call(made=decision(**late))):
        run(call)
    told = [span.attributes.get("dispatch.passed_over") for span in spans.finished if span.name.startswith("dispatch")]
    assert [None, None, ("queue:full",)] == told


def test_what_one_moment_decided_is_not_kept_for_others(spans):
    """Each such call has a decision of its own, and there may be millions."""
    before = len(_known)
    run(a_call(made=decision(passed_over=(PassedOver("queue", "full"),))))
    run(a_call(made=decision(predicted_start_ns=7)))
    assert before == len(_known)


@pytest.mark.parametrize("word", ["compact", "full"])
@pytest.mark.parametrize("whose", ["light", "read in the body", "the SDK's"])
def test_how_long_a_call_took_to_start_is_told_by_every_kind_of_span(detail, word, whose):
    """It is known only when the span has begun, and some of them have said all by then."""
    spans = Spans()
    if whose == "the SDK's":
        spans.provider.add_span_processor(SpanProcessor())
    with provider_in_place(spans.provider):
        detail(word)
        call = a_call()
        run(call, lambda: get_current_span().attributes if whose == "read in the body" else None)
    assert (call.started - call.taken) / 1e3 == spans["execute"].attributes["dispatch.start_us"]
    spans.provider.shutdown()


def _with_retry(spec):
    names = [name for name in spec.__struct_fields__ if name != "limited"]
    return type(spec)(**{**{name: getattr(spec, name) for name in names}, "retry": Retry(attempts=2)})
