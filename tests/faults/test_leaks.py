"""What many outages and recoveries leave behind: no thread, no open file, no connection, no subscription."""

from __future__ import annotations

import gc
import threading

import psutil
import pytest
import redis

from callers import QUORUM, calling
from dispatch.transports.celery.results import _reader
from servers.patience import eventually
from servers.proxy import Proxy


@pytest.fixture
def wire(private_redis):
    with Proxy(private_redis.port) as proxy:
        yield proxy


@pytest.fixture
def client(private_redis):
    with redis.Redis(port=private_redis.port) as client:
        yield client


@pytest.fixture
def outages(rounds):
    return rounds(50, 1000)


def through(wire, **terms):
    return calling(f"redis://127.0.0.1:{wire.port}/0", queue="tea", **terms)


def possessions():
    gc.collect()
    return threading.active_count(), psutil.Process().num_fds()


def survive(caller, outage, recovery, times):
    """So many outages, and the threads and files that were open before and after them."""
    eventually(lambda: caller.brew("warm") is None)
    before = possessions()
    for _ in range(times):
        outage()
        assert caller.brew("lost") is not None
        recovery()
        eventually(lambda: caller.brew("found") is None)
    return before, possessions()


def none_more(before, after):
    """What other tests have left behind may end meanwhile."""
    return all(now <= then for then, now in zip(before, after, strict=True))


@pytest.mark.timeout(600)
def test_outages_of_redis_leave_no_thread_and_no_file_open(wire, client, outages):
    """Each is met with a new connection; the old ones are gone, here and at the server."""
    with through(wire, publish_deadline="500ms") as caller:
        assert caller.brew("warm") is None
        connected = len(client.client_list())
        before, after = survive(caller, wire.cut, wire.restore, outages)

        assert none_more(before, after)
        eventually(lambda: len(client.client_list()) == connected)


@pytest.mark.timeout(600)
def test_silences_of_redis_leave_no_thread_and_no_file_open(wire, outages):
    """Here the connection does not end by itself; it is let go."""
    silences = []

    def fall_silent():
        silences.append(wire.mute())
        silences[-1].__enter__()

    with through(wire, publish_deadline="20ms", durability="asserted") as caller:
        before, after = survive(caller, fall_silent, lambda: silences.pop().__exit__(None, None, None), outages)

    # The proxy holds ends of its own, of connections that were given up while it was mute.
    assert none_more(before, (after[0], after[1] - 10))


@pytest.mark.timeout(600)
@pytest.mark.rabbitmq
def test_outages_of_rabbitmq_leave_no_thread_and_no_file_open(rabbitmq_server, queue_name, outages):
    """The same over AMQP, whose good-byes to a dead server would hang."""
    with Proxy(rabbitmq_server.port) as wire:
        url = rabbitmq_server.url.replace(f":{rabbitmq_server.port}/", f":{wire.port}/")
        with calling(url, conf=QUORUM, queue=queue_name, publish_deadline="1s") as caller:
            before, after = survive(caller, wire.cut, wire.restore, outages)

    assert none_more(before, after)


@pytest.mark.timeout(600)
def test_outages_while_somebody_waits_leave_one_subscription(wire, client, open_shop, outages, monkeypatch):
    """The one that is needed; and none when nobody waits any more."""
    monkeypatch.setattr(_reader, "_LONGEST_PAUSE", 0.02)
    shop = open_shop(f"redis://127.0.0.1:{wire.port}/0")
    call = shop.task("answer").delay(1)._call

    def listening():
        return sum(number for _, number in client.pubsub_numsub(*client.pubsub_channels()))

    call.source.watch(call)
    eventually(lambda: listening() == 1)
    before, connected = possessions(), len(client.client_list(_type="pubsub"))
    for _ in range(outages):
        wire.cut()
        eventually(lambda: listening() == 0)
        wire.restore()
        eventually(lambda: listening() == 1)
    # Connections that nobody needs any more need not be there again.
    eventually(lambda: possessions() <= before)

    assert connected == len(client.client_list(_type="pubsub"))
    call.source.unwatch(call)
    eventually(lambda: listening() == 0)
