"""What a reload changes of destinations behind a broker, and of the spool before it."""

from __future__ import annotations

import pytest

import dispatch
from callers import waiting
from dispatch._dispatcher import Dispatcher
from dispatch.errors import PolicyError, SpoolFull
from dispatch.settings import Settings
from dispatch.transports.celery.publishing import Limits
from servers.patience import eventually

POLICY = """
version: 1
destinations:
  queue: {transport: celery, queue: one, publish_deadline: 2s, breaker: {failures: 3}}
  disk: {transport: spool, forward_to: queue, durability: asserted, max_bytes: 1MiB}
defaults: {durability: ephemeral}
rules:
  - {name: kept, match: {tags: kept, durability: durable}, route_to: disk}
otherwise: {route_to: queue}
"""


def work(_text: str = "") -> None:
    raise AssertionError("there is no worker here")


task = dispatch.task(name="reload_of_celery.work", result=False)(work)


def keep(_text: str = "") -> None:
    raise AssertionError("there is no worker here")


kept = dispatch.task(name="reload_of_celery.kept", durability="durable", tags=["kept"], result=False)(keep)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def dispatcher(file, redis_url, tmp_path):
    settings = Settings(broker_url=redis_url, application="reload", spool_dir=tmp_path / "spool")
    with Dispatcher(policy=str(file), settings=settings) as one:
        yield one


def test_calls_go_to_the_new_queue_over_the_same_publisher(dispatcher, file, redis_url):
    """With other words about time, size and the breaker; no thread is started for it."""
    here = task.using(dispatcher)
    here.delay()
    broker = dispatcher.destinations["queue"].broker
    publisher = broker.way().publisher
    thread = publisher._crew_.thread

    changed = "queue: two, publish_deadline: 7s, breaker: {failures: 9}, max_payload: 100B"
    file.write_text(POLICY.replace("queue: one, publish_deadline: 2s, breaker: {failures: 3}", changed))
    dispatcher.reload()
    here.delay()

    assert (1, 1) == (waiting(redis_url, "one"), waiting(redis_url, "two"))
    queue = dispatcher.destinations["queue"]
    assert (publisher, thread) == (queue.broker.way().publisher, publisher._crew_.thread)
    assert (7.0, 100) == (queue.patience, queue.max_payload)
    assert Limits(failures=9) == publisher._crew_.breaker.limits
    assert 7.0 == broker._patience()
    with pytest.raises(dispatch.NotAccepted, match="too_big"):
        here.delay("x" * 200)
    eventually(lambda: 7.0 == socket_timeout(publisher._crew_.courier._line))


def socket_timeout(line):
    """`None` while there is none: it is being renewed."""
    return None if line is None else line._connection.transport_options["socket_timeout"]


def test_a_destination_that_is_named_no_more_has_no_say_in_the_breaker(dispatcher, file):
    """Of several words the strictest holds, as long as somebody says it."""
    strict = "  other: {transport: celery, queue: two, breaker: {failures: 1}, reached_by: pins}\n"
    file.write_text(POLICY.replace("  disk:", strict + "  disk:"))
    dispatcher.reload()
    breaker = dispatcher.destinations["queue"].broker.way().publisher._crew_.breaker
    assert 1 == breaker.limits.failures

    file.write_text(POLICY)
    dispatcher.reload()

    assert 3 == breaker.limits.failures


def test_the_spool_takes_as_much_as_the_new_word_says(dispatcher, file, redis_url):
    """The file is the same one, and so is the way out; what was kept is forwarded by the new policy."""
    here = kept.using(dispatcher)
    here.delay("x" * 10_000)
    spool = dispatcher.destinations["disk"].spool

    file.write_text(POLICY.replace("1MiB", "64KiB").replace("queue: one", "queue: two"))
    dispatcher.reload()
    assert spool is dispatcher.destinations["disk"].spool
    with pytest.raises(SpoolFull, match="64 KiB"):
        here.delay("x" * 100_000)

    file.write_text(POLICY.replace("queue: one", "queue: two"))
    dispatcher.reload()
    here.delay("x" * 100_000)
    eventually(lambda: waiting(redis_url, "two") == 1)


def test_the_way_out_of_a_spool_takes_a_restart(dispatcher, file):
    """Its rows are bound for the destination that it had."""
    file.write_text(
        POLICY.replace("forward_to: queue", "forward_to: other").replace(
            "  disk:", "  other: {transport: celery, queue: two}\n  disk:"
        )
    )

    with pytest.raises(PolicyError, match=r"needs-restart: `forward_to` of 'disk'"):
        dispatcher.reload()
