"""Attempts, chains, groups and chords, through real workers: one trace, each run in its place."""

from __future__ import annotations

import json

import pytest

from dispatch.telemetry import traces

pytestmark = pytest.mark.slow

SHOP = """
import dispatch
from celery import current_task

app = dispatch.celery_app()
dispatch.telemetry.setup(service="shop")

@dispatch.task
def add(x: int, y: int) -> int:
    return x + y

@dispatch.task
def total(numbers: list) -> int:
    return sum(numbers)

@dispatch.task(durability="durable", retry=dispatch.Retry(attempts=3, backoff="10ms", jitter=False))
def stubborn(x: int) -> int:
    if current_task.request.retries < 2:
        raise ConnectionError("not now")
    return x

@dispatch.task(retry=dispatch.Retry(attempts=2, backoff="10ms", jitter=False))
def light(x: int) -> int:
    if current_task.request.retries < 1:
        raise ConnectionError("not now")
    return x
"""

CALLER = """
import {name} as shop, dispatch
from celery import chain, chord, group
from opentelemetry import trace
add, total, stubborn, light = shop.add, shop.total, shop.stubborn, shop.light

def traced(name, send):
    with trace.get_tracer("shop").start_as_current_span(name):
        return send()

assert 6 == traced("chain", lambda: chain(add.s(1, 2), light.s(), add.s(3)).apply_async()).get(timeout=30)
assert [3, 7] == traced("group", lambda: group(add.s(1, 2), add.s(3, 4)).apply_async()).get(timeout=30)
assert 10 == traced("chord", lambda: chord([add.s(1, 2), add.s(3, 4)], total.s()).apply_async()).get(timeout=30)
assert 5 == traced("retry", lambda: stubborn.delay(5)).result(timeout=30)
assert 6 == traced("own", lambda: light.options(only="celery").delay(6)).result(timeout=30)
dispatch.shutdown()
dispatch.telemetry.flush()
"""


def by_root(project, broker_url, result_backend):
    shop = project(SHOP, broker_url=broker_url, result_backend=result_backend)
    folder = {"DISPATCH_TRACE_DIR": str(shop.folder / "traces")}
    with shop.worker(pool="prefork", concurrency=1, env=folder):
        shop.run(CALLER.format(name=shop.name), env=folder)
    found = list(traces.read(shop.folder / "traces"))
    assert 5 == len(found)  # nothing has begun a trace of its own
    return {trace.roots[0].name: Story(trace.spans, f"{shop.name}.") for trace in found}


class Story:
    def __init__(self, spans, prefix):
        self.spans = spans
        self._names = {span.span_id: span.name.replace(prefix, "") for span in spans}

    @property
    def parents(self):
        """Each run with what it is below, in the order in which they began."""
        runs = sorted((span for span in self.spans if span.name.startswith("process")), key=lambda span: span.start_ns)
        return [(self._names[span.span_id], self._names[span.parent_id]) for span in runs]

    @property
    def attempts(self):
        return [
            span.attributes.get("dispatch.attempt")
            for span in sorted(self.spans, key=lambda span: span.start_ns)
            if span.name.startswith("process")
        ]


def is_whole(stories, queue):
    assert stories["chain"].parents == [
        ("process add", "chain"),
        ("process light", "process add"),
        ("process light", "process add"),
        ("process add", "process light"),
    ]
    assert [None, None, 2, None] == stories["chain"].attempts
    assert [("process add", "group")] * 2 == stories["group"].parents
    first, second, body = stories["chord"].parents
    assert (("process add", "chord"), ("process add", "chord")) == (first, second)
    assert ("process total", "process add") == body
    for name, task, attempts in (("retry", "stubborn", [None, 2, 3]), ("own", "light", [None, 2])):
        assert [(f"process {task}", f"publish {queue}")] * len(attempts) == stories[name].parents
        assert attempts == stories[name].attempts


def test_what_celery_sends_by_itself_stays_in_the_trace_through_redis(project, redis_url):
    """A successor is below the run that it follows; each attempt is below the publish that its call had."""
    is_whole(by_root(project, redis_url, redis_url), "dispatch")


@pytest.mark.rabbitmq
def test_what_celery_sends_by_itself_stays_in_the_trace_through_rabbitmq(project, rabbitmq_url, redis_url):
    """Where attempts are published again by the worker."""
    is_whole(by_root(project, rabbitmq_url, redis_url), "dispatch")


def test_without_an_sdk_in_the_worker_a_chain_does_not_cut_the_trace(project, redis_url):
    """As the API promises: who records nothing passes on what it was given."""
    shop = project(
        """
        import dispatch
        from celery import current_task
        app = dispatch.celery_app()

        @dispatch.task
        def look(before: list) -> list:
            return [*before, (current_task.request.headers or {}).get("traceparent")]
        """,
        broker_url=redis_url,
        result_backend=redis_url,
    )
    program = f"""
    import {shop.name} as shop, dispatch, json
    from celery import chain
    from opentelemetry import context, propagate
    context.attach(propagate.extract({{"traceparent": "00-{"a" * 32}-{"b" * 16}-01"}}))
    print(json.dumps(chain(shop.look.s([]), shop.look.s()).apply_async().get(timeout=30)))
    """
    with shop.worker(pool="prefork", concurrency=1):
        said = json.loads(shop.run(program).stdout)

    assert [f"00-{'a' * 32}-{'b' * 16}-01"] * 2 == said
