"""A ledger over connections of its own to an app's Redis."""

from __future__ import annotations

import redis
from celery import Celery

from dispatch.transports.celery._broker_kind import messaging_system
from dispatch.transports.celery.ledger import Ledger
from dispatch.transports.celery.publishing import NEVER_TWICE, connection, let_go

_SECONDS = 5.0
"""Bounds each wait for the server, and for a connection while others use them all."""

_CONNECTIONS = 8
"""At most, in one process; a thread needs one for the length of one round trip."""


def keeps_ledger(app: Celery) -> bool:
    """Whether the app's broker is one that needs a ledger to be trusted, and can hold it."""
    return messaging_system(app) == "redis"


def connect(app: Celery) -> Ledger:
    """The ledger on the app's broker, with the app's own settings for reaching it. Raises what the network raises."""
    bounds = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
    made = connection(app, _SECONDS, **bounds, **NEVER_TWICE)
    try:
        channel = made.default_channel
        prefix: str = channel.global_keyprefix
        pool: redis.ConnectionPool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            max_connections=_CONNECTIONS,
            timeout=_SECONDS,
            connection_class=channel.pool.connection_class,
            **channel.pool.connection_kwargs,
        )
    finally:
        let_go(made)
    return Ledger(redis.Redis.from_pool(pool), prefix=prefix)
