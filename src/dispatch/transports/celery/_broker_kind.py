"""Which kind of broker an app uses."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

_SYSTEMS = {
    "amqp": "rabbitmq", "amqps": "rabbitmq", "pyamqp": "rabbitmq",
    "redis": "redis", "rediss": "redis", "redis+socket": "redis", "sentinel": "redis",
}  # fmt: skip


def messaging_system(app: Celery) -> str:
    """OpenTelemetry's word for the app's broker: `redis`, `rabbitmq`, else the scheme of its address."""
    return system_of(app.conf.broker_url or "amqp://")


def system_of(address: str | Sequence[str]) -> str:
    """The same of an address; of several, they being one broker's, the first has the word."""
    url = address if isinstance(address, str) else address[0]
    scheme = url.partition("://")[0].lower()
    return _SYSTEMS.get(scheme, scheme)
