"""Brokers that answer and say no, and wires that are slow, mute or cut."""

from __future__ import annotations

import threading

import pytest
import redis

from callers import calling, ids, waiting
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

    def accepted():
        return list(told.values()).count(None)

    with through(wire) as caller:
        assert caller.brew("warm") is None
        threads = [threading.Thread(target=publish, args=(caller,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                before = accepted()
                eventually(lambda before=before: accepted() > before + 20)
                wire.cut()
                wire.restore()
        finally:
            done.set()
            for thread in threads:
                thread.join()

    found = ids(private_redis.url, "tea")
    taken, refused = ({each for each, said in told.items() if said == why} for why in (None, "refused"))
    assert len(found) == len(set(found))
    assert taken <= set(found)
    assert not refused & set(found)
