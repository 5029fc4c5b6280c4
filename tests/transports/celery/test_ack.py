"""When a message is acknowledged, and what becomes of a call whose worker dies, by the call's own durability."""

from __future__ import annotations

import json

import pytest
import redis

from dispatch.errors import CallCancelled, WorkerDied
from servers.patience import eventually
from servers.process import alive

pytestmark = pytest.mark.slow

SHOP = """
@task()
def wait_at(name):
    there = gate()
    there.incr(f"runs:{name}")
    there.rpush(f"started:{name}", os.getpid())
    there.blpop([f"go:{name}"], timeout=30)
    return name


@task(durability="durable")
def kept(name):
    return wait_at(name)


@task()
def die_at_first(name):
    if gate().incr(f"runs:{name}") == 1:
        os.kill(os.getpid(), 9)
    return name
"""

SOON = json.dumps({"visibility_timeout": 1, "unacked_restore_interval": 0.5, "unacked_restore_throttle": 1})
"""Redis gives back what a dead worker held after a second instead of after an hour."""

POOLS = ["prefork", "threads", "solo", "gevent"]
REDIS = "redis"
RABBITMQ = pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)


def _started(shop, name):
    """Waits for it. Gives the process that runs it."""
    told = shop.gate.blpop([f"started:{name}"], timeout=20)
    assert told, f"{name} has not started"
    return int(told[1])


def _go(shop, name):
    shop.gate.rpush(f"go:{name}", "now")


@pytest.fixture(scope="module", params=POOLS)
def redis_shop(request, new_shop, new_redis_url):
    """A shop on Redis, where what is unacknowledged can be counted, with a worker of each pool."""
    shop = new_shop(SHOP, new_redis_url())
    with shop.worker(request.param):
        yield shop


@pytest.fixture
def unacknowledged(redis_shop):
    """How many messages the worker has, and has not acknowledged."""
    with redis_shop.app.connection_for_read() as connection:
        client = connection.default_channel.client
        yield lambda: client.hlen("unacked")


def _state(shop, handle):
    """What the ledger says about the call."""
    with redis.Redis.from_url(shop.broker_url, decode_responses=True) as client:
        return client.hget(f"dispatch:ledger:{handle.id}", "state")


def test_an_ephemeral_call_is_acknowledged_before_it_runs(redis_shop, unacknowledged):
    """While it runs, the broker has nothing left of it to give to anybody else."""
    handle = redis_shop.send("wait_at", "early", durability="ephemeral")
    _started(redis_shop, "early")

    assert 0 == unacknowledged()

    _go(redis_shop, "early")
    assert "early" == handle.result(timeout=20)


def test_the_ledger_keeps_a_durable_call_until_it_has_settled(redis_shop, unacknowledged):
    """Celery's transport would deliver it a second time while it runs, or lose it: nothing is left to it."""
    handle = redis_shop.send("wait_at", "late", durability="durable")
    _started(redis_shop, "late")

    assert (0, "running") == (unacknowledged(), _state(redis_shop, handle))

    _go(redis_shop, "late")
    assert "late" == handle.result(timeout=20)
    eventually(lambda: _state(redis_shop, handle) == "settled", what="the durable call has settled")


def test_the_header_has_the_word_over_the_decorator(redis_shop, unacknowledged):
    """The call decided its durability when it was sent; the worker does not decide anew."""
    handle = redis_shop.send("kept", "lowered", durability="ephemeral")
    _started(redis_shop, "lowered")

    assert (0, None) == (unacknowledged(), _state(redis_shop, handle))

    _go(redis_shop, "lowered")
    assert "lowered" == handle.result(timeout=20)


@pytest.mark.parametrize(("task", "state"), [("wait_at", None), ("kept", "running")])
def test_without_our_header_the_decorator_has_the_word_and_else_it_is_ephemeral(
    redis_shop, unacknowledged, task, state
):
    """What canvas, beat or `send_task` publish has no header of ours."""
    handle = redis_shop.send(task, f"bare-{task}")
    _started(redis_shop, f"bare-{task}")

    assert (0, state) == (unacknowledged(), _state(redis_shop, handle))

    _go(redis_shop, f"bare-{task}")
    assert f"bare-{task}" == handle.result(timeout=20)


@pytest.fixture(params=[REDIS, RABBITMQ])
def shop(request, new_shop, new_redis_url):
    """A shop on each broker, without a worker yet."""
    if request.param == "redis":
        return new_shop(SHOP, new_redis_url(), SHOP_TRANSPORT_OPTIONS=SOON)
    return new_shop(SHOP, request.getfixturevalue("rabbitmq_url"), backend=new_redis_url())


@pytest.mark.parametrize(
    ("shop", "pool"),
    [("redis", "prefork"), ("redis", "threads"), pytest.param("rabbitmq", "prefork", marks=pytest.mark.rabbitmq)],
    indirect=["shop"],
)
def test_a_killed_worker_costs_the_ephemeral_call_and_not_the_durable_one(shop, pool):
    """Killed with both of them running: the next worker runs the durable one again, the ephemeral one never."""
    with shop.worker(pool) as worker:
        durable = shop.send("wait_at", "durable", durability="durable")
        shop.send("wait_at", "ephemeral", durability="ephemeral")
        _started(shop, "durable")
        _started(shop, "ephemeral")
        worker.kill()

    with shop.worker(pool):
        _started(shop, "durable")  # a go before that might go to the dead one's connection
        _go(shop, "durable")
        assert "durable" == durable.result(timeout=30)
        # Sent last, run last: by now the ephemeral one would have started again.
        _go(shop, "later")
        assert "later" == shop.send("wait_at", "later").result(timeout=20)

    assert ["2", "1"] == shop.gate.mget("runs:durable", "runs:ephemeral")


def test_a_killed_solo_worker_does_not_cost_the_durable_call(shop):
    """The pool that runs tasks in the worker's own process keeps the same promise."""
    with shop.worker("solo") as worker:
        durable = shop.send("wait_at", "durable", durability="durable")
        _started(shop, "durable")
        worker.kill()

    with shop.worker("solo"):
        _started(shop, "durable")
        _go(shop, "durable")
        assert "durable" == durable.result(timeout=30)

    assert "2" == shop.gate.get("runs:durable")


@pytest.mark.parametrize("shop", [REDIS], indirect=True)
def test_a_call_that_an_operator_terminates_is_cancelled(shop):
    """Celery's own `revoke(terminate=True)` ends the task and its process; nothing runs again."""
    with shop.worker("prefork"):
        handle = shop.send("wait_at", "long", durability="durable")
        process = _started(shop, "long")

        shop.app.control.revoke(handle.id, terminate=True)

        with pytest.raises(CallCancelled, match="terminated"):
            handle.result(timeout=20)
        eventually(lambda: not alive(process), what="the process that ran it is gone")
        _go(shop, "next")
        assert "next" == shop.send("wait_at", "next").result(timeout=20)

    assert "1" == shop.gate.get("runs:long")


def test_a_pool_process_that_dies_is_answered_for_or_the_call_runs_again(shop):
    """Ephemeral: the handle raises `WorkerDied`, and it is not run again. Durable: it runs again, at once."""
    with shop.worker("prefork"):
        with pytest.raises(WorkerDied, match="not run again"):
            shop.send("die_at_first", "ephemeral", durability="ephemeral").result(timeout=20)

        assert "durable" == shop.send("die_at_first", "durable", durability="durable").result(timeout=20)

    assert ["2", "1"] == shop.gate.mget("runs:durable", "runs:ephemeral")
