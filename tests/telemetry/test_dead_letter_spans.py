"""A call that has failed for good says so in its trace, whoever puts it aside; retried, it runs in that trace again."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

import dispatch
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.telemetry import messages, traces
from dispatch.transports.celery import build_app
from dispatch.transports.celery._redis import connect
from dispatch.transports.celery.dead import dead_letters
from dispatch.transports.celery.ledger import NO_STAMP, STAMP_HEADER, Entry
from dispatch.transports.celery.ledger._sweeper import _Round
from house.policies import RUN_FROM_DISK
from servers.patience import eventually
from telemetry.handmade import QUEUE, Spans, a_call, provider_in_place, send


def test_it_is_red_below_what_handed_the_call_over_and_linked_to_it(spans):
    """A client of the broker, which settles a message; with the reason, and what the call failed by."""
    headers = send(a_call(made=QUEUE))
    messages.dead_lettered(
        "shop.charge",
        headers,
        call_id="1",
        reason="failed",
        error=LookupError("no order 7"),
        attempt=3,
        queue="default",
        system="redis",
        server=messages.Server("h", 1),
    )

    span, publish = spans["dead-letter"], spans["publish"]
    assert ("dead-letter shop.charge", SpanKind.CLIENT) == (span.name, span.kind)
    assert (StatusCode.ERROR, publish.context.span_id) == (span.status.status_code, span.parent.span_id)
    assert [publish.context.span_id] == [link.context.span_id for link in span.links]
    assert {
        "dispatch.task.name": "shop.charge",
        "dispatch.call.id": "1",
        "dispatch.dead_letter": "failed",
        "dispatch.attempt": 3,
        "error.type": "LookupError",
        "messaging.system": "redis",
        "messaging.operation.name": "settle",
        "messaging.operation.type": "settle",
        "messaging.destination.name": "default",
        "messaging.message.id": "1",
        "server.address": "h",
        "server.port": 1,
    } == dict(span.attributes)
    assert not span.events  # the exception stands on the span of its run


def test_what_killed_its_workers_is_told_by_the_name_of_its_outcome(spans):
    """There is no error of the task's own."""
    messages.dead_lettered("shop.charge", {}, call_id="1", reason="max_deliveries")

    span = spans["dead-letter"]
    assert ("DeadLettered", SpanKind.INTERNAL, None) == (span.attributes["error.type"], span.kind, span.parent)


def test_below_an_unsampled_span_there_is_none():
    """Also where the sampler would record a root."""
    caller = Spans(sampler=ParentBased(ALWAYS_OFF))
    with provider_in_place(caller.provider):
        headers = send(a_call(made=QUEUE))
    worker = Spans()
    with provider_in_place(worker.provider):
        messages.dead_lettered("shop.charge", headers, call_id="1", reason="failed")

    assert [] == worker.finished


def test_the_sweep_says_it_of_a_call_that_no_worker_came_to_the_end_of(spans, redis_url, leaving_app):
    """Published a hundred times: whoever sweeps is the one who knows."""
    trace = send(a_call(made=QUEUE))
    ledger = connect(leaving_app(redis_url))
    said = {"id": "call", "task": "shop.charge", "retries": 0, STAMP_HEADER: NO_STAMP, **trace}
    text = json.dumps({"body": "", "headers": said, "properties": {}})
    ledger.enter(Entry(id="call", list_key="queue", task="shop.charge", message=text))
    ledger._client.hset("dispatch:ledger:call", "pushes", 100)
    ledger._client.delete("queue")
    ledger._client.zadd("dispatch:due", {"call": 1})
    sweeper = _Round(lambda: ledger)
    sweeper.step()
    sweeper.end()

    span = spans["dead-letter"]
    assert ("unclaimed", "call") == (span.attributes["dispatch.dead_letter"], span.attributes["dispatch.call.id"])
    assert spans["publish"].context.span_id == span.parent.span_id


# On disk ---------------------------------------------------------------------------------------------------------


@dispatch.task
def decline():
    raise LookupError("no")


def test_a_call_that_fails_from_disk_says_it_too(spans, tmp_path):
    """Below the same `dispatch` as its run; no broker had it."""
    settings = Settings(application="kitchen", spool_dir=tmp_path, shutdown_grace="5s")
    with dispatch.Dispatcher(policy=parse(RUN_FROM_DISK), settings=settings) as one:
        assert isinstance(decline.using(one).delay().exception(10), LookupError)
        eventually(lambda: "dead-letter" in {span.name.split()[0] for span in spans.finished})

    span = spans["dead-letter"]
    assert ("failed", "LookupError") == (span.attributes["dispatch.dead_letter"], span.attributes["error.type"])
    assert spans["dispatch"].context.span_id == span.parent.span_id == spans["execute"].parent.span_id


# In workers ------------------------------------------------------------------------------------------------------


SHOP = """
import os, dispatch, redis
app = dispatch.celery_app()
app.conf.task_default_queue = __name__
dispatch.telemetry.setup(service="shop")
there = redis.Redis.from_url(os.environ["DISPATCH_RESULT_BACKEND"])

@dispatch.task(durability="durable")
def deadly():
    if there.get("mercy") is None:
        os.kill(os.getpid(), 9)

@dispatch.task(durability="durable")
def decline():
    raise LookupError("no order")
"""

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: 10s, max_deliveries: 2}}
defaults: {{durability: durable}}
otherwise: {{route_to: queue}}
"""

CALLER = """
import {name} as shop, dispatch
assert isinstance(shop.deadly.delay().exception(timeout=50), dispatch.errors.DeadLettered)
assert isinstance(shop.decline.delay().exception(timeout=20), LookupError)
dispatch.shutdown()
dispatch.telemetry.flush()
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def test_workers_say_it_of_both_and_a_retried_call_runs_in_the_same_trace(kind, request, project, redis_url):
    """One killed its workers and left no span of a body; the other's body has one, with its exception."""
    broker = redis_url if kind == "redis" else request.getfixturevalue("rabbitmq_url")
    shop = project(SHOP, broker_url=broker, result_backend=redis_url)
    (shop.folder / "policy.yaml").write_text(POLICY.format(queue=shop.name))
    environment = {
        "DISPATCH_TRACE_DIR": str(shop.folder / "traces"),
        "DISPATCH_POLICY": str(shop.folder / "policy.yaml"),
    }
    app = build_app(broker, redis_url)
    letters = dead_letters(app)
    with shop.worker(pool="prefork", concurrency=1, env=environment):
        shop.run(CALLER.format(name=shop.name), env=environment, timeout=100)
        mine = lambda: {each.task: each for each in letters.letters() if each.task.startswith(f"{shop.name}.")}  # noqa: E731
        eventually(lambda: len(mine()) == 2, within=30)
        deadly = mine()[f"{shop.name}.deadly"]
        connect(build_app(redis_url, None))._client.set("mercy", 1)
        assert {deadly.id: "sent"} == letters.retry({deadly.id})
        eventually(lambda: f"{shop.name}.deadly[{deadly.id}] succeeded" in shop.log.read_text(), within=30)
    letters.drop({each.id for each in mine().values()})
    letters.close()
    app.close()

    found = {
        trace.spans[0].trace_id: {span.name.split()[0]: span for span in trace.spans}
        for trace in traces.read(shop.folder / "traces")
    }
    of_deadly = found.pop(deadly.trace_id)
    [of_decline] = found.values()
    for words, reason, error in (
        (of_deadly, "max_deliveries", "DeadLettered"),
        (of_decline, "failed", "LookupError"),
    ):
        assert {"dispatch", "publish", "process", "dead-letter"} == set(words)
        said = words["dead-letter"]
        assert (reason, error, "error") == (
            said.attributes["dispatch.dead_letter"], said.attributes["error.type"], said.status,
        )  # fmt: skip
        assert words["publish"].span_id == said.parent_id == words["process"].parent_id
    assert ("error", "unset") == (of_decline["process"].status, of_deadly["process"].status)
    assert of_deadly["dead-letter"].start_ns < of_deadly["process"].start_ns
