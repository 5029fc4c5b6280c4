"""What a RabbitMQ says of itself to whoever connects."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch._finding import Fact, Seen, warning
from dispatch.transports.celery.doctor._reach import Reach
from dispatch.transports.celery.doctor._subject import Subject

_OLDEST = (3, 10)
"""The first whose quorum queues can move dead letters at least once."""


def rabbitmq_server(subject: Subject, reached: Reach) -> Iterator[Seen]:
    about = f"broker, {subject.broker}"
    said = str(reached.connection.connection.server_properties.get("version", ""))
    parts = tuple(int(part) for part in said.split(".")[:2] if part.isdigit())
    if parts and parts < _OLDEST:
        yield warning(
            "old-server",
            about,
            f"it is RabbitMQ {said}",
            "Use 3.10 or newer: older quorum queues may lose what they move to the dead letters.",
        )
    else:
        yield Fact(about, f"RabbitMQ {said}")
