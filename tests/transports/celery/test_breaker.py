"""The breaker: when it opens, whom it keeps out, and what closes it."""

from __future__ import annotations

import time
from functools import partial

import pytest
import redis

from callers import calling, waiting
from dispatch._call import CallOptions
from dispatch.transports.celery.publishing._breaker import Breaker, Limits
from servers.patience import eventually

QUICK = Limits(failures=3, open_for=1.0, max_open=8.0)


def test_it_opens_after_so_many_failures_in_a_row():
    """And not one earlier."""
    breaker = Breaker(QUICK)
    for _ in range(2):
        breaker.failed("the port is closed")
    assert breaker.obstacle is None

    breaker.failed("the port is closed")

    assert "the port is closed" == breaker.obstacle


def test_an_accepted_message_starts_the_count_anew():
    """Failures far apart are nobody's outage."""
    breaker = Breaker(QUICK)
    for _ in range(10):
        breaker.failed("a hiccup")
        breaker.failed("a hiccup")
        breaker.accepted()

    assert breaker.obstacle is None


def test_the_pauses_double_up_to_the_longest_and_are_jittered():
    """Between half and all of 1, 2, 4, 8, 8 seconds."""
    breaker = Breaker(QUICK)
    for longest in (1.0, 2.0, 4.0, 8.0, 8.0):
        breaker.open("nobody there")
        pauses = {breaker.pause() for _ in range(50)}
        assert len(pauses) > 1
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest


def test_a_broker_that_answers_and_takes_nothing_is_asked_less_and_less():
    """A probe that succeeds closes it, and leaves the next pause as long as it would have been."""
    breaker = Breaker(QUICK)
    breaker.open("no memory")
    breaker.close()
    breaker.open("no memory")
    assert breaker.pause() > 0.99

    breaker.close()
    breaker.accepted()
    breaker.open("no memory")

    assert breaker.pause() <= 1.0


def test_destinations_on_one_broker_share_the_strictest_limits():
    """The least patience, and the shortest pauses."""
    assert Limits(failures=2, open_for=1.0, max_open=9.0) == Limits(2, 5.0, 9.0).stricter(Limits(7, 1.0, 60.0))


def test_it_says_where_it_stands():
    """Half open while the broker is tried, in which nobody is let through yet."""
    breaker = Breaker(QUICK)
    phases = [breaker.phase]
    fall = partial(breaker.open, "gone")
    for step in (fall, breaker.probe, fall, breaker.probe, breaker.close):
        step()
        phases.append(breaker.phase)

    assert ["closed", "open", "half_open", "open", "half_open", "closed"] == phases


# In a publisher --------------------------------------------------------------------------------------------------

BREAKER = {"failures": "3", "open_for": "50ms", "max_open": "100ms"}


@pytest.fixture
def client(private_redis):
    with redis.Redis(port=private_redis.port) as client:
        yield client


def caller_of(url, **breaker):
    return calling(url, queue="tea", publish_deadline="500ms", breaker={**BREAKER, **breaker})


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_closed_port_is_asked_so_often_and_then_left_alone(scheme, closed_port):
    """Calls after that are kept out at once, and say so."""
    url = f"{scheme}://127.0.0.1:{closed_port}//" if scheme == "amqp" else f"{scheme}://127.0.0.1:{closed_port}/0"
    with caller_of(url, open_for="1h", max_open="1h") as caller:
        whys = [caller.brew("blue").why for _ in range(10)]

        assert "refused" == whys[0]
        assert ["breaker_open"] * 5 == whys[-5:]
        assert {"refused", "breaker_open"} == set(whys)
        passed = caller.destination.unfit("ephemeral")
        assert ("breaker_open", True) == (passed.why, "refused" in passed.detail)


def test_calls_go_through_again_once_the_broker_is_back(private_redis):
    """It is the publisher's own probe that finds it."""
    with caller_of(private_redis.url) as caller:
        assert caller.brew("before") is None
        private_redis.kill()
        eventually(lambda: caller.brew("blue").why == "breaker_open")
        private_redis.start()

        assert eventually(lambda: caller.destination.unfit("ephemeral") is None)
        assert caller.brew("after") is None
        assert 2 == waiting(private_redis.url, "tea")


def test_a_redis_without_memory_is_left_alone_after_a_while(private_redis, client):
    """Every message would be refused; the answer to one is the answer to all."""
    with caller_of(private_redis.url) as caller:
        assert caller.brew("before") is None
        client.config_set("maxmemory", "1")
        assert eventually(lambda: caller.brew("blue").why == "breaker_open")
        client.config_set("maxmemory", "0")

        assert eventually(lambda: caller.brew("after") is None)


def test_a_message_that_is_wrong_itself_opens_nothing(private_redis):
    """It is refused as often as it is sent, and others go through."""
    with caller_of(private_redis.url) as caller:
        for _ in range(10):
            wrong = caller.call("blue", options=CallOptions(celery={"exchange": "nowhere", "routing_key": "nowhere"}))
            assert "refused" == caller.send(wrong).why

        assert caller.brew("blue") is None


def test_a_closed_publisher_ends_at_once_with_its_breaker_open(closed_port):
    """Its thread does not sleep through the pause."""
    with caller_of(f"redis://127.0.0.1:{closed_port}/0", open_for="1h", max_open="1h") as caller:
        eventually(lambda: caller.brew("blue").why == "breaker_open")
        thread = caller.thread
        started = time.monotonic()
        caller.close(30.0)

        assert not thread.is_alive()
        assert time.monotonic() - started < 20
