"""Attempts in real workers, each pool of Celery's: a call that fails runs again, as the same call."""

from __future__ import annotations

import json

import pytest
from celery import chord

from dispatch import Retry
from dispatch.errors import CallTimeout
from dispatch.transports.celery._retry_header import RETRY_HEADER, pack
from servers.patience import eventually

pytestmark = pytest.mark.slow

SHOP = """
import asyncio
import time

from celery import current_task
from celery.exceptions import SoftTimeLimitExceeded

from dispatch import Retry

AT_ONCE = Retry(attempts=3, backoff="10ms", jitter=False)


class Declined(Exception):
    pass


class DeclinedForGood(Declined):
    pass


def attempt(name):
    request = current_task.request
    gate().rpush(f"attempts:{name}", json.dumps({
        "id": request.id, "retries": request.retries, "headers": request.headers, "expires": request.expires,
        "priority": request.delivery_info["priority"], "ignored": request.ignore_result, "argsrepr": request.argsrepr,
    }, default=str))
    return request.retries + 1


@task(retry=AT_ONCE)
def third_time(name):
    if attempt(name) < 3:
        raise Declined(name)
    return name


@task(retry=AT_ONCE)
def never(name):
    raise Declined(f"{name}: attempt {attempt(name)}")


@task(retry=Retry(attempts=3, on=KeyError, backoff="10ms"))
def wrong_kind(name):
    attempt(name)
    raise Declined(name)


@task()
def for_good(name):
    if attempt(name) < 3:
        raise DeclinedForGood(name)
    return name


@task(retry=AT_ONCE)
async def awaited(name):
    gate().rpush(f"attempts:{name}", "{}")
    if gate().llen(f"attempts:{name}") < 3:
        raise Declined(name)
    return name


@task(retry=Retry(backoff="1h", max_backoff="1h", jitter=False))
def an_hour_later(name):
    raise Declined(name)


@task(timeout_ns=300_000_000)
def sleepy(name):
    attempt(name)
    time.sleep(30)


@task(timeout_ns=300_000_000, retry=AT_ONCE)
def sleepy_at_first(name):
    if attempt(name) < 3:
        time.sleep(30)
    return name


@task(timeout_ns=300_000_000)
def tidy(name):
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return "tidied up"


@task(timeout_ns=2_000_000_000, retry=Retry(attempts=2, backoff="10ms"))
def deaf(name):
    while attempt(name) == 1:
        try:
            time.sleep(30)
        except SoftTimeLimitExceeded:
            pass
    return name


@task(timeout_ns=300_000_000)
def deaf_for_good(name):
    while True:
        try:
            time.sleep(30)
        except SoftTimeLimitExceeded:
            pass


@task(timeout_ns=300_000_000)
async def dozing(name):
    await asyncio.sleep(30)


@task()
def collect(results):
    return results
"""

POOLS = ["prefork", "threads", "solo", "gevent"]
STOPPING = ("prefork", "gevent")
HOMES = [("redis", pool) for pool in POOLS] + [
    pytest.param(("rabbitmq", pool), marks=pytest.mark.rabbitmq) for pool in ("prefork",)
]


@pytest.fixture(scope="module", params=HOMES, ids="-".join)
def shop(request, new_shop, new_redis_url):
    """A shop with a worker, on each broker and pool."""
    system, pool = request.param
    if system == "redis":
        url = new_redis_url()
        shop = new_shop(SHOP, url, backend=url)
    else:
        shop = new_shop(SHOP, request.getfixturevalue("rabbitmq_url"), backend=new_redis_url())
    shop.pool = pool
    with shop.worker(pool):
        yield shop


def attempts(shop, name):
    """What each attempt saw of its request, in order."""
    return [json.loads(each) for each in shop.gate.lrange(f"attempts:{name}", 0, -1)]


def sent(attempt):
    """The headers that somebody has sent, and not what the broker and the worker noted about one delivery."""
    noted = ("dispatch-taken", "dispatch-encoded-as", "dispatch-sent-ns", "dispatch-delivery", "dispatch-stamp")
    return {key: each for key, each in attempt["headers"].items() if key not in noted and "-death" not in key}


def test_the_third_attempt_may_succeed(shop):
    """The handle hears of it alone; the call has had one id all along."""
    handle = shop.send("third_time", "third")

    assert "third" == handle.result(timeout=30)
    seen = attempts(shop, "third")
    assert [0, 1, 2] == [each["retries"] for each in seen]
    assert {handle.id} == {each["id"] for each in seen}


def test_the_last_attempt_has_the_word(shop):
    """After as many attempts as were asked for, its error is the call's."""
    error = shop.send("never", "never").exception(timeout=30)

    assert type(error) is shop.module.Declined
    assert ("never: attempt 3",) == error.args


def test_other_errors_are_final(shop):
    """What `on` does not name ends the call at once."""
    assert isinstance(shop.send("wrong_kind", "wrong").exception(timeout=30), shop.module.Declined)
    assert 1 == len(attempts(shop, "wrong"))


def test_a_call_brings_its_own_retry(shop):
    """It travels in a header, from attempt to attempt, and names a base of what is raised."""
    retry = Retry(attempts=3, on=shop.module.Declined, backoff="10ms")

    assert "own" == shop.send("for_good", "own", headers={RETRY_HEADER: pack(retry)}).result(timeout=30)
    assert 3 == len(attempts(shop, "own"))


@pytest.mark.parametrize("text", ["{", "[]", '{"attempts": "many"}', 7, {"attempts": 9}])
def test_a_retry_that_nobody_understands_is_left_aside(shop, text):
    """The task's own holds, and the worker lives."""
    assert isinstance(shop.send("for_good", f"odd {text}", headers={RETRY_HEADER: text}).exception(30), Exception)
    assert "fine" == shop.send("third_time", "fine", headers={RETRY_HEADER: text}).result(timeout=30)


def test_the_next_attempt_is_the_same_call(shop):
    """Headers, priority and what nobody is to see of the arguments stay; the notes of one delivery do not."""
    expires = "2999-01-01T00:00:00+00:00"
    headers = {"shop-colour": "red", "expires": expires}
    shop.send("third_time", "same", headers=headers, priority=3, argsrepr="", durability="durable").result(timeout=30)

    first, *others = attempts(shop, "same")
    assert "red" == first["headers"]["shop-colour"]
    assert "durable" == first["headers"]["dispatch-durability"]
    for each in others:
        assert (3, expires, "", False) == (each["priority"], each["expires"], each["argsrepr"], each["ignored"])
        assert sent(first) == sent(each)


def test_a_call_whose_result_nobody_wants_is_attempted_again(shop):
    """Nothing is stored of it, and each attempt runs."""
    shop.send("third_time", "unwanted", ignore_result=True)

    eventually(lambda: len(attempts(shop, "unwanted")) == 3, what="three attempts", within=30)
    assert [True, True, True] == [each["ignored"] for each in attempts(shop, "unwanted")]


def test_links_and_chords_wait_for_the_last_attempt(shop):
    """Canvas sees one call."""
    task, collect = shop.app.tasks[shop.name("third_time")], shop.app.tasks[shop.name("collect")]
    sent = chord([task.s(f"chord {number}") for number in range(2)])(collect.s())

    assert ["chord 0", "chord 1"] == shop.handle("collect", sent.id).result(timeout=30)


def test_a_coroutine_is_attempted_again(shop):
    """On its loop, as others on their threads."""
    if shop.pool == "gevent":
        pytest.skip("no loop can work there")
    assert "awaited" == shop.send("awaited", "awaited").result(timeout=30)


def test_a_call_that_would_expire_before_its_next_attempt_has_none(shop):
    """It fails at once, with its own error."""
    error = shop.send("an_hour_later", "expiring", expires=60).exception(timeout=30)

    assert isinstance(error, shop.module.Declined)


def test_a_coroutine_is_stopped_after_its_timeout(shop):
    """On every pool that has a loop for it."""
    if shop.pool == "gevent":
        pytest.skip("no loop can work there")
    with pytest.raises(CallTimeout, match=r"dozing ran longer than its timeout of 300 ms"):
        shop.send("dozing", "dozing").result(timeout=30)


def test_a_function_is_stopped_after_its_timeout_where_celery_can(shop):
    """Prefork by a signal, gevent by its own timeout. Elsewhere nothing can stop a thread, and it goes on."""
    if shop.pool not in STOPPING:
        pytest.skip("nothing stops a thread")
    with pytest.raises(CallTimeout, match="ran longer than its time"):
        shop.send("sleepy", "sleepy").result(timeout=30)


def test_a_timeout_is_a_failed_attempt(shop):
    """And is followed by another one, like other errors."""
    if shop.pool not in STOPPING:
        pytest.skip("nothing stops a thread")
    assert "slept" == shop.send("sleepy_at_first", "slept").result(timeout=30)
    assert 3 == len(attempts(shop, "slept"))


def test_a_task_may_tidy_up_when_its_time_is_over(shop):
    """On prefork the soft limit is an exception that it can catch; what it returns then is its result."""
    if shop.pool != "prefork":
        pytest.skip("no other pool has soft limits")
    assert "tidied up" == shop.send("tidy", "tidy").result(timeout=30)


def test_a_task_that_does_not_listen_is_killed(shop):
    """Some seconds later its process is; that is a failed attempt as well, durable or not."""
    if shop.pool != "prefork":
        pytest.skip("no other pool has processes")
    durable = shop.send("deaf", "deaf", durability="durable")
    ephemeral = shop.send("deaf_for_good", "deaf for good", durability="ephemeral")

    assert "deaf" == durable.result(timeout=40)
    with pytest.raises(CallTimeout, match="ran longer than its time limit"):
        ephemeral.result(timeout=40)
