"""Calls that wait in a pool when it is shut down, and go elsewhere: their traces say from where, and to whom."""

from __future__ import annotations

import json
import threading

import pytest
import redis
from opentelemetry import baggage, context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode

import dispatch
from dispatch.policy import parse
from servers.patience import eventually
from telemetry.handmade import Spans, provider_in_place, receive

POLICY = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, on_shutdown: hand_over}}
  spare: {{transport: local, reached_by: pins, workers: 1}}
  queue: {{transport: celery, queue: kitchen, reached_by: pins, publish_deadline: 2s}}
defaults: {{durability: ephemeral}}
otherwise: {{route_to: fast, fallback: [{fallback}]}}
"""

started, release = threading.Event(), threading.Event()


@dispatch.task
def hold():
    started.set()
    assert release.wait(20)


@dispatch.task
def double(number):
    return 2 * number


@pytest.fixture
def handed_over(leaving_app):
    """Shuts a dispatcher down in which one call waits, `handed_over(spans, fallback, url)`; that call's handle."""

    def do(spans, fallback, url):
        started.clear()
        release.clear()
        one = dispatch.Dispatcher(policy=parse(POLICY.format(fallback=fallback)), celery=leaving_app(url))
        hold.using(one).delay()
        assert started.wait(10)
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        with spans.tracer().start_as_current_span("request"):
            handle = double.using(one).delay(4)
        context.detach(token)

        def end():
            with spans.tracer().start_as_current_span("deploy"):
                one.shutdown("10s")

        ending = threading.Thread(target=end)
        ending.start()
        eventually(lambda: handle.decision.destination != "fast" or handle.done())
        release.set()
        ending.join(20)
        return handle

    return do


def of(task, spans):
    """The spans of one task's call, by their first word."""
    return {span.name.split()[0]: span for span in spans.finished if span.attributes.get("dispatch.task.name") == task}


def test_a_call_that_goes_to_a_broker_is_in_its_caller_s_trace(spans, handed_over, redis_url):
    """Below the request that made it, and not below what shut the pool down; `dispatch` names both destinations."""
    handed_over(spans, "queue", redis_url)
    with redis.Redis.from_url(redis_url) as broker:
        [text] = broker.lrange("kitchen", 0, -1)
    headers = json.loads(text)["headers"]
    receive(headers)

    mine = of(double.name, spans)
    assert spans["request"].context.span_id == mine["dispatch"].parent.span_id
    assert mine["dispatch"].context.span_id == mine["publish"].parent.span_id
    assert mine["publish"].context.span_id == spans["process"].parent.span_id
    said = mine["dispatch"].attributes
    assert ("queue", "celery", ("fast:refused",)) == (
        said["dispatch.destination"], said["dispatch.transport"], said["dispatch.passed_over"],
    )  # fmt: skip
    assert ("it is shut down",) == said["dispatch.passed_over.details"]
    assert "tenant=acme" == headers["baggage"]
    assert "dispatch.decide_us" not in spans["process"].attributes


def test_what_the_caller_paid_is_what_it_paid_then(spans, handed_over, redis_url):
    """`dispatch` ends when `delay` returned, not at the shutdown; the publish comes later."""
    handed_over(spans, "queue", redis_url)

    mine = of(double.name, spans)
    span = mine["dispatch"]
    assert span.end_time <= spans["request"].end_time <= mine["publish"].start_time
    assert (span.end_time - span.start_time) / 1e3 == span.attributes["dispatch.overhead_us"]
    assert 0 == span.attributes["dispatch.serialize_us"]


def test_a_call_that_goes_to_another_pool_of_this_process_says_so_too(spans, handed_over, redis_url):
    """There the worker builds the span, as ever."""
    handle = handed_over(spans, "spare", redis_url)

    mine = of(double.name, spans)
    assert 8 == handle.result(10)
    assert ("spare", ("fast:refused",)) == (
        mine["dispatch"].attributes["dispatch.destination"], mine["dispatch"].attributes["dispatch.passed_over"],
    )  # fmt: skip
    assert spans["request"].context.span_id == mine["dispatch"].parent.span_id
    assert mine["dispatch"].context.span_id == mine["execute"].parent.span_id


def test_a_broker_that_does_not_take_it_is_told_before_who_does(spans, handed_over, closed_port):
    """A red publish below a `dispatch` that is not, and `execute` beside it."""
    handle = handed_over(spans, "queue, spare", f"redis://127.0.0.1:{closed_port}/0")

    mine = of(double.name, spans)
    assert 8 == handle.result(10)
    assert (StatusCode.ERROR, StatusCode.UNSET) == (
        mine["publish"].status.status_code, mine["dispatch"].status.status_code,
    )  # fmt: skip
    assert ("fast:refused", "queue:refused") == mine["dispatch"].attributes["dispatch.passed_over"]
    assert mine["dispatch"].context.span_id == mine["publish"].parent.span_id == mine["execute"].parent.span_id


def test_a_call_that_nobody_takes_is_red(spans, handed_over, closed_port):
    """It is dropped, and who was asked stands there."""
    handle = handed_over(spans, "queue", f"redis://127.0.0.1:{closed_port}/0")

    span = of(double.name, spans)["dispatch"]
    assert handle.cancelled()
    assert (StatusCode.ERROR, "dropped") == (span.status.status_code, span.attributes["error.type"])
    assert ("fast:refused", "queue:refused") == span.attributes["dispatch.passed_over"]
    assert spans["request"].context.span_id == span.parent.span_id


def test_an_unsampled_caller_s_call_stays_so(handed_over, redis_url):
    """Whatever is current for who shuts down."""
    spans = Spans(sampler=ParentBased(ALWAYS_OFF))
    with provider_in_place(spans.provider):
        handed_over(spans, "queue", redis_url)
    with redis.Redis.from_url(redis_url) as broker:
        [text] = broker.lrange("kitchen", 0, -1)

    assert not int(json.loads(text)["headers"]["traceparent"][-2:], 16) & 1
