"""A local call: the caller takes time stamps, the worker makes the spans."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch._outcome import Failure
from dispatch.errors import CallCancelled, PassedOver
from dispatch.telemetry import messages
from telemetry.handmade import DONE, Spans, a_call, decision, provider_in_place, run


def test_a_call_leaves_a_dispatch_span_and_below_it_an_execute_span(spans):
    """Both are internal: nothing leaves the process, and no service map may draw an edge."""
    run(a_call())

    assert ["dispatch shop.resize", "execute shop.resize"] == spans.names
    assert spans["execute"].parent.span_id == spans["dispatch"].context.span_id
    assert {SpanKind.INTERNAL} == {span.kind for span in spans.finished}


def test_the_caller_s_span_is_the_parent_although_the_worker_makes_the_spans(spans):
    """The caller's context travels with the call; one trace id from the caller to the body."""
    with spans.tracer().start_as_current_span("request") as request:
        call = a_call()

    run(call)

    assert spans["dispatch"].parent.span_id == request.get_span_context().span_id
    assert {request.get_span_context().trace_id} == {span.context.trace_id for span in spans.finished}


def test_the_body_runs_inside_the_execute_span(spans):
    """What the body starts becomes a child of `execute`."""

    def body():
        with spans.tracer().start_as_current_span("query"):
            pass

    run(a_call(), body)

    assert spans["query"].parent.span_id == spans["execute"].context.span_id


def test_the_dispatch_span_says_what_was_chosen_and_what_it_cost(spans):
    """Exactly the names of the specification, and never an argument."""
    now = ticks()
    made = decision(
        latency_budget_ns=2_000_000_000, passed_over=(PassedOver("queue", "not_durable"), PassedOver("cpu", "full"))
    )
    call = a_call(
        made=made, payload=4096, entered=now - 9_000, decided=now - 7_500, serialized=now - 5_500, sent=now - 5_000
    )

    run(call)

    assert {
        "dispatch.task.name": "shop.resize",
        "dispatch.call.id": call.id,
        "dispatch.destination": "fast",
        "dispatch.transport": "local",
        "dispatch.rule": "otherwise",
        "dispatch.reason": "otherwise",
        "dispatch.passed_over": ("queue:not_durable", "cpu:full"),
        "dispatch.policy.version": "0123456789ab",
        "dispatch.durability": "ephemeral",
        "dispatch.latency_budget_us": 2_000_000.0,
        "dispatch.payload.bytes": 4096,
        "dispatch.overhead_us": 4.0,
        "dispatch.decide_us": 1.5,
        "dispatch.serialize_us": 2.0,
        "dispatch.enqueue_us": 0.5,
    } == dict(spans["dispatch"].attributes)


def test_the_execute_span_says_how_long_the_call_waited(spans):
    """From the hand-over to the worker, and from the worker to the body's first line."""
    call = a_call()

    run(call)

    assert {
        "dispatch.task.name": "shop.resize",
        "dispatch.call.id": call.id,
        "dispatch.destination": "fast",
        "dispatch.transport": "local",
        "dispatch.rule": "otherwise",
        "dispatch.reason": "otherwise",
        "dispatch.wait_us": (call.taken - call.sent) / 1e3,
        "dispatch.start_us": (call.started - call.taken) / 1e3,
    } == dict(spans["execute"].attributes)


def test_a_call_that_was_held_back_waits_from_when_it_was_due(spans):
    """Not from when it was sent: the delay was asked for."""
    now = ticks()
    run(a_call(sent=now - 60_000_000, due=now - 3_000, taken=now - 1_000))

    assert 2.0 == spans["execute"].attributes["dispatch.wait_us"]


def test_what_nobody_said_is_left_out(spans):
    """No budget, no payload, nothing passed over: no attribute."""
    run(a_call())

    absent = {"dispatch.latency_budget_us", "dispatch.payload.bytes", "dispatch.passed_over", "dispatch.attempt"}
    assert not absent & set(spans["dispatch"].attributes)


def test_a_further_attempt_says_which(spans):
    """The first attempt does not: it is what everybody expects."""
    run(a_call(attempt=3))

    assert 3 == spans["execute"].attributes["dispatch.attempt"]


def test_times_are_those_of_the_stamps_and_never_go_back(spans):
    """The system's clock is read once; everything else is an offset from it."""
    call = a_call()

    run(call)

    outer, inner = spans["dispatch"], spans["execute"]
    assert call.sent - call.entered == outer.end_time - outer.start_time
    assert outer.start_time < outer.end_time <= inner.start_time <= inner.end_time
    assert call.ended - call.sent == inner.end_time - outer.end_time


def test_a_worker_that_is_quicker_than_its_caller_counts_no_wait(spans):
    """The caller stamps `sent` after the hand-over; until then the moment the worker took it serves."""
    now = ticks()
    call = a_call(entered=now - 5_000, decided=now - 4_000, sent=0, taken=now - 1_000)

    run(call)

    assert 0.0 == spans["execute"].attributes["dispatch.wait_us"]
    assert 3.0 == spans["dispatch"].attributes["dispatch.enqueue_us"]


def test_a_hand_over_stamped_after_the_worker_began_is_no_negative_wait(spans):
    """Both threads tell the truth, and the truth overlaps."""
    now = ticks()

    run(a_call(sent=now - 1_000, taken=now - 2_000))

    assert 0.0 == spans["execute"].attributes["dispatch.wait_us"]


def test_a_body_that_raises_turns_its_own_span_red_and_not_the_dispatch(spans):
    """Dispatching went well; the exception is recorded once, with its message there and nowhere else."""
    run(a_call(), outcome=Failure(ValueError("no such image")))

    inner = spans["execute"]
    [event] = inner.events
    assert StatusCode.UNSET == spans["dispatch"].status.status_code
    assert (StatusCode.ERROR, None) == (inner.status.status_code, inner.status.description)
    assert "ValueError" == inner.attributes["error.type"]
    assert ("exception", "no such image") == (event.name, event.attributes["exception.message"])
    assert inner.end_time == event.timestamp


@pytest.mark.parametrize("error", [CallCancelled("not wanted"), asyncio.CancelledError()])
def test_a_cancelled_body_says_cancelled_whoever_s_word_it_is(spans, error):
    """asyncio and concurrent.futures have a class each; a query needs one word."""
    run(a_call(), outcome=Failure(error))

    assert "cancelled" == spans["execute"].attributes["error.type"]


def test_an_exception_that_cannot_say_its_message_still_ends_the_span(spans, failures):
    """`__str__` of the user's exception is user code and may raise."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    run(a_call(), outcome=Failure(Mute()))

    assert StatusCode.ERROR == spans["execute"].status.status_code
    assert 1 == failures()


def test_ending_twice_is_ending_once(spans):
    """The second word about one execution is not heard."""
    execution = run(a_call())

    execution.end(Failure(ValueError("late")))

    assert 2 == len(spans.finished)
    assert StatusCode.UNSET == spans["execute"].status.status_code


def test_the_caller_s_current_span_is_the_same_before_and_after(spans):
    """Attached inside the call's own context, and taken off again."""
    with spans.tracer().start_as_current_span("request") as request:
        before = context.get_current()
        call = a_call()
        run(call)

        assert trace.get_current_span() is request
        assert before == context.get_current()
    assert call.context.run(trace.get_current_span).get_span_context().span_id != 0


def test_a_dispatch_span_that_is_already_real_gets_the_execute_span_as_its_child(spans):
    """A publish that failed and fell back: the worker builds no second `dispatch`."""
    call = a_call()
    messages.publishing(call, queue="default", system="redis", size=18).end(PassedOver("queue", "refused"))

    run(call)
    telemetry.dispatched(call)

    assert ["dispatch", "execute", "publish"] == sorted(name.split()[0] for name in spans.names)
    assert spans["execute"].parent.span_id == spans["dispatch"].context.span_id


class TestUnsampled:
    """Nothing needless is built, and the body still has a valid context."""

    @contextmanager
    def sampling(self, sampler):
        spans = Spans(sampler=sampler)
        with provider_in_place(spans.provider):
            yield spans

    def test_below_an_unsampled_parent_nothing_is_made(self):
        """The caller's own span stays the current one in the body."""
        seen = []
        with self.sampling(ParentBased(ALWAYS_OFF)) as spans, spans.tracer().start_as_current_span("r") as request:
            execution = run(a_call(), lambda: seen.append(trace.get_current_span()))

        assert execution is None
        assert [request] == seen
        assert [] == spans.finished

    def test_an_unsampled_root_still_gives_the_body_a_valid_context(self):
        """What the body starts is unsampled too, and belongs to one trace."""
        seen = []
        with self.sampling(TraceIdRatioBased(0)) as spans:
            run(a_call(), lambda: seen.append(trace.get_current_span().get_span_context()))

        [inside] = seen
        assert inside.is_valid
        assert not inside.trace_flags.sampled
        assert [] == spans.finished

    def test_a_sampler_that_may_say_yes_below_an_unsampled_parent_is_asked(self):
        """Only the SDK's parent-based sampler with its usual delegates is known to say no."""
        stubborn = ParentBased(ALWAYS_OFF, local_parent_not_sampled=TraceIdRatioBased(1))
        with self.sampling(stubborn) as spans:
            with spans.tracer().start_as_current_span("request"):
                call = a_call()
            run(call)

        assert ["dispatch shop.resize", "execute shop.resize"] == spans.names


class TestTrouble:
    """Nothing that goes wrong in telemetry reaches a call."""

    def test_a_processor_that_raises_costs_a_count_and_not_the_call(self, failures):
        """Neither at the start of a span nor at its end."""

        class Broken(SpanProcessor):
            def on_start(self, span, parent_context=None):
                raise OSError("broken at the start")

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Broken())
        ran = []
        with provider_in_place(provider):
            run(a_call(), lambda: ran.append(True))

        assert [True] == ran
        assert failures() >= 1

    def test_a_processor_that_raises_at_the_end_leaves_no_span_current(self, failures):
        """The context is put back before anything else can fail."""

        class Broken(SpanProcessor):
            def on_end(self, span):
                raise OSError("broken at the end")

        provider = TracerProvider(shutdown_on_exit=False)
        with provider_in_place(provider):
            call = a_call()
            execution = call.context.run(telemetry.executing, call)
            provider.add_span_processor(Broken())
            call.context.run(execution.end, DONE)

            assert not call.context.run(trace.get_current_span).get_span_context().is_valid
        assert 1 == failures()

    def test_a_processor_that_fails_for_one_span_does_not_cost_the_other(self, failures):
        """The one of the hand-over ends before the body's is made."""
        seen = []

        class Picky(SpanProcessor):
            def on_end(self, span):
                if span.name.startswith("dispatch"):
                    raise OSError("not this one")
                seen.append(span.name)

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Picky())
        with provider_in_place(provider):
            run(a_call())

        assert ["execute shop.resize"] == seen
        assert 1 == failures()

    def test_a_stranger_s_provider_is_used_through_the_public_interface_alone(self, failures):
        """It has no sampler to look at, no limits, no processors."""
        made = []

        class Stranger(trace.TracerProvider):
            def get_tracer(self, *args, **kwargs):
                return StrangersTracer()

        class StrangersTracer(trace.Tracer):
            def start_span(self, name, context=None, kind=SpanKind.INTERNAL, attributes=None, *args, **kwargs):
                made.append(name)
                return trace.NonRecordingSpan(trace.SpanContext(7, len(made), is_remote=False))

            start_as_current_span = None

        with provider_in_place(Stranger()):
            run(a_call())

        assert ["dispatch shop.resize"] == made
        assert 0 == failures()

    def test_a_call_without_a_decision_or_a_sane_stamp_is_still_a_span(self, spans, failures):
        """Missing moments took no time; out of order ones are not negative."""
        now = ticks()

        run(a_call(entered=now - 1_000, decided=0, serialized=now - 5_000, sent=now - 2_000, taken=0))

        assert 0.0 == spans["dispatch"].attributes["dispatch.overhead_us"]
        assert 0 == failures()


def test_the_application_s_limits_hold():
    """Spans go through `start_span`, so what the application bounds is bounded here too."""
    spans = Spans(span_limits=SpanLimits(max_span_attributes=3))
    with provider_in_place(spans.provider):
        run(a_call())

    assert 3 == len(spans["dispatch"].attributes)
    assert spans["dispatch"].dropped_attributes > 0


def test_spans_say_which_library_made_them(spans):
    """Name, version and the conventions' schema."""
    run(a_call())

    scope = spans["dispatch"].instrumentation_scope
    assert ("dispatch", "https://opentelemetry.io/schemas/1.44.0") == (scope.name, scope.schema_url)
    assert scope.version
