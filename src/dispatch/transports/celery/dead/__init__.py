"""The dead letters of an app's broker: those of the ledger on Redis, those of our queue on RabbitMQ."""

from __future__ import annotations

from celery import Celery

from dispatch._dead_letter import DeadLetters
from dispatch.errors import NotConfigured
from dispatch.transports.celery._broker_kind import messaging_system
from dispatch.transports.celery.dead._in_ledger import LettersInLedger
from dispatch.transports.celery.dead._in_rabbitmq import LettersInRabbitMQ

__all__ = ["dead_letters"]


def dead_letters(app: Celery) -> DeadLetters:
    """Those on the app's broker. Nothing connects before the first question.

    Raises `NotConfigured` for a broker on which dispatch keeps none.
    """
    system = messaging_system(app)
    if system == "redis":
        return LettersInLedger(app)
    if system == "rabbitmq":
        return LettersInRabbitMQ(app)
    raise NotConfigured(f"dispatch keeps no dead letters on {system}: only on Redis and RabbitMQ")
