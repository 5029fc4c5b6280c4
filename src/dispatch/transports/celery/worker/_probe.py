"""The task that answers a doctor: it says when it began, into a queue of the asker's, and nothing else."""

from __future__ import annotations

from typing import Any

from celery import Celery

from dispatch._clock import wall

PROBE = "dispatch.probe"
"""Its name. Registered in workers alone, as a plain task of Celery's: acknowledged early, without a result."""

ANSWERS = "dispatch.probe."
"""What the names of the queues for its answers begin with: it writes into no other."""

_KEPT = 60
"""Seconds that an answer may lie on Redis when nobody fetches it."""


def register_probe(app: Celery) -> None:
    """Twice is once."""
    if PROBE not in app.tasks:
        app.task(_probe, name=PROBE, bind=True, shared=False, ignore_result=True, acks_late=False, serializer="json")


def _probe(task: Any, answers: str) -> None:
    if not answers.startswith(ANSWERS):
        return
    said = {"began": wall(), "worker": task.request.hostname}
    with task.app.producer_or_acquire() as producer:
        producer.publish(said, exchange="", routing_key=answers, serializer="json", retry=False, delivery_mode=1)
        client = getattr(producer.channel, "client", None)
        if client is not None:
            client.expire(answers, _KEPT)
