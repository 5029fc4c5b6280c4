"""Which broker an app uses, and where that is, by its address."""

from __future__ import annotations

import pytest
from celery import Celery

from dispatch.telemetry.messages import Server
from dispatch.transports.celery._broker_kind import messaging_system, routing_key_of, server_of


@pytest.mark.parametrize(
    ("address", "system", "server"),
    [
        ("redis://:pass%40word@cache.local:6380/3", "redis", Server("cache.local", 6380)),
        ("redis://cache.local", "redis", Server("cache.local", 6379)),
        ("rediss://cache.local/0", "redis", Server("cache.local", 6379)),
        ("redis+socket:///run/redis.sock", "redis", Server("/run/redis.sock")),
        ("sentinel://one:26379;sentinel://two:26379", "redis", Server("one", 26379)),
        ("amqp://guest:secret@rabbit:5673//", "rabbitmq", Server("rabbit", 5673)),
        ("amqps://rabbit", "rabbitmq", Server("rabbit", 5671)),
        ("amqp://", "rabbitmq", Server("localhost", 5672)),
        (["pyamqp://a//", "pyamqp://b//"], "rabbitmq", Server("a", 5672)),
        ("amqp://[::1]:5672//", "rabbitmq", Server("::1", 5672)),
        ("sqs://key:secret@", "sqs", None),
        ("memory://", "memory", None),
        ("redis://host:not-a-port/0", "redis", None),
    ],
)
def test_the_address_says_which_broker_and_where_and_never_who_asks(address, system, server, leaving):
    """Users and passwords are no part of it."""
    app = leaving(Celery("kind", broker=address, set_as_current=False))

    assert (system, server) == (messaging_system(app), server_of(app))
    assert "secret" not in repr(server)


def test_a_queue_has_its_routing_key_where_the_app_describes_it(leaving):
    """Its name, unless the application says otherwise."""
    app = leaving(Celery("kind", broker="memory://", set_as_current=False))

    assert app.conf.task_default_queue == routing_key_of(app, app.conf.task_default_queue)
