"""Which line leads to an app's broker."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from dispatch.transports.celery.publishing._line import NEVER_TWICE, Connect, let_go


def load(app: Celery, seconds: Callable[[], float]) -> Connect:
    """Import what the app's broker needs, and return what opens a line to it; waits for nobody.

    `seconds` says, whenever one is opened, what bounds every wait of it. Raises what a wrong address raises.
    """
    idle = app.connection_for_write(transport_options=NEVER_TWICE)
    try:
        driver = idle.transport.driver_type
        batches = getattr(idle.transport, "supports_batch_publish", False)
    finally:
        let_go(idle)
    app.amqp.send_task_message  # noqa: B018 - made at first sight, and that reads the app's configuration
    if driver == "amqp":
        from dispatch.transports.celery.publishing._rabbitmq_line import RabbitMQLine  # noqa: PLC0415

        return lambda: RabbitMQLine(app, seconds())
    if driver == "redis" and batches:
        from dispatch.transports.celery.publishing._redis_line import RedisLine  # noqa: PLC0415

        return lambda: RedisLine(app, seconds())
    from dispatch.transports.celery.publishing._plain_line import PlainLine  # noqa: PLC0415

    return lambda: PlainLine(app, seconds())
