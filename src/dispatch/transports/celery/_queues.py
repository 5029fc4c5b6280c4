"""How an app describes its queues on RabbitMQ, so that a call in them is never dropped without a word.

Celery's settings can make a queue a quorum queue, and have no words for a queue's other arguments; they are in the
app's description of its queues, in every process that has the app. Queues that the app describes itself stay as they
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.app import amqp

from dispatch.transports.celery._dead_queue import DEAD

SETTING = "dispatch_queue_arguments"
"""In `app.conf`: what is laid over the arguments of the queues that Celery makes of its own accord."""

ARGUMENTS: Mapping[str, Any] = {
    # A backstop: `max_deliveries` comes first, except where a worker dies before it can look.
    "x-delivery-limit": 100,
    "x-dead-letter-exchange": DEAD,
    # By default RabbitMQ moves a letter without knowing whether it has arrived; this needs the other.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
"""Constants: RabbitMQ refuses a queue that is declared with others."""

_AMQP = f"{__name__}:DispatchAMQP"


class _Queues(amqp.Queues):  # type: ignore[misc]
    """Celery's, with our arguments for those that are missing."""

    laid_over: Mapping[str, Any] = {}

    def new_missing(self, name: str) -> Any:
        return _shaped(super().new_missing(name), self.laid_over)


class DispatchAMQP(amqp.AMQP):  # type: ignore[misc]
    """Celery's description of how an app speaks to its broker, with our arguments for its queues."""

    queues_cls = _Queues

    def Queues(self, queues: Any, *given: Any, **options: Any) -> Any:  # noqa: N802 - Celery's name
        made = super().Queues(queues, *given, **options)
        made.laid_over = self.app.conf.get(SETTING) or {}
        if not queues:
            for default in made.values():
                _shaped(default, made.laid_over)
        return made


def _shaped(queue: Any, arguments: Mapping[str, Any]) -> Any:
    own = queue.queue_arguments or {}
    if own.get("x-queue-type") == "quorum":
        queue.queue_arguments = {**arguments, **own}
    return queue


def leads_to_letters(queue: Any) -> bool:
    """Whether RabbitMQ puts into our dead letters what it takes out of this queue of kombu's by itself."""
    return (queue.queue_arguments or {}).get("x-dead-letter-exchange") == DEAD


def describe_safely(app: Celery) -> None:
    """Have the app obey `SETTING`. Twice is once. An app with a description of its own making keeps that."""
    if app.amqp_cls == Celery.amqp_cls:
        app.amqp_cls = _AMQP
        # Made at first sight; nothing has been sent by it where the app is still being set up.
        vars(app).pop("amqp", None)
