"""Whether RabbitMQ takes messages: it says so to whoever publishes, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

from dispatch._finding import Seen, error
from dispatch.transports.celery.doctor._subject import Subject
from dispatch.transports.celery.publishing import connection, let_go

_LISTEN = 0.5
"""Seconds. It answers to the first message, from the same machine within some milliseconds."""


def alarm(subject: Subject) -> Iterator[Seen]:
    """Asked over a connection of its own, for one that is blocked answers nothing else either."""
    heard: list[str] = []
    bounds: dict[str, Any] = {"read_timeout": subject.seconds, "write_timeout": subject.seconds}
    made = connection(subject.app, subject.seconds, on_blocked=lambda why: heard.append(str(why)), **bounds)
    try:
        # To a queue that nobody has: it is thrown away.
        made.Producer(made.default_channel).publish({}, exchange="", routing_key=f"dispatch.{uuid4()}", retry=False)
        with suppress(TimeoutError):
            while not heard:
                made.drain_events(timeout=min(_LISTEN, subject.seconds))
    finally:
        made.connection.transport.close()  # without good-byes: it would not hear them
        let_go(made)
    if heard:
        yield error(
            "resource-alarm",
            f"broker, {subject.broker}",
            f"RabbitMQ takes no messages: {heard[0]}",
            "It is short of memory or disk: start workers, make room, or raise its marks.",
            "rabbitmqctl status   # which alarm",
            "rabbitmqctl set_vm_memory_high_watermark 0.6",
        )
