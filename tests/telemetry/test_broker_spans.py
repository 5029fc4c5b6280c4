"""A call through Celery: `dispatch` and `publish` on the caller's side, `process` in the worker, one tree."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_setter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dispatch import telemetry
from dispatch._clock import ticks, wall
from dispatch._outcome import Failure
from dispatch.errors import NotAccepted, NotConfigured, OutcomeUnknown, PassedOver
from dispatch.telemetry import messages
from telemetry.handmade import QUEUE, Spans, a_call, decision, provider_in_place, receive, send


def test_one_tree_leads_from_the_caller_s_span_to_the_body_in_the_worker(spans):
    """request, dispatch, publish, process, query: each the parent of the next, one trace id."""

    def body():
        with spans.tracer().start_as_current_span("query"):
            pass

    with spans.tracer().start_as_current_span("request"):
        headers = send(a_call(made=QUEUE))
    receive(headers, body=body)

    line = [spans[name] for name in ("request", "dispatch", "publish", "process", "query")]
    assert [None] + [span.context.span_id for span in line[:-1]] == [
        span.parent and span.parent.span_id for span in line
    ]
    assert 1 == len({span.context.trace_id for span in line})


def test_the_publish_span_speaks_the_messaging_conventions(spans):
    """A producer, with the names that backends know; the message is the call."""
    call = a_call(made=QUEUE)

    send(call)

    span = spans["publish"]
    assert ("publish default", SpanKind.PRODUCER) == (span.name, span.kind)
    assert {
        "dispatch.task.name": "shop.resize",
        "dispatch.call.id": call.id,
        "messaging.system": "redis",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": call.id,
        "messaging.message.body.size": 18,
    } == dict(span.attributes)


def test_the_publish_span_says_what_compression_has_left(spans):
    """Beside the size before; a message that was not compressed says nothing of it."""
    send(a_call(made=QUEUE), size=4000, compressed=900)

    span = spans["publish"]
    assert (4000, 900) == (
        span.attributes["messaging.message.body.size"],
        span.attributes["dispatch.payload.compressed_bytes"],
    )


@pytest.mark.parametrize(("system", "key"), [("rabbitmq", "orders"), ("redis", None)])
def test_both_sides_say_which_broker_it_was(spans, system, key):
    """By host and port; the routing key is RabbitMQ's, and Redis has none."""
    where = {"system": system, "server": messages.Server("broker.local", 5672), "routing_key": "orders"}
    receive(send(a_call(made=QUEUE), **where), **where)

    for name in ("publish", "process"):
        said = spans[name].attributes
        assert ("broker.local", 5672) == (said["server.address"], said["server.port"])
        assert key == said.get("messaging.rabbitmq.destination.routing_key")


def test_a_broker_without_a_port_has_none(spans):
    """A Unix socket."""
    send(a_call(made=QUEUE), server=messages.Server("/run/redis.sock"))

    assert "/run/redis.sock" == spans["publish"].attributes["server.address"]
    assert "server.port" not in spans["publish"].attributes


def test_samplers_see_the_message_when_the_span_is_made(spans):
    """What is laid on afterwards comes too late for them."""
    seen = {}

    class Curious(Sampler):
        def should_sample(self, *given):
            _, _, name, _, attributes, _ = given
            seen[name.split()[0]] = set(attributes)
            return ALWAYS_ON.should_sample(*given)

        def get_description(self):
            return "curious"

    curious = Spans(sampler=Curious())
    with provider_in_place(curious.provider):
        receive(send(a_call(made=QUEUE), server=messages.Server("h", 1)), server=messages.Server("h", 1))

    for name in ("publish", "process"):
        assert {
            "messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
            "messaging.message.id", "server.address", "server.port",
        } <= seen[name]  # fmt: skip


def test_the_dispatch_span_has_the_final_decision_and_the_price_of_the_publish(spans):
    """From the entry until the broker had it."""
    now = ticks()
    call = a_call(made=QUEUE, entered=now - 9_000, decided=now - 7_000, serialized=now - 4_000, sent=0, taken=0)

    send(call)

    span = spans["dispatch"]
    assert {
        "dispatch.destination": "queue",
        "dispatch.transport": "celery",
        "dispatch.rule": "must-survive",
        "dispatch.reason": "rule",
        "dispatch.durability": "durable",
        "dispatch.decide_us": 2.0,
        "dispatch.serialize_us": 3.0,
        "dispatch.enqueue_us": (call.sent - now + 4_000) / 1e3,
        "dispatch.overhead_us": (call.sent - call.entered) / 1e3,
    }.items() <= dict(span.attributes).items()
    assert call.sent - call.entered == span.end_time - span.start_time
    assert span.start_time <= spans["publish"].start_time <= spans["publish"].end_time <= span.end_time


def test_the_process_span_carries_the_decision_and_the_wait(spans):
    """The worker's file alone is enough to know who sent the call here, and why."""
    call = a_call(made=QUEUE)
    headers = send(call)

    receive(headers, call.id)

    span = spans["process"]
    said = dict(span.attributes)
    wait, start = said.pop("dispatch.wait_us"), said.pop("dispatch.start_us")
    assert wait >= 0
    assert start >= 0
    assert ("process shop.charge", SpanKind.CONSUMER) == (span.name, span.kind)
    assert {
        "dispatch.task.name": "shop.charge",
        "dispatch.call.id": call.id,
        "dispatch.destination": "queue",
        "dispatch.transport": "celery",
        "dispatch.rule": "must-survive",
        "dispatch.reason": "rule",
        "dispatch.policy.version": "0123456789ab",
        "dispatch.durability": "durable",
        "dispatch.decide_us": 1.5,
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": call.id,
    } == said


def test_the_process_span_is_also_linked_to_the_publish_span(spans):
    """The conventions' own way to correlate; the parent is ours."""
    receive(send(a_call(made=QUEUE)))

    [link] = spans["process"].links
    assert spans["publish"].context.span_id == link.context.span_id


def test_the_wait_is_counted_from_the_moment_the_message_was_written(spans):
    """The header tells; both clocks are the same machine's here."""
    written = wall() - 5_000_000_000

    receive({"dispatch-sent-ns": str(written)})

    assert 5_000_000 <= spans["process"].attributes["dispatch.wait_us"] < 65_000_000


def test_a_sender_whose_clock_is_ahead_means_no_wait_and_says_so(spans):
    """Not a negative time."""
    receive({"dispatch-sent-ns": str(wall() + 60_000_000_000)})

    said = spans["process"].attributes
    assert (0.0, True) == (said["dispatch.wait_us"], said["dispatch.clock.skewed"])


@pytest.mark.parametrize("taken", [-5, 1 << 62, "soon", None])
def test_a_moment_that_cannot_be_true_counts_as_now(spans, taken):
    """It may have come in a message, from another machine's clock."""
    receive({}, taken=taken)

    assert 0.0 <= spans["process"].attributes["dispatch.start_us"] < 60_000_000


def test_a_second_delivery_says_which_attempt_it_is(spans):
    """The first does not."""
    receive({}, attempt=2)

    assert 2 == spans["process"].attributes["dispatch.attempt"]


def test_a_body_that_raises_in_the_worker_turns_its_span_red(spans):
    """As on the local path."""
    receive({}, outcome=Failure(ValueError("no such card")))

    span = spans["process"]
    assert (StatusCode.ERROR, "ValueError") == (span.status.status_code, span.attributes["error.type"])
    assert ["exception"] == [event.name for event in span.events]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "rubbish", "dispatch-route": "rubbish", "dispatch-sent-ns": "rubbish"},
        {"traceparent": 17, "dispatch-route": b"\xff", "dispatch-sent-ns": -1, "baggage": ["x"]},
        {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "tracestate": "=" * 10_000},
        {"dispatch-route": ";;;=;destination=%00%1b[31m;reason=because;decide_us=nan", "dispatch-sent-ns": "٣"},
        {"dispatch-route": "destination=" + "x" * 100_000, "dispatch-sent-ns": "9" * 5_000},
        {7: "seven", None: None},
    ],
)
def test_headers_that_are_missing_foreign_or_hostile_are_ignored(spans, headers, failures):
    """The span is there, with what is known without them."""
    receive(headers)

    said = dict(spans["process"].attributes)
    assert spans["process"].parent is None
    assert not {"dispatch.destination", "dispatch.reason", "dispatch.decide_us", "dispatch.wait_us"} & set(said)
    assert 0 == failures()


def test_a_span_that_somebody_else_opened_for_the_message_gets_our_attributes(spans):
    """OpenTelemetry's Celery instrumentation was first: one span, not two."""
    headers = send(a_call(made=QUEUE))

    with spans.tracer().start_as_current_span("run/shop.charge"):
        execution = messages.processing(
            "shop.charge",
            headers,
            call_id="1",
            queue="default",
            system="redis",
            durability="durable",
            attempt=1,
            taken=ticks(),
        )

    said = spans["run/shop.charge"].attributes
    assert execution is None
    assert ("queue", "must-survive") == (said["dispatch.destination"], said["dispatch.rule"])
    assert "messaging.system" not in said
    assert not [name for name in spans.names if name.startswith("process")]


def test_publishing_leaves_the_caller_s_context_alone(spans):
    """Neither span is ever current there, whether the publish goes well or not."""
    with spans.tracer().start_as_current_span("request") as request:
        before = context.get_current()
        for passed in (None, PassedOver("queue", "refused")):
            call = a_call(made=QUEUE)
            publication = messages.publishing(call, queue="default", system="redis", size=18)
            assert trace.get_current_span() is request
            publication.end(passed)
            telemetry.dispatched(call)

        assert before == context.get_current()


def test_a_publish_that_failed_is_red_and_the_dispatch_that_went_elsewhere_is_not(spans):
    """The failure was handled; the detail is ours and stands in the status."""
    call = a_call(made=QUEUE)
    messages.publishing(call, queue="default", system="redis", size=18).end(
        PassedOver("queue", "refused", "the broker is read-only")
    )
    call.decision = decision(passed_over=(PassedOver("queue", "refused"),))
    telemetry.dispatched(call)

    failed, whole = spans["publish"], spans["dispatch"]
    assert (StatusCode.ERROR, "the broker is read-only") == (failed.status.status_code, failed.status.description)
    assert "refused" == failed.attributes["error.type"]
    assert StatusCode.UNSET == whole.status.status_code
    assert ("fast", ("queue:refused",)) == (
        whole.attributes["dispatch.destination"],
        whole.attributes["dispatch.passed_over"],
    )


def test_a_call_that_nobody_took_leaves_a_red_dispatch_span(spans):
    """Even where none was open: a refusal is the first thing one looks for. It names no destination."""
    error = NotAccepted("shop.resize", (PassedOver("queue", "refused"), PassedOver("fast", "full")))
    call = a_call(sent=0, taken=0)
    with spans.tracer().start_as_current_span("request") as request:
        telemetry.dispatched(call, error)

    span = spans["dispatch"]
    assert request.get_span_context().span_id == span.parent.span_id
    assert StatusCode.ERROR == span.status.status_code
    assert "NotAccepted" == span.attributes["error.type"]
    assert ("queue:refused", "fast:full") == span.attributes["dispatch.passed_over"]
    assert "dispatch.destination" not in span.attributes
    assert not span.events


def test_a_call_refused_before_there_was_a_decision_leaves_its_span_too(spans, failures):
    """Nothing was fit, so nothing was decided."""
    call = a_call()
    call.decision = None

    telemetry.dispatched(call, NotConfigured("set DISPATCH_BROKER_URL"))

    assert "NotConfigured" == spans["dispatch"].attributes["error.type"]
    assert 0 == failures()


def test_a_call_whose_outcome_is_unknown_names_the_destination_that_may_have_it(spans):
    """Red, since the caller got an error, but the call may run."""
    call = a_call(made=QUEUE)
    messages.publishing(call, queue="default", system="redis", size=18).end(PassedOver("queue", "unknown"))

    telemetry.dispatched(call, OutcomeUnknown("no answer", handle=None))

    said = spans["dispatch"].attributes
    assert ("OutcomeUnknown", "queue") == (said["error.type"], said["dispatch.destination"])


def test_everything_may_be_ended_twice(spans):
    """And from any thread: the publisher's thread ends what the caller began."""
    call = a_call(made=QUEUE)
    publication = messages.publishing(call, queue="default", system="redis", size=18)
    with ThreadPoolExecutor(1) as other:
        other.submit(publication.end, None).result()
    publication.end(PassedOver("queue", "refused"))
    telemetry.dispatched(call)
    telemetry.dispatched(call, ValueError("late"))

    assert ["publish default", "dispatch shop.resize"] == spans.names
    assert {StatusCode.UNSET} == {span.status.status_code for span in spans.finished}


def test_baggage_and_whatever_else_the_application_propagates_travels_too(spans):
    """Injection is the global propagator's business."""
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        headers = send(a_call(made=QUEUE))
    finally:
        context.detach(token)
    seen = []

    receive(headers, body=lambda: seen.append(baggage.get_baggage("tenant")))

    assert ["acme"] == seen


def test_a_propagator_that_raises_does_not_leave_the_span_open(spans, failures, monkeypatch):
    """The trace is cut there, and the call goes on."""

    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(propagate, "inject", broken)
    headers = send(a_call(made=QUEUE))

    assert {"dispatch-sent-ns", "dispatch-route"} == set(headers)
    assert ["publish default", "dispatch shop.resize"] == spans.names
    assert 1 == failures()


def test_our_headers_are_few_short_and_ascii(spans):
    """They must survive any broker, and any name that a policy may use."""
    call = a_call(made=decision(destination="Schlänge; =", rule="größer\n", transport="celery"))
    headers = send(call)

    assert {"traceparent", "dispatch-sent-ns", "dispatch-route"} == set(headers)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    receive(headers)
    assert "Schlänge; =" == spans["process"].attributes["dispatch.destination"]
    assert "dispatch.rule" not in spans["process"].attributes


class TestWithoutRecording:
    """The headers that a worker can use go out all the same."""

    def test_without_an_sdk_the_decision_still_travels(self, nobody_listens):
        """The worker may record although the caller does not."""
        call = a_call(made=QUEUE)
        publication = messages.publishing(call, queue="default", system="redis", size=18)
        publication.end(None)

        assert {"dispatch-sent-ns", "dispatch-route"} == set(publication.headers)
        assert call.span is None

    def test_without_an_sdk_a_context_from_outside_passes_through(self, nobody_listens):
        """As the API promises: a process that records nothing still does not cut the trace."""
        outside = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        token = context.attach(propagate.extract({"traceparent": outside}))
        try:
            publication = messages.publishing(a_call(), queue="default", system="redis", size=18)
        finally:
            context.detach(token)

        assert outside == publication.headers["traceparent"]

    def test_without_an_sdk_a_propagator_that_knows_more_than_the_context_is_asked(self, nobody_listens, monkeypatch):
        """One of the application's own may have its ids from elsewhere."""

        class Badge(TraceContextTextMapPropagator):
            def inject(self, carrier, context=None, setter=default_setter):
                setter.set(carrier, "badge", "7")

        both = CompositePropagator([propagate.get_global_textmap(), Badge()])
        monkeypatch.setattr(propagate, "get_global_textmap", lambda: both)
        publication = messages.publishing(a_call(), queue="default", system="redis", size=18)

        assert "7" == publication.headers["badge"]

    def test_below_an_unsampled_parent_its_own_context_travels(self):
        """So the worker knows not to sample either; nothing is made here."""
        spans = Spans(sampler=ParentBased(ALWAYS_OFF))
        with provider_in_place(spans.provider), spans.tracer().start_as_current_span("request") as request:
            call = a_call()
            headers = send(call)
            seen = []
            receive(headers, body=lambda: seen.append(trace.get_current_span().get_span_context()))

        assert call.span is None
        assert not int(headers["traceparent"][-2:], 16) & 1
        [inside] = seen
        assert request.get_span_context().trace_id == inside.trace_id
        assert not inside.trace_flags.sampled
        assert [] == spans.finished

    def test_an_unsampled_root_sends_its_unsampled_context(self):
        """One decision for the whole trace."""
        spans = Spans(sampler=ParentBased(TraceIdRatioBased(0)))
        with provider_in_place(spans.provider):
            receive(send(a_call(made=QUEUE)))

        assert [] == spans.finished

    def test_a_refusal_below_an_unsampled_parent_makes_nothing(self):
        """Sampling is the application's word, also about errors."""
        spans = Spans(sampler=ParentBased(ALWAYS_OFF))
        with provider_in_place(spans.provider), spans.tracer().start_as_current_span("request"):
            call = a_call()
            telemetry.dispatched(call, ValueError("no"))

        assert call.span is None
        assert [] == spans.finished
