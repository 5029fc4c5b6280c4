"""How a broker holds back what is not due yet.

Redis and others: Celery's workers hold it. RabbitMQ with quorum queues: Celery's native delayed delivery, a row of
queues for powers of two seconds that a message passes through (`kombu.transport.native_delayed_delivery`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from celery import Celery
from kombu.transport import native_delayed_delivery as native

from dispatch.transports.celery._broker_kind import messaging_system

_declare: Callable[..., None] = native.declare_native_delayed_delivery_exchanges_and_queues
_bind: Callable[..., None] = native.bind_queue_to_native_delayed_delivery_exchange

_LEVELS = "celery_delayed_"
_ENTRANCE = f"{_LEVELS}{native.MAX_LEVEL}"


def countdown(app: Celery, delay_ns: int) -> float:
    """Celery's `countdown`, in seconds, for a delay: never shorter.

    On RabbitMQ in whole seconds, for its delay queues count in nothing else, and Celery raises at a fraction of one.
    """
    seconds = max(0, delay_ns) / 1e9
    return ceil(seconds) if messaging_system(app) == "rabbitmq" else seconds


def make_ready(connection: Any, app: Celery, queue: str) -> None:
    """Have Celery's delay queues on the broker, and a way from them to `queue`, if that is where its delays are kept.

    A worker does so as it starts, and a message may be earlier than the first worker. `queue` is described by the
    app and exists. Twice is once. Raises what the broker raises.
    """
    if messaging_system(app) != "rabbitmq":
        return
    described = app.amqp.queues[queue]
    if not _is_native(described):
        return
    with connection.channel() as channel:
        there = _exists(connection, channel)
    if not there:
        _declare(connection, app.conf.broker_native_delayed_delivery_queue_type)
    _bind(connection, described)


def queue_of(app: Celery, delivery: Mapping[str, Any]) -> str | None:
    """The name of the queue that a message was delivered from; `None` for one that the app does not describe.

    A message that was delayed comes with the name of a delay queue's exchange, and its own key behind 28 digits.
    """
    exchange, key = delivery.get("exchange") or "", delivery.get("routing_key") or ""
    if not exchange:
        return key or None
    delayed = exchange.startswith(_LEVELS)
    if delayed:
        key = key.split(".", native.MAX_NUMBER_OF_BITS_TO_USE)[-1]
    for name, queue in app.amqp.queues.items():
        if queue.routing_key == key and (delayed or queue.exchange.name == exchange):
            return str(name)
    return None


def _is_native(queue: Any) -> bool:
    quorum = (queue.queue_arguments or {}).get("x-queue-type") == "quorum"
    return quorum and queue.exchange.type != "direct"


def _exists(connection: Any, channel: Any) -> bool:
    try:
        channel.exchange_declare(_ENTRANCE, "topic", passive=True)
    except connection.channel_errors:
        return False
    return True
