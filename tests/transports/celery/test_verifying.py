"""Verified means asked and true: what a broker must say of itself before it gets a durable call."""

from __future__ import annotations

import logging

import pytest
import redis
from kombu import Connection

from callers import QUORUM, calling, waiting
from dispatch._call import CallOptions
from dispatch.embedded import Server
from dispatch.transports.celery.publishing import _publisher
from dispatch.transports.celery.publishing._proof import KEPT, of_redis
from servers.patience import eventually

SAFE = {"aof_enabled": "1", "aof_last_write_status": "ok", "maxmemory_policy": "noeviction"}


@pytest.fixture(scope="module")
def forgetful_redis():
    """A Redis without an append-only file."""
    with Server(persist=False) as server:
        yield server


# Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_a_redis_that_writes_its_file_and_evicts_no_queue_is_verified(policy):
    """Queues have no expiry, so the volatile policies leave them alone."""
    assert of_redis(SAFE | {"maxmemory_policy": policy}).kept


@pytest.mark.parametrize(
    ("lacking", "cure"),
    [
        ({"aof_enabled": "0"}, "appendonly yes"),
        ({"aof_last_write_status": "err"}, "disk"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction"),
        ({"maxmemory_policy": ""}, "noeviction"),
    ],
)
def test_what_a_redis_lacks_is_named_with_its_cure(lacking, cure):
    """`aof_last_write_status` reads ok while there is no file at all, so the file is asked for first."""
    proof = of_redis(SAFE | lacking)

    assert not proof.kept
    assert cure in proof.cure
    assert "asserted" in proof.cure


@pytest.mark.parametrize(
    ("said", "need", "why"),
    [
        ({}, "kept", None),
        ({"appendfsync": "everysec"}, "kept", None),
        ({"appendfsync": "everysec"}, "synced", "answers before it has synced"),
        ({"appendfsync": "no"}, "synced", "appendfsync no"),
        ({}, "synced", "CONFIG GET is not allowed"),
        ({"appendfsync": "always"}, "synced", None),
    ],
)
def test_the_loss_of_power_is_asked_about_where_it_matters(said, need, why):
    """A server that does not say when it syncs is not believed to."""
    missing = of_redis(SAFE | said).missing(need)

    assert why is None if missing is None else why in missing
    assert (missing is None) == (why is None)


def test_with_require_fsync_a_redis_has_to_sync_each_write(private_redis):
    """The cure is in the refusal; once it is done, the broker is asked again with its next connection."""
    with (
        calling(private_redis.url, queue="tea", require="fsync") as caller,
        redis.Redis(port=private_redis.port) as client,
    ):
        client.config_set("appendfsync", "everysec")
        passed = caller.brew("blue", durability="durable")
        assert ("not_durable", True) == (passed.why, "appendfsync always" in passed.detail)
        assert caller.brew("blue") is None

        client.config_set("appendfsync", "always")
        client.client_kill_filter(_type="normal", skipme=True)
        assert eventually(lambda: caller.brew("green", durability="durable") is None)


def test_a_verified_broker_takes_durable_calls(redis_url):
    """The first durable call waits for the question, which belongs to opening the connection."""
    with calling(redis_url) as caller:
        assert caller.brew("blue", durability="durable") is None
        assert caller.destination.unfit("durable") is None


def test_a_broker_that_forgets_takes_ephemeral_calls_only(forgetful_redis, caplog):
    """The log says so once, with the cure; the first durable call is passed over, and later ones are not even tried."""
    with calling(forgetful_redis.url) as caller, caplog.at_level(logging.WARNING, "dispatch"):
        assert "not_durable" == caller.brew("first", durability="durable").why
        assert "not_durable" == caller.brew("second", durability="durable").why
        passed = caller.destination.unfit("durable")

        assert ("not_durable", True) == (passed.why, "appendonly yes" in passed.detail)
        assert caller.destination.unfit("ephemeral") is None
        assert caller.brew("third") is None
        assert 1 == waiting(caller.url, caller.queue)
        assert 1 == sum("appendonly yes" in record.getMessage() for record in caplog.records)


def test_asserted_is_the_operators_word(forgetful_redis):
    """Nothing is asked of the broker then."""
    with calling(forgetful_redis.url, queue="asserted", durability="asserted") as caller:
        assert caller.destination.unfit("durable") is None
        assert caller.brew("blue", durability="durable") is None


def test_a_broker_that_may_not_be_asked_is_not_verified(private_redis):
    """INFO is often all that an operator leaves to a client; without it there is only the operator's word."""
    with redis.Redis(port=private_redis.port) as client:
        client.acl_setuser("guest", enabled=True, passwords=["+guest"], keys=["*"], commands=["+@all", "-info"])
    url = private_redis.url.replace("redis://", "redis://guest:guest@")

    with calling(url) as caller:
        passed = caller.brew("blue", durability="durable")
        assert ("not_durable", True) == (passed.why, "info" in passed.detail.lower())
        assert caller.brew("green") is None


def test_a_broker_is_asked_again_when_the_connection_is_new(private_redis):
    """It came back without its file: what it said before counts no more."""
    with calling(private_redis.url) as caller:
        assert caller.brew("before", durability="durable") is None
        private_redis.stop()
        with Server(persist=False, port=private_redis.port):
            assert "not_durable" == caller.brew("after", durability="durable").why


def test_a_broker_that_was_found_wanting_is_asked_again_now_and_then(private_redis, monkeypatch):
    """Who has turned the file on need not restart every program."""
    monkeypatch.setattr(_publisher, "_RECONSIDER", 0.0)
    with calling(private_redis.url) as caller, redis.Redis(port=private_redis.port) as client:
        client.config_set("appendonly", "no")
        assert "not_durable" == caller.brew("blue", durability="durable").why
        client.config_set("appendonly", "yes")

        eventually(lambda: caller.destination.unfit("durable") is None)
        assert caller.brew("blue", durability="durable") is None


def test_a_queue_that_the_app_may_not_make_is_not_verified(redis_url):
    """And a message for it is refused, without harm to any other queue."""
    with calling(redis_url, conf={"task_create_missing_queues": False}) as caller:
        elsewhere = CallOptions(celery={"queue": "elsewhere"})
        assert "not_durable" == caller.brew("blue", durability="durable", options=elsewhere).why
        assert "refused" == caller.brew("blue", options=elsewhere).why
        assert caller.brew("green", durability="durable") is None


def test_a_durable_call_that_names_an_exchange_is_not_sent(redis_url):
    """Which queues are behind it, and what they keep, cannot be asked."""
    with calling(redis_url) as caller:
        options = CallOptions(celery={"exchange": "celery", "routing_key": "celery"})
        assert "not_durable" == caller.brew("blue", durability="durable", options=options).why


def test_other_brokers_cannot_be_asked():
    """Calls reach them, and durable ones only on the operator's word."""
    with calling("memory://", queue="tea") as caller:
        assert "not_durable" == caller.brew("blue", durability="durable").why
        assert caller.brew("green") is None
    with calling("memory://", queue="tea", durability="asserted") as caller:
        assert caller.brew("blue", durability="durable") is None


# RabbitMQ --------------------------------------------------------------------------------------------------------


def delete(url, queue):
    with Connection(url) as connection, connection.channel() as channel:
        channel.queue_delete(queue)


@pytest.mark.rabbitmq
def test_a_quorum_queue_that_the_server_agrees_to_is_verified(rabbitmq_url, queue_name):
    """Declared as the app describes it, before the first message."""
    with calling(rabbitmq_url, conf=QUORUM, queue=queue_name) as caller:
        caller.broker.warm()
        assert eventually(lambda: caller.publisher.proof(queue_name, "kept")) is KEPT
        assert caller.brew("blue", durability="durable") is None
    delete(rabbitmq_url, queue_name)


@pytest.mark.rabbitmq
def test_a_classic_queue_is_not(rabbitmq_url, queue_name):
    """It keeps what was confirmed on one machine alone; the cure is in the answer."""
    with calling(rabbitmq_url, queue=queue_name) as caller:
        passed = caller.brew("blue", durability="durable")
        assert ("not_durable", True) == (passed.why, "quorum" in passed.detail)
        assert caller.brew("green") is None
    delete(rabbitmq_url, queue_name)


@pytest.mark.rabbitmq
def test_a_queue_that_is_not_as_described_is_not_verified_and_takes_ephemeral_calls(rabbitmq_url, queue_name):
    """The server has it as a classic queue: it is used as it is, and for durable calls not at all."""
    with Connection(rabbitmq_url) as connection, connection.channel() as channel:
        channel.queue_declare(queue_name, durable=True, auto_delete=False)
    conf = {"task_create_missing_queue_type": "quorum"}

    with calling(rabbitmq_url, conf=conf, queue=queue_name) as caller:
        passed = caller.brew("blue", durability="durable")
        assert ("not_durable", True) == (passed.why, "not as the Celery app describes it" in passed.detail)
        assert caller.brew("green") is None
        assert 1 == waiting(rabbitmq_url, queue_name)
    delete(rabbitmq_url, queue_name)
