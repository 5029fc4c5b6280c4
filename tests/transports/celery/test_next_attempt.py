"""Where the next attempt goes, and what becomes of a call when the broker does not take it."""

from __future__ import annotations

import pytest

from servers.patience import eventually

pytestmark = pytest.mark.slow

SHOP = """
from celery import signals
from kombu import Producer

from dispatch import Retry


@task(retry=Retry(attempts=2, backoff="10ms"))
def second_time(name):
    if gate().incr(f"runs:{name}") == 1:
        raise ValueError(name)
    return name


@task(retry=Retry(attempts=2, backoff="10ms"))
def wants_cut(name):
    if gate().incr(f"runs:{name}") == 1:
        gate().set("cut", 1)
    if gate().get(f"runs:{name}") != "3":
        raise ValueError(name)
    return name


publish = Producer.publish


def cut(self, body, **options):
    if gate().getdel("cut"):
        raise ConnectionResetError("the network is away")
    return publish(self, body, **options)


@signals.worker_init.connect
def on_start(**_):
    Producer.publish = cut
"""
BROKERS = ["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]


@pytest.fixture(scope="module", params=BROKERS)
def shop(request, new_shop, new_redis_url):
    """A shop on each broker, without a worker yet."""
    if request.param == "redis":
        return new_shop(SHOP, new_redis_url())
    return new_shop(SHOP, request.getfixturevalue("rabbitmq_url"), backend=new_redis_url())


def test_the_next_attempt_comes_to_the_queue_of_the_first(shop):
    """Also where that is the only one that the worker reads, and nobody has declared the app's default queue."""
    side = f"{shop.project.name}-side"
    with shop.project.worker(pool="threads", concurrency=1, queues=[side]):
        for number in range(2):
            sent = shop.send("second_time", f"side {number}", queue=side)
            assert f"side {number}" == sent.result(timeout=30)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("shop", ["rabbitmq"], indirect=True)
def test_a_durable_call_whose_next_attempt_cannot_be_published_goes_back_to_the_broker(shop):
    """Its attempt is repeated, and the one after it is published again: nothing is lost."""
    with shop.worker("threads", concurrency=1):
        assert "kept" == shop.send("wants_cut", "kept", durability="durable").result(timeout=30)

    assert "3" == shop.gate.get("runs:kept")


def test_an_ephemeral_call_whose_next_attempt_cannot_be_published_fails(shop):
    """With the error of the attempt, and the worker's log says why there is no other one."""
    with shop.worker("threads", concurrency=1):
        error = shop.send("wants_cut", "lost", durability="ephemeral").exception(timeout=30)

    assert isinstance(error, ValueError)
    assert "1" == shop.gate.get("runs:lost")
    eventually(lambda: "attempt 2 cannot be published" in shop.project.log.read_text(), what="the log says so")
