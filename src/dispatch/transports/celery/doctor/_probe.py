"""A call to each queue, and its answer: the way that every call takes, all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu import entity, messaging

from dispatch._clock import ticks
from dispatch._finding import Fact, Finding, Seen, error, warning
from dispatch._units import show_duration
from dispatch.transports.celery.doctor._crew import Worker
from dispatch.transports.celery.doctor._reach import Reach
from dispatch.transports.celery.doctor._subject import Subject
from dispatch.transports.celery.worker._probe import ANSWERS, PROBE

_LOOKED_AT = 1000
"""Messages at the young end of a Redis list among which an unanswered probe is looked for, to take it back."""

_Queue: Any = entity.Queue
_Consumer: Any = messaging.Consumer


def probes(subject: Subject, reached: Reach, found: list[Worker]) -> Iterator[Seen]:
    """One for each queue that somebody reads. Leaves nothing behind, unless nobody answers on RabbitMQ."""
    for queue in subject.queues:
        here = [worker for worker in found if queue in worker.queues]
        # Another worker of the queue may take it, and would throw it away.
        if here and all(worker.told for worker in here):
            yield _probed(subject, reached, queue, here)


def _probed(subject: Subject, reached: Reach, queue: str, here: list[Worker]) -> Seen:
    name = f"{ANSWERS}{uuid4()}"
    heard: list[Any] = []

    def hear(said: Any, _: Any) -> None:
        heard.append((said, ticks()))

    channel = reached.channel
    # Named to the broker's default exchange: nothing is bound, nothing has to be unbound.
    answers = _Queue(name, exchange="", routing_key=name, durable=False, exclusive=True, auto_delete=True)(channel)
    if subject.system != "redis":
        answers.queue_declare()
    try:
        with _Consumer(channel, [answers], callbacks=[hear], no_ack=True, auto_declare=False, accept=["json"]):
            sent = ticks()
            call_id = _send(subject, channel, queue, name)
            _listen(reached, heard, subject.seconds)
    finally:
        with suppress(Exception):
            channel.queue_delete(name)
    if heard:
        said, at = heard[0]
        took = show_duration(at - sent)
        return Fact(f"queue {queue}", f"a probe was run by {said.get('worker')} and answered within {took}")
    if subject.system == "redis":
        _take_back(reached, queue, call_id)
    return _unanswered(subject, queue, here)


def _send(subject: Subject, channel: Any, queue: str, answers: str) -> str:
    app, call_id = subject.app, str(uuid4())
    message = app.amqp.as_task_v2(
        call_id,
        PROBE,
        (answers,),
        {},
        # Whoever finds it later throws it away.
        expires=datetime.now(UTC) + timedelta(seconds=subject.seconds),
        ignore_result=True,
        argsrepr="",
        kwargsrepr="",
    )
    producer = app.amqp.Producer(channel, auto_declare=False)
    app.amqp.send_task_message(
        producer, PROBE, message, queue=queue, declare=[], retry=False, serializer="json", compression=None
    )
    return call_id


def _listen(reached: Reach, heard: list[Any], seconds: float) -> None:
    until = monotonic() + seconds
    while not heard and (left := until - monotonic()) > 0:
        with suppress(TimeoutError):
            reached.connection.drain_events(timeout=left)


def _take_back(reached: Reach, queue: str, call_id: str) -> None:
    key = f"{reached.prefix}{queue}"
    for text in reached.redis.lrange(key, 0, _LOOKED_AT):
        with suppress(ValueError):
            if json.loads(text).get("headers", {}).get("id") == call_id:
                reached.redis.lrem(key, 1, text)


def _unanswered(subject: Subject, queue: str, here: list[Worker]) -> Finding:
    about, waited = f"queue {queue}", f"{subject.seconds:g} s"
    left = "" if subject.system == "redis" else " The probe stays there until a worker throws it away, expired."
    if all(worker.told.get("busy", 0) >= max(1, worker.told.get("slots", 1)) for worker in here):
        return warning(
            "workers-busy",
            about,
            f"a probe was not answered within {waited}: every slot of its workers is taken",
            f"Start more workers, or ask again with a longer --timeout.{left}",
        )
    return error(
        "worker-consumes-nothing",
        about,
        f"its workers answer when they are asked ({', '.join(worker.name for worker in here)}), have free slots, "
        f"and did not run a probe within {waited}",
        f"Restart them: they have lost the queue, or their pool is stuck. Look at their logs first.{left}",
    )
