"""A call that lies on disk first: handed over there, forwarded later by whoever does it, and run in the same trace."""

from __future__ import annotations

import json

import pytest
import redis
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

import dispatch
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.telemetry import traces
from house.policies import RUN_FROM_DISK
from servers.patience import eventually
from telemetry.handmade import Spans, provider_in_place, receive

FORWARDING = """
version: 1
destinations:
  queue: {transport: celery, queue: kitchen, publish_deadline: 2s, breaker: {failures: 100}}
  disk: {transport: spool, durability: asserted, forward_to: queue}
defaults: {durability: durable}
otherwise: {route_to: disk}
"""


@dispatch.task
def look():
    span = trace.get_current_span().get_span_context()
    return [span.trace_id, span.span_id, baggage.get_baggage("tenant")]


@pytest.fixture
def open_(tmp_path):
    """Makes dispatchers on one disk: another is as good as the next process."""
    made = []

    def make(policy, broker_url=None, *, begin=True):
        settings = Settings(application="kitchen", spool_dir=tmp_path, broker_url=broker_url, shutdown_grace="5s")
        made.append(dispatch.Dispatcher(policy=parse(policy), settings=settings))
        if not begin:
            made[-1].destinations["disk"]._watchman.close(5)
        return made[-1]

    yield make
    for one in made:
        one.shutdown()


def away(port):
    return f"redis://127.0.0.1:{port}/0"


def kept(open_, spans, policy, *, broker_url=None):
    """A call that was made by a process which has done nothing else with it."""
    first = open_(policy, broker_url, begin=False)
    with spans.tracer().start_as_current_span("request"):
        look.using(first).delay()
    first.shutdown()


def forwarded(open_, url):
    """The headers of its message, published by another dispatcher."""
    open_(FORWARDING, url, begin=False).destinations["disk"].hand_on()
    with redis.Redis.from_url(url) as broker:
        [text] = broker.lrange("kitchen", 0, -1)
    return json.loads(text)["headers"]


def test_a_call_that_is_written_to_disk_has_a_dispatch_span_and_no_other(spans, open_, closed_port):
    """The disk is no broker; where it went, and what that cost, stands there."""
    kept(open_, spans, FORWARDING, broker_url=away(closed_port))

    span = spans["dispatch"]
    assert ("disk", "spool") == (span.attributes["dispatch.destination"], span.attributes["dispatch.transport"])
    assert span.attributes["dispatch.enqueue_us"] > 0
    assert spans["request"].context.span_id == span.parent.span_id
    assert 2 == len(spans.finished)


def test_a_broker_that_was_asked_first_and_is_away_has_its_red_publish(spans, open_, closed_port):
    """And who has the call in the end is the disk."""
    away_now = FORWARDING.replace("route_to: disk", "route_to: queue, fallback: [disk]")
    kept(open_, spans, away_now, broker_url=away(closed_port))

    assert StatusCode.ERROR == spans["publish"].status.status_code
    assert StatusCode.UNSET == spans["dispatch"].status.status_code
    assert ("queue:refused",) == spans["dispatch"].attributes["dispatch.passed_over"]


def test_whoever_forwards_it_leaves_a_span_in_its_trace_and_the_run_is_below_that(
    spans, open_, closed_port, redis_url, failures
):
    """request, dispatch, forward, process: one line, and the forward is linked to what handed the call over."""
    kept(open_, spans, FORWARDING, broker_url=away(closed_port))
    receive(forwarded(open_, redis_url))

    line = [spans[name] for name in ("request", "dispatch", "forward", "process")]
    assert [None] + [span.context.span_id for span in line[:-1]] == [
        span.parent and span.parent.span_id for span in line
    ]
    assert 1 == len({span.context.trace_id for span in line})
    for begun, linked in (("dispatch", "forward"), ("forward", "process")):
        assert [spans[begun].context.span_id] == [link.context.span_id for link in spans[linked].links]
    assert 4 == len(spans.finished)
    assert 0 == failures()


def test_the_forward_speaks_the_messaging_conventions(spans, open_, closed_port, redis_url):
    """A producer, named after the destination, with the call's id."""
    kept(open_, spans, FORWARDING, broker_url=away(closed_port))
    headers = forwarded(open_, redis_url)

    span = spans["forward"]
    host, _, port = redis_url.removeprefix("redis://").partition("/")[0].partition(":")
    assert ("forward queue", SpanKind.PRODUCER) == (span.name, span.kind)
    assert {
        "dispatch.task.name": look.name,
        "dispatch.call.id": headers["id"],
        "dispatch.destination": "queue",
        "messaging.system": "redis",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "kitchen",
        "messaging.message.id": headers["id"],
        "messaging.message.body.size": span.attributes["messaging.message.body.size"],
        "server.address": host,
        "server.port": int(port),
    } == dict(span.attributes)


def test_each_forward_that_fails_is_red_and_has_ended(spans, open_, closed_port, redis_url):
    """The one that succeeds is beside them, below the same `dispatch`."""
    kept(open_, spans, FORWARDING, broker_url=away(closed_port))
    failing = open_(FORWARDING, away(closed_port), begin=False)
    for _ in range(2):
        failing.destinations["disk"].hand_on()
    failing.shutdown()
    forwarded(open_, redis_url)

    tries = [span for span in spans.finished if span.name == "forward queue"]
    assert [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET] == [span.status.status_code for span in tries]
    assert ["refused", "refused", None] == [span.attributes.get("error.type") for span in tries]
    assert {spans["dispatch"].context.span_id} == {span.parent.span_id for span in tries}


def test_what_was_not_sampled_stays_so(open_, closed_port, redis_url):
    """One decision for the whole trace: the message carries it on."""
    spans, seen = Spans(sampler=ParentBased(ALWAYS_OFF)), []
    with provider_in_place(spans.provider):
        kept(open_, spans, FORWARDING, broker_url=away(closed_port))
        headers = forwarded(open_, redis_url)
        receive(headers, body=lambda: seen.append(trace.get_current_span().get_span_context()))

    assert not int(headers["traceparent"][-2:], 16) & 1
    assert headers["traceparent"].split("-")[1] == format(seen[0].trace_id, "032x")
    assert not seen[0].trace_flags.sampled


def test_a_forwarder_that_records_nothing_passes_the_trace_on(spans, open_, closed_port, redis_url):
    """The run is then below the `dispatch` itself."""
    kept(open_, spans, FORWARDING, broker_url=away(closed_port))
    with provider_in_place(None):
        headers = forwarded(open_, redis_url)
    receive(headers)

    assert spans["dispatch"].context.span_id == spans["process"].parent.span_id


def test_beside_celery_s_instrumentation_the_message_has_one_producer(spans, open_, closed_port, redis_url):
    """Its span is below `forward`, which is then our own affair alone, and the run is below its span."""
    CeleryInstrumentor().instrument(tracer_provider=spans.provider)
    try:
        kept(open_, spans, FORWARDING, broker_url=away(closed_port))
        receive(forwarded(open_, redis_url))
    finally:
        CeleryInstrumentor().uninstrument()

    published = next(span for span in spans.finished if span.name.startswith("apply_async"))
    assert (SpanKind.INTERNAL, SpanKind.PRODUCER) == (spans["forward"].kind, published.kind)
    assert spans["forward"].context.span_id == published.parent.span_id
    assert published.context.span_id == spans["process"].parent.span_id
    assert 5 == len(spans.finished)


def test_a_call_that_runs_from_disk_is_below_what_handed_it_over_and_linked_to_it(spans, open_):
    """Whichever process runs it; the caller's baggage is there."""
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    kept(open_, spans, RUN_FROM_DISK)
    context.detach(token)
    open_(RUN_FROM_DISK).begin()
    eventually(lambda: "execute" in {span.name.split()[0] for span in spans.finished})

    ran, handed_over = spans["execute"], spans["dispatch"]
    assert handed_over.context.span_id == ran.parent.span_id
    assert [handed_over.context.span_id] == [link.context.span_id for link in ran.links]
    assert 3 == len(spans.finished)


def test_the_body_of_a_call_from_disk_sees_its_span_and_its_baggage(spans, open_):
    """As anywhere."""
    one = open_(RUN_FROM_DISK)
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    seen = look.using(one).delay().result(10)
    context.detach(token)

    eventually(lambda: "execute" in {span.name.split()[0] for span in spans.finished})
    span = spans["execute"].context
    assert [span.trace_id, span.span_id, "acme"] == seen


SHOP = """
import dispatch
dispatch.telemetry.setup(service="shop")  # first: with the app the forwarder begins
app = dispatch.celery_app()

@dispatch.task(durability="durable")
def charge(order: int) -> int:
    return order
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_three_processes_write_one_tree(project, redis_url, closed_port):
    """One makes the call while the broker is away, another forwards it, as a worker does too, and a child runs it."""
    shop = project(SHOP, broker_url=redis_url)
    (shop.folder / "policy.yaml").write_text(FORWARDING.replace("queue: kitchen, ", ""))
    environment = {
        "DISPATCH_TRACE_DIR": str(shop.folder / "traces"),
        "DISPATCH_POLICY": str(shop.folder / "policy.yaml"),
        "DISPATCH_APPLICATION": "kitchen",
        "DISPATCH_SPOOL_DIR": str(shop.folder / "state"),
    }
    program = f"import {shop.name} as shop, dispatch; "
    made = shop.run(
        f"{program}assert shop.charge.delay(7).status == 'spooled'",
        env=environment | {"DISPATCH_BROKER_URL": away(closed_port)},
    )
    assert "" == made.stdout
    with shop.worker(pool="prefork", concurrency=1, env=environment):
        shop.run(f"{program}dispatch.Dispatcher().destinations['disk'].hand_on()", env=environment)
        eventually(lambda: "succeeded" in shop.log.read_text(), within=120)  # two processes may have left leases

    [found] = traces.read(shop.folder / "traces")
    by_word = {span.name.split()[0]: span for span in found.spans if span.status != "error"}
    assert ["dispatch", "forward", "process"] == sorted(by_word)
    assert by_word["dispatch"].span_id == by_word["forward"].parent_id
    assert by_word["forward"].span_id == by_word["process"].parent_id
    assert 3 == len({by_word[name].process for name in by_word})
