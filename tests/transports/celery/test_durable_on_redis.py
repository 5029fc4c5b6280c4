"""Durable calls on Redis: kept in the ledger until they have ended, run again when their worker died, and buried."""

from __future__ import annotations

import time
from textwrap import dedent
from threading import Event

import pytest
import redis

import dispatch
from dispatch import _default
from dispatch.errors import CallExpired, CallFailed
from dispatch.policy import parse
from dispatch.transports.celery._redis import connect
from servers.patience import eventually

pytestmark = pytest.mark.slow

SHOP = """
import os, time, dispatch, redis

app = dispatch.celery_app()
app.conf.task_default_queue = __name__
there = redis.Redis.from_url(os.environ["DISPATCH_BROKER_URL"], decode_responses=True)

@dispatch.task(durability="durable")
def deadly(name):
    there.incr(f"runs:{name}")
    os.kill(os.getpid(), 9)

@dispatch.task(durability="durable")
def count(name):
    return there.incr(f"runs:{name}")

@dispatch.task(durability="durable")
def decline(order):
    there.incr("runs:decline")
    raise LookupError(f"no order {order}")

@dispatch.task(durability="durable", retry=dispatch.Retry(attempts=3, backoff="10ms"))
def stubborn(name):
    if there.incr(f"runs:{name}") < 3:
        raise ConnectionError("not yet")
    return "at last"

@dispatch.task(durability="durable")
def old_ways(name):
    from celery import current_task
    there.incr(f"runs:{name}")
    raise current_task.retry(countdown=0)

@dispatch.task(durability="durable")
def hold(name):
    there.incr(f"runs:{name}")
    there.rpush(f"started:{name}", os.getpid())
    there.blpop([f"go:{name}"], timeout=30)
    return name

@dispatch.task
def when():
    return time.time()
"""

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: 10s, lease: {lease}, max_deliveries: 3}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: queue}}
"""


class Shop:
    """A project, its tasks bound to a dispatcher here, and what the ledger says."""

    def __init__(self, project, dispatcher):
        self.project = project
        self.module = project.load()
        self.dispatcher = dispatcher
        self.ledger = connect(self.module.app)
        self.redis = redis.Redis.from_url(project.environment["DISPATCH_BROKER_URL"], decode_responses=True)

    def task(self, name):
        return getattr(self.module, name).using(self.dispatcher)

    def runs(self, name):
        return int(self.redis.get(f"runs:{name}") or 0)

    def state(self, handle):
        return self.redis.hget(f"dispatch:ledger:{handle.id}", "state")

    def worker(self, pool="prefork"):
        return self.project.worker(pool=pool, concurrency=1)

    def close(self):
        self.dispatcher.shutdown("5s")
        self.ledger.close()
        self.redis.close()


@pytest.fixture
def open_shop(project, redis_url, monkeypatch):
    """`open_shop(lease)`."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    opened = []

    def make(lease="30s"):
        written = project(dedent(SHOP), broker_url=redis_url)
        app = written.load().app
        policy = parse(POLICY.format(queue=written.name, lease=lease))
        opened.append(Shop(written, dispatch.Dispatcher(policy=policy, celery=app)))
        return opened[-1]

    yield make
    for shop in opened:
        shop.close()
    dispatch.shutdown("5s")


@pytest.mark.timeout(120)
def test_a_call_that_always_kills_its_worker_is_buried_and_the_worker_lives_on(open_shop):
    """After as many deliveries as the policy allows, with the message in the letter."""
    shop = open_shop()
    with shop.worker():
        handle = shop.task("deadly").delay("dynamite")
        (letter,) = eventually(
            lambda: [shop.ledger.letters.show(each) for each in shop.ledger.letters.ids()], within=60
        )

        assert 3 == shop.runs("dynamite")
        assert (handle.id, "max_deliveries") == (letter.id, letter.reason)
        assert 1 == shop.task("count").delay("after").result(timeout=20)


def test_a_call_that_fails_for_good_is_buried_whole(open_shop):
    """With its error, its traceback and its trace; and it has run once."""
    shop = open_shop()
    with shop.worker("solo"):
        handle = shop.task("decline").delay(7)
        assert isinstance(handle.exception(timeout=20), LookupError)
        (letter,) = eventually(lambda: [shop.ledger.letters.show(each) for each in shop.ledger.letters.ids()])

    assert ("failed", "LookupError: no order 7", 1) == (letter.reason, letter.error, shop.runs("decline"))
    assert "raise LookupError" in letter.traceback
    assert handle.id in letter.message


def test_an_attempt_that_fails_is_followed_by_the_next_one_out_of_the_ledger(open_shop):
    """One call, one handle; what succeeds at last is no dead letter."""
    shop = open_shop()
    with shop.worker("solo"):
        handle = shop.task("stubborn").delay("mule")

        assert "at last" == handle.result(timeout=30)
        assert eventually(lambda: shop.state(handle) == "settled")
    assert (3, []) == (shop.runs("mule"), shop.ledger.letters.ids())


def test_a_call_that_is_sent_twice_under_one_id_runs_once(open_shop):
    """Whether the first one waits, or has ended."""
    shop = open_shop()
    count = shop.task("count")
    count.apply_async(("twin",), task_id="twin")
    count.apply_async(("twin",), task_id="twin")
    with shop.worker("solo"):
        assert 1 == count.delay("other").result(timeout=20)
        count.apply_async(("twin",), task_id="twin")
        assert 2 == count.delay("other").result(timeout=20)

    assert 1 == shop.runs("twin")


def test_a_call_that_runs_longer_than_its_lease_runs_once(open_shop):
    """Its process renews the lease for as long as it lives."""
    shop = open_shop(lease="300ms")
    with shop.worker("prefork"):
        handle = shop.task("hold").delay("long")
        assert shop.redis.blpop(["started:long"], timeout=20)
        Event().wait(1.5)  # five leases: nothing else tells that nothing happens
        shop.redis.rpush("go:long", "now")

        assert "long" == handle.result(timeout=20)
        assert 1 == shop.task("count").delay("behind").result(timeout=20)
    assert 1 == shop.runs("long")


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_killed_worker_costs_a_lease_and_no_call(open_shop, pool):
    """The next worker has it once the lease has run out."""
    shop = open_shop(lease="1s")
    with shop.worker(pool) as worker:
        handle = shop.task("hold").delay("left")
        assert shop.redis.blpop(["started:left"], timeout=20)
        worker.kill()
    with shop.worker(pool):
        assert shop.redis.blpop(["started:left"], timeout=20)
        shop.redis.rpush("go:left", "now")  # earlier, it might go to the dead one's connection
        assert "left" == handle.result(timeout=30)
    assert 2 == shop.runs("left")


def test_an_expired_call_has_ended_in_the_ledger_too(open_shop):
    """The sweep does not bring it again."""
    shop = open_shop()
    handle = shop.task("count").apply_async(("late",), expires=-1)
    with shop.worker("solo"):
        assert isinstance(handle.exception(timeout=20), CallExpired)
        assert eventually(lambda: shop.state(handle) == "settled")
    assert 0 == shop.runs("late")


def test_a_copy_that_expired_says_nothing_of_the_call_that_runs(open_shop):
    """Redis may deliver twice; Celery throws the second one away, and the first one is still to end."""
    shop = open_shop()
    with shop.worker("threads") as worker:
        late = time.time() + 1
        handle = shop.task("hold").apply_async(("long",), expires=1)
        assert shop.redis.blpop(["started:long"], timeout=20)
        message, queue = shop.ledger.message(handle.id)
        eventually(lambda: time.time() > late)
        shop.ledger._client.lpush(queue, message)
        eventually(lambda: "Discarding revoked task" in worker.log.read_text())
        eventually(lambda: not shop.ledger._client.hlen("unacked"))
        assert not handle.done()
        shop.redis.rpush("go:long", "now")

        assert "long" == handle.result(timeout=20)
    assert 1 == shop.runs("long")


@pytest.mark.parametrize("durability", ["ephemeral", "durable"])
def test_a_call_that_expires_while_a_worker_has_it_does_not_run(open_shop, durability):
    """Celery has looked before it gave it to its pool, where it waits for the one thread."""
    shop = open_shop()
    with shop.worker("threads") as worker:
        shop.task("hold").delay("first")
        assert shop.redis.blpop(["started:first"], timeout=20)
        late = time.time() + 1
        handle = shop.task("when").options(durability=durability).apply_async(expires=1)
        eventually(lambda: time.time() > late and f"{handle.id}] received" in worker.log.read_text())
        shop.redis.rpush("go:first", "now")

        assert isinstance(handle.exception(timeout=20), CallExpired)
        if durability == "durable":
            assert eventually(lambda: shop.state(handle) == "settled")
        assert 1 == worker.log.read_text().count(f"{handle.id}] received")


@pytest.mark.parametrize("durability", ["ephemeral", "durable"])
def test_a_delayed_call_waits_in_no_worker_and_runs_when_it_is_due(open_shop, durability):
    """A worker that dies meanwhile costs nothing, of either kind."""
    shop = open_shop()
    with shop.worker("solo") as worker:
        asked = time.time()
        handle = shop.task("when").options(durability=durability).apply_async(countdown=3)
        worker.kill()
    with shop.worker("solo"):
        ran = handle.result(timeout=30)

    assert ran >= asked + 3


def test_a_call_of_which_the_ledger_knows_nothing_runs(open_shop):
    """Somebody emptied it, or Celery's own means published the call: the message alone is enough."""
    shop = open_shop()
    handle = shop.task("count").delay("orphan")
    shop.redis.delete(f"dispatch:ledger:{handle.id}", "dispatch:due")
    with shop.worker("solo"):
        assert 1 == handle.result(timeout=20)
        assert eventually(lambda: shop.state(handle) == "settled")


def test_celerys_own_retry_fails_a_call_that_the_ledger_keeps(open_shop):
    """It publishes past the ledger, and its message would be dropped without a word."""
    shop = open_shop()
    with shop.worker("solo"):
        handle = shop.task("old_ways").delay("habit")

        with pytest.raises(CallFailed, match=r"retry=dispatch\.Retry"):
            handle.result(timeout=20)
        assert 1 == shop.task("count").delay("behind").result(timeout=20)
    assert 1 == shop.runs("habit")
