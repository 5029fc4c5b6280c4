"""Where RabbitMQ keeps dead letters: a queue of our own, and the exchange through which the server fills it."""

from __future__ import annotations

from typing import Any

from kombu import entity

DEAD = "dispatch.dead"
"""The name of both."""

FACTS = "dispatch-dead"
"""The header, a table, in which a letter of ours says what is known. What RabbitMQ put there itself has `x-death`."""

_NEVER = (1 << 31) - 1
"""RabbitMQ 4 has a limit where none is said, and looking at letters counts as delivering them."""

_entity: Any = entity  # its classes carry no types
_dead = _entity.Queue(
    DEAD,
    _entity.Exchange(DEAD, "fanout"),
    queue_arguments={
        "x-queue-type": "quorum",
        "x-max-length": 10_000,
        "x-max-length-bytes": 256 << 20,
        "x-overflow": "drop-head",  # the oldest make room
        "x-delivery-limit": _NEVER,
    },
)


def declare(channel: Any) -> None:
    """See that both are there, on a channel of kombu's. Twice is once. Raises what the network raises."""
    _dead(channel).declare()
