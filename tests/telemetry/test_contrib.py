"""Beside OpenTelemetry's own instrumentation of Celery: in the caller, in the worker, in both, in neither."""

from __future__ import annotations

import json
from contextvars import Context

import pytest
from opentelemetry import context, propagate, trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.trace import SpanKind, StatusCode

import dispatch
from callers import calling
from dispatch import telemetry
from dispatch.errors import PassedOver
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.telemetry import messages, traces
from telemetry.handmade import QUEUE, a_call, receive

SHOP = """
import os, dispatch
from opentelemetry import trace

app = dispatch.celery_app()
dispatch.telemetry.setup(service="shop")
if os.environ.get("CONTRIB"):
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    CeleryInstrumentor().instrument()

def here():
    span = trace.get_current_span().get_span_context()
    return [format(span.trace_id, "032x"), format(span.span_id, "016x")]

@dispatch.task
def charge(order: int) -> list:
    return here()

@app.task(name="foreign")
def foreign():
    return here()
"""

CALLER = """
import json
import {name} as shop, dispatch
from opentelemetry import context, trace

with trace.get_tracer("shop").start_as_current_span("POST /orders"):
    before = context.get_current()
    handle = shop.charge.options(durability="durable").delay(1)
    assert context.get_current() is before
    said = [handle.result(timeout=30)]
with trace.get_tracer("shop").start_as_current_span("POST /others"):
    said.append(shop.foreign.delay().get(timeout=30))
dispatch.shutdown()
dispatch.telemetry.flush()
print(json.dumps(said))
"""

# In the caller, in the worker, and what each span of a call is below.
SIDES = [
    (("", ""), {"dispatch": "POST", "publish": "dispatch", "process": "publish"}),
    (("on", ""), {"dispatch": "POST", "apply_async": "dispatch", "process": "apply_async"}),
    (("", "on"), {"dispatch": "POST", "publish": "dispatch", "run": "publish"}),
    (("on", "on"), {"dispatch": "POST", "apply_async": "dispatch", "run": "apply_async"}),
]


@pytest.fixture
def contrib(spans):
    """It is on, in this process."""
    CeleryInstrumentor().instrument(tracer_provider=spans.provider)
    yield spans
    CeleryInstrumentor().uninstrument()


def word(span):
    """`dispatch shop.charge`, `run/shop.charge`: the first word."""
    return span.name.replace("/", " ").split()[0]


# Two processes ---------------------------------------------------------------------------------------------------


def story(project, sides, broker_url, result_backend):
    """What the two tasks saw, and the spans of the call and of the foreign task, as both sides wrote them."""
    shop = project(SHOP, broker_url=broker_url, result_backend=result_backend)
    caller, worker = sides
    folder = {"DISPATCH_TRACE_DIR": str(shop.folder / "traces")}
    with shop.worker(pool="prefork", concurrency=1, env=folder | {"CONTRIB": worker}):
        ran = shop.run(CALLER.format(name=shop.name), env=folder | {"CONTRIB": caller})
    ours, theirs = json.loads(ran.stdout)
    found = traces.read(shop.folder / "traces")
    by_root = {trace.roots[0].name: trace.spans for trace in found if trace.roots[0].name.startswith("POST")}
    assert "Failed to detach" not in ran.stderr
    return ours, theirs, by_root["POST /orders"], [span for trace in found for span in trace.spans]


def is_one_story(ours, spans, parents):
    """Each span once, each below the right one, and the innermost is what the body saw."""
    by_word = {word(span): span for span in spans}
    assert sorted(["POST", *parents]) == sorted(word(span) for span in spans)
    assert {child: by_word[parent].span_id for child, parent in parents.items()} == {
        child: by_word[child].parent_id for child in parents
    }
    innermost = by_word["run" if "run" in parents else "process"]
    assert [innermost.trace_id, innermost.span_id] == ours
    return innermost


@pytest.mark.slow
@pytest.mark.parametrize(("sides", "parents"), SIDES)
def test_a_call_leaves_three_spans_whoever_makes_them(project, redis_url, sides, parents):
    """One for the decision, one producer, one consumer; the consumer carries what was decided."""
    ours, theirs, spans, found = story(project, sides, redis_url, redis_url)

    innermost = is_one_story(ours, spans, parents)
    said = innermost.attributes
    assert ("queue", "must-survive") == (said["dispatch.destination"], said["dispatch.rule"])
    assert said["dispatch.wait_us"] >= 0
    # The application's own task has its instrumentation's spans, and none of ours.
    caller, worker = sides
    others = [span for span in found if "foreign" in span.name]
    assert sorted((["apply_async"] if caller else []) + (["run"] if worker else [])) == sorted(map(word, others))
    if worker:
        [span] = [span for span in others if word(span) == "run"]
        assert [span.trace_id, span.span_id] == theirs
        assert not [name for name in span.attributes if name.startswith("dispatch.")]


@pytest.mark.slow
@pytest.mark.rabbitmq
@pytest.mark.parametrize(("sides", "parents"), [SIDES[0], SIDES[3]])
def test_the_same_through_rabbitmq(project, rabbitmq_url, redis_url, sides, parents):
    """Where Celery's own publishing is used too."""
    ours, _, spans, _ = story(project, sides, rabbitmq_url, redis_url)

    is_one_story(ours, spans, parents)


# The caller ------------------------------------------------------------------------------------------------------


FALLING_BACK = """
version: 1
destinations:
  queue: {transport: celery, publish_deadline: 2s}
  fast: {transport: local, workers: 1}
defaults: {durability: ephemeral}
otherwise: {route_to: queue, fallback: [fast]}
"""


@dispatch.task
def look() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_after_a_publish_that_failed_nothing_of_it_is_current_anywhere(contrib, closed_port, leaving_app):
    """Not for the caller, and not where the call runs instead: there it is below `dispatch`."""
    one = dispatch.Dispatcher(policy=parse(FALLING_BACK), celery=leaving_app(f"redis://127.0.0.1:{closed_port}/0"))
    with contrib.tracer().start_as_current_span("request") as request:
        before = context.get_current()
        for _ in range(2):
            seen = look.using(one).delay().result(20)
            assert before is context.get_current()
            assert request is trace.get_current_span()
        inside = trace.get_current_span().get_span_context().span_id
    one.shutdown()

    assert seen != inside
    runs = [span for span in contrib.finished if word(span) == "execute"]
    decided = {span.context.span_id: span for span in contrib.finished if word(span) == "dispatch"}
    assert seen == runs[-1].context.span_id
    assert {request.get_span_context().span_id} == {decided[span.parent.span_id].parent.span_id for span in runs}


def test_a_publish_that_fails_is_red_although_the_other_span_is_not(contrib):
    """The instrumentation's has ended before the broker answers, if there ever was one: ours is there in its place."""
    call = a_call(made=QUEUE)
    publication = messages.publishing(call, queue="default", system="redis", size=18)
    publication.end(PassedOver("queue", "refused", "the broker is read-only"))
    telemetry.dispatched(call)

    failed = contrib["publish"]
    assert (StatusCode.ERROR, "refused") == (failed.status.status_code, failed.attributes["error.type"])
    assert contrib["dispatch"].context.span_id == failed.parent.span_id
    assert contrib["dispatch"].start_time <= failed.start_time < failed.end_time


def test_a_publish_that_goes_well_has_the_other_span_alone(contrib):
    """One producer for one message."""
    call = a_call(made=QUEUE)
    publication = messages.publishing(call, queue="default", system="redis", size=18)
    publication.end(None)
    publication.end(PassedOver("queue", "refused"))
    telemetry.dispatched(call)

    assert ["dispatch shop.resize"] == contrib.names


def test_what_celery_s_signals_see_is_below_our_span_and_stays_in_the_publisher(contrib, redis_url):
    """The publisher's thread serves many callers: the span of one message is not the parent of the next."""
    with calling(redis_url) as caller:
        for _ in range(2):
            call = caller.call("blue")
            assert caller.send(call) is None
            telemetry.dispatched(call)

    dispatched = [span for span in contrib.finished if word(span) == "dispatch"]
    published = [span for span in contrib.finished if word(span) == "apply_async"]
    assert [span.context.span_id for span in dispatched] == [span.parent.span_id for span in published]
    assert {SpanKind.PRODUCER} == {span.kind for span in published}
    assert 4 == len(contrib.finished)


def test_a_message_that_broke_between_two_signals_leaves_its_span_current_nowhere(
    contrib, redis_url, leaving_app, monkeypatch
):
    """The instrumentation would have closed it with the second. The call runs here instead, below `dispatch`."""

    def broken(*_, **__):
        raise OSError("no ink")

    app = leaving_app(redis_url)
    monkeypatch.setattr("celery._state.default_app", app)  # by which the instrumentation finds the task
    one = dispatch.Dispatcher(policy=parse(FALLING_BACK), celery=app)
    monkeypatch.setattr("kombu.messaging.Producer.publish", broken)
    with contrib.tracer().start_as_current_span("request") as request:
        seen = look.using(one).delay().result(20)
        assert request is trace.get_current_span()
    one.shutdown()

    assert StatusCode.ERROR == contrib["publish"].status.status_code
    assert seen == contrib["execute"].context.span_id
    assert request.get_span_context().span_id == contrib["dispatch"].parent.span_id
    assert contrib["dispatch"].context.span_id == contrib["execute"].parent.span_id


def test_nor_is_it_where_dispatch_itself_makes_no_spans(contrib, redis_url, leaving_app, monkeypatch):
    """DISPATCH_TELEMETRY=off: the body that runs here instead sees its caller's span."""

    def broken(*_, **__):
        raise OSError("no ink")

    telemetry.follow(Settings(telemetry="off"))
    app = leaving_app(redis_url)
    monkeypatch.setattr("celery._state.default_app", app)  # by which the instrumentation finds the task
    one = dispatch.Dispatcher(policy=parse(FALLING_BACK), celery=app)
    monkeypatch.setattr("kombu.messaging.Producer.publish", broken)
    with contrib.tracer().start_as_current_span("request") as request:
        seen = look.using(one).delay().result(20)
    one.shutdown()

    assert request.get_span_context().span_id == seen


def test_an_instrumentation_that_is_switched_off_again_leaves_it_to_us(spans):
    """It is asked for with each message."""
    CeleryInstrumentor().instrument(tracer_provider=spans.provider)
    CeleryInstrumentor().uninstrument()
    call = a_call(made=QUEUE)
    messages.publishing(call, queue="default", system="redis", size=18).end(None)
    telemetry.dispatched(call)

    assert ["publish default", "dispatch shop.resize"] == spans.names


# The worker ------------------------------------------------------------------------------------------------------


def test_whatever_span_is_open_for_the_message_gets_our_attributes(spans):
    """ddtrace's, Sentry's, the application's own: any valid one of this process, also where it is not sampled."""

    def work():
        with spans.tracer().start_as_current_span("celery.run"):
            return messages.processing(
                "shop.charge", {}, call_id="1", queue="q", system="redis", durability="durable", attempt=2, taken=1
            )

    assert Context().run(work) is None
    said = spans["celery.run"].attributes
    assert ("shop.charge", "1", 2) == (said["dispatch.task.name"], said["dispatch.call.id"], said["dispatch.attempt"])
    assert ["celery.run"] == spans.names


def test_a_parent_from_elsewhere_that_is_current_is_no_span_of_the_message(spans):
    """Some middleware has only read the headers: the span is still to be made."""
    headers = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}

    def work():
        context.attach(propagate.extract(headers))
        receive(headers)

    Context().run(work)

    assert "b" * 16 == format(spans["process"].parent.span_id, "016x")
