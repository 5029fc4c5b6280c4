"""The order of an examination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from dispatch._finding import Seen, guarded, unmade
from dispatch.transports.celery.doctor._alarm import alarm
from dispatch.transports.celery.doctor._configuration import configuration
from dispatch.transports.celery.doctor._contents import ledger, queues, results
from dispatch.transports.celery.doctor._crew import crew, workers
from dispatch.transports.celery.doctor._keeping import keeping
from dispatch.transports.celery.doctor._probe import probes
from dispatch.transports.celery.doctor._rabbitmq_server import rabbitmq_server
from dispatch.transports.celery.doctor._reach import Reach, distance, reach, unreached
from dispatch.transports.celery.doctor._redis_server import redis_server
from dispatch.transports.celery.doctor._subject import Subject


def examine(subject: Subject) -> Iterator[Seen]:
    """Everything about an app and its broker, as it is found. Never raises; every wait is bounded."""
    yield from guarded("configuration", lambda: configuration(subject))
    with ExitStack() as stack:
        try:
            reached = stack.enter_context(reach(subject.app, subject.system, subject.seconds))
        except Exception as raised:  # noqa: BLE001 - whatever it is, there is no way
            yield unreached(subject, raised)
            return
        yield from _examined(subject, reached)


def _examined(subject: Subject, reached: Reach) -> Iterator[Seen]:
    yield from guarded("distance", lambda: distance(subject, reached))
    if subject.system == "redis":
        yield from guarded("server", lambda: redis_server(subject, reached))
    elif subject.system == "rabbitmq":
        yield from guarded("server", lambda: rabbitmq_server(subject, reached))
        yield from guarded("alarm", lambda: alarm(subject))
    yield from guarded("durability", lambda: keeping(subject, reached))
    yield from guarded("queues", lambda: queues(subject, reached))
    if subject.system == "redis":
        yield from guarded("ledger", lambda: ledger(subject))
    yield from guarded("results", lambda: results(subject))
    try:
        found = crew(subject, reached)
    except Exception as raised:  # noqa: BLE001 - as above
        yield unmade("workers", raised)
        return
    yield from guarded("workers", lambda: workers(subject, found))
    if subject.probe:
        yield from guarded("probe", lambda: probes(subject, reached, found))
