"""A map whose calls go to a broker, on a real Redis; and what follows when that is gone."""

from __future__ import annotations

import pytest

import dispatch
from callers import ids
from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch.policy import parse
from dispatch.settings import Settings
from servers.patience import eventually

QUEUE = """
version: 1
destinations:
  fast: {transport: local, workers: 2}
  queue: {transport: celery, queue: kitchen, breaker: {failures: 1, open_for: 1h, max_open: 1h}}
defaults: {durability: ephemeral}
otherwise: {route_to: queue, fallback: [fast]}
"""


@dispatch.task
def more(number: int) -> int:
    return number + 1


@pytest.fixture
def at_broker(monkeypatch):
    """The default dispatcher, with this broker."""
    made = []

    def make(url: str) -> Dispatcher:
        made.append(Dispatcher(policy=parse(QUEUE), settings=Settings(broker_url=url)))
        monkeypatch.setattr(_default._default, "dispatcher", made[-1])
        return made[-1]

    yield make
    for one in made:
        one.shutdown("5s")


@pytest.mark.parametrize("durability", ["ephemeral", "durable"])
def test_every_item_is_in_the_queue_once_and_in_order(at_broker, redis_url, durability):
    """Several batches; the group's order is that of the items, and so is the queue's."""
    at_broker(redis_url)
    group = more.options(durability=durability).map(range(1_200))

    assert {("queue", "otherwise"): 1_200} == group.decisions()
    assert [handle.id for handle in group] == ids(redis_url, "kitchen")


def test_a_broker_that_goes_in_the_middle_of_a_map_leaves_no_item_unaccounted(at_broker, private_redis):
    """What it refuses runs here; only what was written and never answered is in doubt, and stops the map."""
    at_broker(private_redis.url)
    drawn = []

    def items():
        for number in range(400):
            drawn.append(number)
            if number == 200:
                private_redis.kill()
            yield number

    try:
        group, others = more.map(items()), []
    except dispatch.PartlySent as stopped:
        group, others = stopped.sent, [*stopped.in_doubt, *stopped.unsent]
    else:
        assert {"queue", "fast"} == {handle.decision.destination for handle in group}
    assert len(drawn) == len(group) + len(others)


def test_while_the_breaker_is_open_calls_run_here_and_say_why(at_broker, private_redis):
    """By the short way, as local calls do; and with the broker asked again once it is closed."""
    dispatcher = at_broker(private_redis.url)
    private_redis.kill()
    eventually(
        lambda: more.delay(1).decision.passed_over and more.delay(1).decision.passed_over[0].why == "breaker_open"
    )

    handle = more.delay(1)

    assert 2 == handle.result(timeout=10)
    (passed,) = handle.decision.passed_over
    assert ("fast", "queue", "breaker_open") == (handle.decision.destination, passed.destination, passed.why)
    assert "left alone for a while" in passed.detail
    dispatcher.destinations["queue"].way().publisher._crew_.breaker.close()
    assert dispatcher._regime.plan(more.spec).only.for_second() is None
