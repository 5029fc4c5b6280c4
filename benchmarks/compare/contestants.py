"""Who takes part, and what each of them needs to run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

POLICIES = Path(__file__).parent / "policies"

Broker: TypeAlias = Literal["redis", "rabbitmq"]


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """One row of every table."""

    key: str
    name: str
    way: str
    """Which of `ways.MAKE` it is for its caller; `go` is a program of its own."""
    broker: Broker | None = None
    module: str | None = None
    """What its Celery worker imports."""
    policy: str | None = None
    durable: bool = False

    @property
    def far(self) -> bool:
        """Whether its calls leave the process."""
        return self.broker is not None


_LOCAL = str(POLICIES / "local.yaml")
_QUEUE = str(POLICIES / "queue.yaml")

CONTESTANTS = (
    Contestant(key="go", name="Go channel", way="go"),
    Contestant(key="channel", name="dispatch.Channel", way="channel"),
    Contestant(key="asyncio", name="asyncio", way="asyncio"),
    Contestant(key="local", name="dispatch, local", way="local", policy=_LOCAL),
    Contestant(key="executor", name="ThreadPoolExecutor", way="executor"),
    Contestant(
        key="dispatch-redis", name="dispatch on Redis", way="routed", broker="redis", module="routed", policy=_QUEUE
    ),
    Contestant(
        key="dispatch-redis-durable",
        name="dispatch on Redis, durable",
        way="routed",
        broker="redis",
        module="routed",
        policy=_QUEUE,
        durable=True,
    ),
    Contestant(key="celery-redis", name="Celery on Redis", way="plain", broker="redis", module="plain"),
    Contestant(
        key="dispatch-rabbitmq",
        name="dispatch on RabbitMQ",
        way="routed",
        broker="rabbitmq",
        module="routed",
        policy=_QUEUE,
    ),
    Contestant(
        key="dispatch-rabbitmq-durable",
        name="dispatch on RabbitMQ, durable",
        way="routed",
        broker="rabbitmq",
        module="routed",
        policy=_QUEUE,
        durable=True,
    ),
    Contestant(key="celery-rabbitmq", name="Celery on RabbitMQ", way="plain", broker="rabbitmq", module="plain"),
)
