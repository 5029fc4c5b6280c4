"""Brokers that answer and say no, wires that are cut, and what fifty outages leave behind: nothing."""

from __future__ import annotations

import gc
import threading

import psutil
import pytest
import redis

from callers import QUORUM, calling, ids, waiting
from servers.patience import eventually
from servers.proxy import Proxy


@pytest.fixture
def client(private_redis):
    with redis.Redis(port=private_redis.port) as client:
        yield client


# A broker that says no -------------------------------------------------------------------------------------------


def test_a_redis_out_of_memory_refuses_and_takes_calls_again_when_it_has_some(private_redis, client):
    """The connection is good all the while."""
    with calling(private_redis.url) as caller:
        assert caller.brew("before") is None
        client.config_set("maxmemory", "1mb")
        passed = caller.brew("x" * 100_000)
        assert ("refused", True) == (passed.why, "OutOfMemory" in passed.detail)
        client.config_set("maxmemory", "0")
        assert caller.brew("after") is None
        assert 2 == waiting(caller.url, caller.queue)


def test_of_a_pipeline_each_call_learns_its_own_outcome(private_redis, client):
    """One command of several failed: kombu would call them all uncertain."""
    with calling(private_redis.url) as caller:
        assert caller.brew("warm") is None
        client.set("spoiled", "no list")
        begun = [caller.begin(caller.call(n, options=None if n % 2 else to("spoiled"))) for n in range(6)]
        whys = [passed and passed.why for passed in (caller.end(*each) for each in begun)]

        assert ["refused", None, "refused", None, "refused", None] == whys
        assert 4 == waiting(caller.url, caller.queue)


def test_plain_calls_in_one_pipeline_learn_their_own_outcomes(private_redis, client, monkeypatch):
    """Memory runs out between two of them."""
    with calling(private_redis.url) as caller:
        assert caller.brew("warm") is None
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 300_000)
        begun = [caller.begin(caller.call("x" * 50_000)) for _ in range(20)]
        answers = [caller.end(*each) for each in begun]

        accepted = [each for each in answers if each is None]
        assert {"refused"} == {each.why for each in answers if each is not None}
        assert 0 < len(accepted) < 20
        assert 1 + len(accepted) == waiting(caller.url, caller.queue)


def test_a_replica_refuses(private_redis, client, closed_port):
    """Read-only answers are refusals."""
    with calling(private_redis.url) as caller:
        assert caller.brew("before") is None
        client.replicaof("127.0.0.1", closed_port)
        passed = caller.brew("blue")
        client.replicaof("NO", "ONE")

        assert ("refused", True) == (passed.why, "ReadOnly" in passed.detail)
        assert caller.brew("after") is None


def to(queue):
    from dispatch._call import CallOptions

    return CallOptions(celery={"queue": queue})


# A bad wire ------------------------------------------------------------------------------------------------------


def through(proxy, database=0):
    return calling(f"redis://127.0.0.1:{proxy.port}/{database}", queue="tea", publish_deadline="500ms")


@pytest.fixture
def wire(private_redis):
    with Proxy(private_redis.port) as proxy:
        yield proxy


def test_a_slow_wire_is_not_a_broken_one(wire, private_redis):
    """An answer within the deadline is an answer."""
    with through(wire) as caller:
        assert caller.brew("before") is None
        wire.delay = 0.05
        assert caller.brew("slow") is None
        assert 2 == waiting(private_redis.url, "tea")


def test_a_call_that_was_sent_into_silence_is_unknown_and_its_publisher_recovers(wire, private_redis):
    """The message arrives when the wire speaks again, and so does the next call's."""
    with through(wire) as caller:
        assert caller.brew("before") is None
        with wire.mute():
            assert "unknown" == caller.brew("into silence").why
            assert "refused" == caller.brew("not even sent").why
        eventually(lambda: caller.brew("after") is None)
        assert 3 == eventually(lambda: (found := waiting(private_redis.url, "tea")) > 2 and found)


def test_a_wire_cut_while_many_publish_is_answered_for_truthfully(wire, private_redis):
    """Cut and restored ten times under sixteen threads: each accepted call is there once, no refused one is."""
    told = {}
    done = threading.Event()

    def publish(caller):
        while not done.is_set():
            call = caller.call("blue")
            passed = caller.send(call)
            told[call.id] = passed and passed.why

    with through(wire) as caller:
        assert caller.brew("warm") is None
        threads = [threading.Thread(target=publish, args=(caller,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            before = sum(why is None for why in told.values())
            eventually(lambda before=before: sum(why is None for why in list(told.values())) > before + 20)
            wire.cut()
            wire.restore()
        done.set()
        for thread in threads:
            thread.join()

    found = ids(private_redis.url, "tea")
    accepted, refused = ({each for each, said in told.items() if said == why} for why in (None, "refused"))
    assert len(found) == len(set(found))
    assert accepted <= set(found)
    assert not refused & set(found)


# Nothing is left -------------------------------------------------------------------------------------------------


def survive(caller, outage, recovery, times):
    """So many outages, and the threads and files that were open before and after them."""
    assert caller.brew("warm") is None
    gc.collect()
    process = psutil.Process()
    before = (threading.active_count(), process.num_fds())
    for _ in range(times):
        outage()
        assert caller.brew("lost") is not None
        recovery()
        eventually(lambda: caller.brew("found") is None)
    gc.collect()
    return before, (threading.active_count(), process.num_fds())


def test_fifty_outages_of_redis_leave_no_thread_and_no_file_open(wire):
    """Each is met with a new connection; the old ones are gone."""
    with through(wire) as caller:
        before, after = survive(caller, wire.cut, wire.restore, 50)

    assert before == after


def test_fifty_silences_of_redis_leave_no_thread_and_no_file_open(wire):
    """Here the connection does not end by itself; it is let go."""
    silences = []

    def fall_silent():
        silences.append(wire.mute())
        silences[-1].__enter__()

    url = f"redis://127.0.0.1:{wire.port}/0"
    with calling(url, queue="tea", publish_deadline="20ms", durability="asserted") as caller:
        before, after = survive(caller, fall_silent, lambda: silences.pop().__exit__(None, None, None), 50)

    # The proxy holds ends of its own, of connections that were given up while it was mute.
    assert before[0] == after[0]
    assert after[1] - before[1] < 10


@pytest.mark.rabbitmq
def test_fifty_outages_of_rabbitmq_leave_no_thread_and_no_file_open(rabbitmq_server, queue_name):
    """The same over AMQP, whose good-byes to a dead server would hang."""
    with Proxy(rabbitmq_server.port) as wire:
        url = rabbitmq_server.url.replace(f":{rabbitmq_server.port}/", f":{wire.port}/")
        with calling(url, conf=QUORUM, queue=queue_name, publish_deadline="1s") as caller:
            before, after = survive(caller, wire.cut, wire.restore, 50)

    assert before == after
