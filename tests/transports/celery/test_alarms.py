"""A broker that answers, and is short of memory, evicts, or cannot write, is passed over before a call fails there."""

from __future__ import annotations

import logging

import pytest
import redis

from callers import calling
from dispatch.transports.celery.publishing import _publisher, _redis_line
from dispatch.transports.celery.publishing._alarm import Alarm
from servers.patience import eventually

MIB = 1 << 20
FULL = {"maxmemory": "100", "maxmemory_policy": "noeviction"}


@pytest.fixture(autouse=True)
def _looks_at_each_call(monkeypatch):
    """And not only every two seconds."""
    monkeypatch.setattr(_redis_line, "_LOOK", 0.0)
    monkeypatch.setattr(_redis_line, "_LOOK_AGAIN", 0.0)
    monkeypatch.setattr(_publisher, "_ATTEND", 0.0)


@pytest.fixture
def client(private_redis):
    with redis.Redis(port=private_redis.port) as client:
        yield client


def fill(client, amount):
    """Have it use so many bytes, in pieces that leave its buffers small."""
    number = 0
    while client.info("memory")["used_memory"] < amount:
        number += 1
        client.set(f"ballast:{number}", b"x" * (MIB // 8))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (FULL | {"used_memory": "94"}, None),
        (FULL | {"used_memory": "95"}, "Redis has used 95 % of its maxmemory of 100 B"),
        (FULL | {"used_memory": "99", "mem_not_counted_for_evict": "10"}, None),
        (FULL | {"used_memory": "99", "maxmemory_policy": "volatile-lru"}, None),
        ({"maxmemory": "0", "used_memory": "99", "maxmemory_policy": "noeviction"}, None),
        ({"loading": "1"}, "loading"),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, "append-only file"),
        ({"aof_enabled": "0", "aof_last_write_status": "err"}, None),
        ({"rdb_last_bgsave_status": "err", "stop-writes-on-bgsave-error": "yes"}, "save its data"),
        ({"rdb_last_bgsave_status": "err", "stop-writes-on-bgsave-error": "no"}, None),
        ({"role": "slave", "slave_read_only": "1"}, "replica"),
        ({"role": "slave", "slave_read_only": "0"}, None),
        ({}, None),
    ],
    ids=[
        "below", "near-full", "not-counted", "makes-room", "no-limit", "loading", "aof", "no-aof", "rdb", "rdb-ignored",
        "replica", "writable-replica", "silent",
    ],
)  # fmt: skip
def test_what_redis_says_of_itself_is_an_alarm_or_none(facts, said):
    found = Alarm().read(facts)

    assert (said is None) is (found is None)
    assert (said or "") in (found or "")


def test_the_alarm_of_memory_holds_until_there_is_room_to_speak_of():
    alarm = Alarm()
    found = [alarm.read(FULL | {"used_memory": str(used)}) is not None for used in (94, 95, 91, 89, 94)]

    assert [False, True, True, False, False] == found


def test_evictions_are_an_alarm_while_their_number_grows():
    """What was evicted before we came is no news."""
    alarm = Alarm()
    found = [alarm.read({"evicted_keys": str(count)}) is not None for count in (5, 5, 7, 8, 8)]

    assert [False, False, True, True, False] == found


def test_a_redis_that_is_nearly_full_is_passed_over_before_it_refuses_and_comes_back_by_itself(
    private_redis, client, caplog
):
    caplog.set_level(logging.INFO)
    with calling(private_redis.url, queue="tea") as caller:
        assert caller.brew("before") is None
        limit = client.info("memory")["used_memory"] + 20 * MIB
        client.config_set("maxmemory", limit)
        fill(client, 0.965 * limit)
        assert caller.brew("seen by the look that follows it") is None
        passed = eventually(lambda: caller.destination.unfit("ephemeral"))
        alarm = caller.destination.statistics().alarm
        late = caller.brew("late")

        assert ("refused", True) == (passed.why, "of its maxmemory" in passed.detail)
        assert "of its maxmemory" in alarm
        assert ("refused", True) == (late.why, "of its maxmemory" in late.detail)
        client.flushdb()
        eventually(lambda: caller.destination.unfit("ephemeral") is None)
        assert caller.brew("after") is None
        assert caller.destination.statistics().alarm is None
        assert caller.destination.statistics().breaker == "closed"
        assert [1, 1] == [
            sum(sentence in record.getMessage() for record in caplog.records)
            for sentence in ("takes nothing for a while", "takes messages again")
        ]


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [("appendonly", "no", "yes"), ("maxmemory-policy", "allkeys-lru", "noeviction")],
    ids=["file", "eviction"],
)
def test_a_promise_that_is_taken_back_while_connected_is_noticed(private_redis, client, name, worse, better):
    """Over the same connection: nothing but the setting has changed."""
    with calling(private_redis.url, queue="tea") as caller:
        assert caller.brew("before", durability="durable") is None
        client.config_set(name, worse)
        assert caller.brew("any call") is None
        eventually(lambda: caller.destination.unfit("durable"))

        assert caller.brew("after", durability="durable").why == "not_durable"
        assert caller.destination.unfit("ephemeral") is None
        client.config_set(name, better)
        assert caller.brew("any call") is None
        eventually(lambda: caller.destination.unfit("durable") is None)


def test_a_redis_that_evicts_is_passed_over_while_it_does(private_redis, client):
    with calling(private_redis.url, queue="tea") as caller:
        assert caller.brew("before") is None
        assert caller.brew("counted") is None
        client.config_set("maxmemory-policy", "volatile-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 20 * MIB)
        for number in range(32):
            client.set(f"cache:{number}", b"x" * MIB, ex=1000)
        assert caller.brew("seen by the look that follows it") is None

        assert "has evicted" in eventually(lambda: caller.broker.found.publisher._crew_.courier.alarm)
        eventually(lambda: caller.destination.unfit("ephemeral") is None)
        assert caller.brew("after") is None
