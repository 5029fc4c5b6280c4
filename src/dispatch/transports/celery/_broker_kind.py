"""Which kind of broker an app uses, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from celery import Celery

from dispatch.telemetry.messages import Server

_SYSTEMS = {
    "amqp": "rabbitmq", "amqps": "rabbitmq", "pyamqp": "rabbitmq",
    "redis": "redis", "rediss": "redis", "redis+socket": "redis", "sentinel": "redis",
}  # fmt: skip

_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "sentinel": 26379}
"""Where none is named."""


def messaging_system(app: Celery) -> str:
    """OpenTelemetry's word for the app's broker: `redis`, `rabbitmq`, else the scheme of its address."""
    return system_of(app.conf.broker_url or "amqp://")


def system_of(address: str | Sequence[str]) -> str:
    """The same of an address; of several, they being one broker's, the first has the word."""
    scheme = _first(address).partition("://")[0].lower()
    return _SYSTEMS.get(scheme, scheme)


def server_of(app: Celery) -> Server | None:
    """Where the app's broker is, of several the first; `None` where its address does not say."""
    return _server(_first(app.conf.broker_url or "amqp://"))


def routing_key_of(app: Celery, queue: str) -> str | None:
    """By which messages get into the queue; `None` for one that the app does not describe."""
    described = app.amqp.queues.get(queue)
    return None if described is None else described.routing_key


def _first(address: str | Sequence[str]) -> str:
    return (address if isinstance(address, str) else address[0]).partition(";")[0]


@lru_cache(maxsize=16)
def _server(url: str) -> Server | None:
    scheme = url.partition("://")[0].lower()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if scheme == "redis+socket":
        return Server(parts.path) if parts.path else None
    if scheme not in _PORTS:
        return Server(host, port) if host else None
    return Server(host or "localhost", port or _PORTS[scheme])
