"""A latency budget, a queue that fills up, and a real worker: calls go elsewhere while it is full, and come back."""

from __future__ import annotations

import threading

import pytest
import redis

import dispatch
from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch.policy import parse
from dispatch.testing import clock
from servers.patience import eventually

MS = 10**6

SHOP = """
import os
import dispatch
import redis

app = dispatch.celery_app()
gate = redis.Redis.from_url(os.environ["GATE"], decode_responses=True)

@dispatch.task(latency_budget="300ms")
def resize(number: int) -> int:
    return number

@dispatch.task(result=False, latency_budget="300ms")
def forget(number: int) -> None:
    gate.rpush("forgotten", number)

@dispatch.task
def anytime() -> None:
    pass

@dispatch.task
def hold() -> None:
    gate.rpush("held", "now")
    assert gate.blpop("go", timeout=30)
"""

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 2}
  queue: {transport: celery, publish_deadline: 20s}
defaults: {durability: ephemeral}
otherwise: {route_to: queue, fallback: [fast]}
"""


@pytest.fixture
def shop(project, redis_url, new_redis_url, monkeypatch):
    """The module and its gate, the default dispatcher that its calls go to, and a worker that runs one at a time."""
    gate_url = new_redis_url()
    monkeypatch.setenv("GATE", gate_url)
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    written = project(SHOP, broker_url=redis_url)
    with (
        Dispatcher(policy=parse(POLICY)) as dispatcher,
        written.worker(pool="threads", concurrency=1, env={"GATE": gate_url}),
        redis.Redis.from_url(gate_url, decode_responses=True) as gate,
    ):
        monkeypatch.setattr(_default._default, "dispatcher", dispatcher)
        yield written.load(), gate


def predicted(task):
    [queue] = [each for each in task.explain(1).candidates if each.destination == "queue"]
    return queue.figures


def fill(module, gate):
    """Hold the only worker until calls behind it have waited for longer than they may; then let it go."""
    module.hold.delay()
    assert gate.blpop("held", timeout=20)
    waiting = [module.resize.delay(number) for number in range(4)]
    assert ["queue"] * 4 == [handle.decision.destination for handle in waiting]
    with pytest.raises(TimeoutError):
        waiting[0].result(timeout=2)
    gate.rpush("go", "on")
    return [handle.result(timeout=20) for handle in waiting], waiting


def test_calls_leave_a_queue_that_has_filled_up_and_come_back_when_it_is_quick_again(shop):
    """The news comes with results: of the calls that waited, and later of calls that have no budget and still go."""
    module, gate = shop
    resize = module.resize
    first = resize.delay(0)
    assert (0, "queue") == (first.result(timeout=20), first.decision.destination)

    values, waited = fill(module, gate)

    assert [0, 1, 2, 3] == values
    for handle in waited:
        assert handle.decision.predicted_start_ns <= 300 * MS
        assert handle.decision.actual_start_ns >= 2000 * MS
    elsewhere = resize.delay(5)
    assert (5, "fast") == (elsewhere.result(timeout=20), elsewhere.decision.destination)
    assert [("queue", "over_budget")] == [(over.destination, over.why) for over in elsewhere.decision.passed_over]
    figures = predicted(resize)
    assert figures["pickup_ns"] > 300 * MS
    assert (5, 0) == (figures["heard"], figures["skewed"])

    def comes_back():
        module.anytime.delay().result(timeout=20)
        return resize.delay(6).decision.destination == "queue"

    eventually(comes_back, within=30)


def test_calls_come_back_when_nothing_more_is_heard(shop):
    """Nobody would learn that the queue is empty again if nobody ever tried."""
    module, gate = shop
    resize = module.resize
    fill(module, gate)
    assert "fast" == resize.delay(5).decision.destination

    with clock() as held:
        held.advance("5s")
        assert "fast" == resize.delay(6).decision.destination
        held.advance("55s")
        assert "queue" == resize.delay(7).decision.destination


def test_a_caller_that_wants_no_results_hears_only_of_publishing(shop):
    """And its decisions say nothing of what came of them."""
    module, gate = shop
    forget = module.forget
    handles = [forget.delay(number) for number in range(3)]
    for _ in handles:
        assert gate.blpop("forgotten", timeout=20)

    figures = predicted(forget)
    assert (0, 1_500_000) == (figures["heard"], figures["pickup_ns"])
    assert figures["publish_ns"] != 500_000
    assert [None] * 3 == [handle.decision.actual_start_ns for handle in handles]


# In this process -------------------------------------------------------------------------------------------------


def test_a_local_call_says_when_it_has_started(dispatcher):
    """From the decision to the first line; of one that is repeated, the second start is another matter."""
    dispatcher()
    attempts = []

    @dispatch.task(retry=dispatch.Retry(attempts=2, backoff="1ms"))
    def twice():
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError

    @dispatch.task
    def once():
        pass

    first, second = once.delay(), twice.delay()
    first.result(timeout=10)
    second.result(timeout=10)

    assert first.decision.actual_start_ns > 0
    assert first.decision.predicted_start_ns is None
    assert second.decision.actual_start_ns is None


def test_the_start_of_a_coroutine_is_predicted_from_its_loop(dispatcher):
    """And not from the threads beside it, which are all busy."""
    dispatcher()
    held, go = threading.Barrier(3), threading.Event()

    @dispatch.task
    def hold():
        held.wait(10)
        go.wait(10)

    @dispatch.task(latency_budget="1ms")
    def function():
        pass

    @dispatch.task(latency_budget="1ms")
    async def coroutine():
        pass

    handles = [hold.delay() for _ in range(2)]
    held.wait(10)
    predicted = [dispatch.explain(task).decision.predicted_start_ns for task in (function, coroutine)]
    go.set()

    assert [None] * 2 == [handle.result(timeout=10) for handle in handles]
    assert predicted[0] > predicted[1] == 60_000
