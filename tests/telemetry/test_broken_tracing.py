"""Whatever is broken about the application's tracing costs a count, and neither a call nor its result."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import redis
from opentelemetry import propagate, trace
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

import dispatch
from dispatch import telemetry
from dispatch.policy import parse
from dispatch.telemetry import messages
from telemetry.handmade import QUEUE, Spans, a_call, provider_in_place, receive, send

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 1}
  queue: {transport: celery, queue: kitchen, publish_deadline: 5s, reached_by: pins}
defaults: {durability: ephemeral}
otherwise: {route_to: fast}
"""


@dispatch.task
def double(number):
    return 2 * number


class NoExport(SpanExporter):
    def export(self, spans):
        raise OSError("the collector is gone")


class NoStart(SpanProcessor):
    def on_start(self, span, parent_context=None):
        raise RuntimeError("no start")


class NoEnd(SpanProcessor):
    def on_end(self, span):
        raise RuntimeError("no end")


class NoLot(Sampler):
    def should_sample(self, *_, **__):
        raise RuntimeError("no lot")

    def get_description(self):
        return "broken"


class NoInk(TextMapPropagator):
    fields = frozenset()

    def inject(self, *_, **__):
        raise RuntimeError("no ink")

    def extract(self, *_, **__):
        raise RuntimeError("no eyes")


class Bare(trace.TracerProvider):
    """Somebody else's: its tracers have no `sampler`, and its spans do nothing."""

    def get_tracer(self, *_, **__):
        return Plain()


class Plain(trace.Tracer):
    def start_span(self, *_, **__):
        return trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1)))

    def start_as_current_span(self, *_, **__):
        raise NotImplementedError


def provider(broken):
    made = TracerProvider(sampler=NoLot() if broken == "sampler" else None, shutdown_on_exit=False)
    if broken == "exporter":
        made.add_span_processor(SimpleSpanProcessor(NoExport()))
    if broken == "on_start":
        made.add_span_processor(NoStart())
    if broken == "on_end":
        made.add_span_processor(NoEnd())
    return Bare() if broken == "bare" else made


@contextmanager
def in_place(broken, monkeypatch):
    with provider_in_place(provider(broken)), monkeypatch.context() as patch:
        if broken == "propagator":
            patch.setattr(propagate, "get_global_textmap", NoInk)
        yield


# The SDK itself catches and logs what exporters raise; a bare provider is no failure.
COUNTED = {"exporter": False, "bare": False, "on_start": True, "on_end": True, "sampler": True, "propagator": True}
broken_by = pytest.mark.parametrize("broken", sorted(COUNTED))


@broken_by
def test_calls_are_sent_and_run(broken, monkeypatch, redis_url, leaving_app, failures):
    """One here, one through a broker, many at once; the message is there, and a worker runs it."""
    one = dispatch.Dispatcher(policy=parse(POLICY), celery=leaving_app(redis_url))
    ran = []
    with in_place(broken, monkeypatch):
        task = double.using(one)
        assert 4 == task.delay(2).result(10)
        assert [0, 2, 4] == task.map(range(3)).results(10)
        task.options(route_to="queue").delay(2)
        with pytest.raises(TypeError):
            task.delay()
        headers = send(a_call(made=QUEUE))
        receive(headers, body=lambda: ran.append(1))
        messages.dead_lettered("shop.charge", headers, call_id="1", reason="failed")
        forwarded = messages.forwarding(
            "shop.charge", headers, call_id="1", destination="q", queue="q", system="redis", size=1
        )
        forwarded.end(None)
        messages.keeping(a_call(made=QUEUE))
        one.shutdown("5s")
    with redis.Redis.from_url(redis_url) as broker:
        assert 1 == broker.llen("kitchen")

    assert [1] == ran
    assert COUNTED[broken] == (failures() > 0)


@broken_by
def test_an_error_is_the_caller_s_own(broken, monkeypatch, closed_port, leaving_app):
    """And not one of telemetry's."""
    one = dispatch.Dispatcher(policy=parse(POLICY), celery=leaving_app(f"redis://127.0.0.1:{closed_port}/0"))
    with in_place(broken, monkeypatch), pytest.raises(dispatch.NotAccepted):
        double.using(one).options(route_to="queue").delay(2)
    one.shutdown("5s")


def test_a_propagator_that_cannot_read_cuts_the_trace_and_the_run_has_its_span(spans, monkeypatch, failures):
    """Its own root; the body is never without one."""
    headers, seen = send(a_call(made=QUEUE)), []
    monkeypatch.setattr(propagate, "get_global_textmap", NoInk)
    receive(headers, body=lambda: seen.append(trace.get_current_span().get_span_context().span_id))

    assert [spans["process"].context.span_id] == seen
    assert spans["process"].parent is None
    assert failures() >= 1


def test_nothing_of_it_stays_current(monkeypatch):
    """A span that could be begun, and could not be ended."""
    with in_place("on_end", monkeypatch):
        receive(send(a_call(made=QUEUE)))
        with telemetry.MapSpan("shop.resize", lambda: (0, {})):
            pass

        assert not trace.get_current_span().get_span_context().is_valid


def test_a_tally_that_raises_still_ends_the_span(failures):
    """As any other attribute that cannot be had."""
    spans = Spans()
    with provider_in_place(spans.provider), telemetry.MapSpan("shop.resize", lambda: 1 / 0):
        pass

    assert ["map shop.resize"] == spans.names
    assert 1 == failures()
