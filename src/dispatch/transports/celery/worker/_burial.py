"""On RabbitMQ: a durable call that will not be run again becomes a dead letter, before its message is acknowledged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.app.task import X_DEATH_HEADERS
from kombu import messaging

from dispatch._requirements import Durability
from dispatch.errors import DeadLettered
from dispatch.transports.celery._broker_kind import messaging_system
from dispatch.transports.celery._dead_queue import DEAD, FACTS, declare
from dispatch.transports.celery._delays import queue_of
from dispatch.transports.celery.publishing import MAX_DELIVERIES_HEADER, connection, let_go

COUNT = "x-delivery-count"
"""RabbitMQ's header, on quorum queues: how often the message was delivered before. The first time it is not there."""

OF_ONE_DELIVERY = frozenset({COUNT, *X_DEATH_HEADERS})
"""RabbitMQ's headers that say something about one message, and nothing about the next one."""

_MAX_DELIVERIES = 5
"""For calls that came without our header: from canvas, beat or `send_task`, or where the policy does not say."""

_SECONDS = 10.0
"""Bounds each wait for the broker."""

_Producer: Any = messaging.Producer  # its methods carry no types

_ERROR, _TRACEBACK = 1_000, 16_000
"""Characters at most. All headers of a message must fit into one frame, 128 KiB by default."""


def is_buried_here(app: Celery, durability: Durability) -> bool:
    """Whether a call's dead letter is the worker's affair: on Redis it is the ledger's."""
    return durability == "durable" and messaging_system(app) == "rabbitmq"


def deliveries(headers: Mapping[str, Any]) -> int:
    """Of this attempt, this one included. Deliveries that were lost with their connection count too."""
    return int(headers.get(COUNT) or 0) + 1


def max_deliveries(headers: Mapping[str, Any]) -> int:
    """How many the call may have."""
    said = headers.get(MAX_DELIVERIES_HEADER)
    return said if type(said) is int and said > 0 else _MAX_DELIVERIES


def worn_out(task: str, call_id: str) -> DeadLettered:
    """The outcome of a call that was delivered once more than it may be."""
    return DeadLettered(
        f"{task} was delivered as often as its max_deliveries allows, and never came to its end: it may be what kills "
        f"its workers. It is a dead letter now: dispatch dead show {call_id}"
    )


def bury(app: Celery, message: Any, reason: str, error: str, traceback: str = "") -> None:
    """Put the call of this message, as it came from kombu, into the dead letters, whole.

    Once this returns, RabbitMQ has confirmed that it keeps the letter. Raises what the network raises; then the
    letter may be there or not.
    """
    # kombu has unpacked the body already.
    headers = {key: value for key, value in message.headers.items() if key not in {*OF_ONE_DELIVERY, "compression"}}
    headers[FACTS] = {
        "reason": reason,
        "error": error[:_ERROR],
        "traceback": traceback[-_TRACEBACK:],
        "attempts": int(headers.get("retries") or 0) + 1,
        "deliveries": deliveries(message.headers),
        "queue": queue_of(app, message.delivery_info) or message.delivery_info["routing_key"],
        "at_ms": time.time_ns() // 10**6,
    }
    # On a connection of its own, which waits for the broker's word; the worker's does not.
    line = connection(app, _SECONDS, confirm_publish=True, read_timeout=_SECONDS, write_timeout=_SECONDS)
    try:
        channel = line.default_channel
        declare(channel)
        _Producer(channel, auto_declare=False).publish(
            message.body,
            exchange="",
            routing_key=DEAD,
            mandatory=True,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=headers,
            correlation_id=message.properties.get("correlation_id"),
            priority=message.properties.get("priority"),
        )
    finally:
        let_go(line)
