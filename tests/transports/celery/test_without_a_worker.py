"""Celery's own ways to run a task without a worker: attempts and time limits mean there what Celery means."""

from __future__ import annotations

import pytest
from celery import Celery
from msgspec import structs

from dispatch import Retry
from dispatch._registry import Registry
from dispatch.transports.celery import AppSource, Store, _registration
from dispatch.transports.celery.worker import _body


@pytest.fixture
def declared(monkeypatch, leaving, new_spec):
    """Declares a function and gives Celery's task."""
    registry = Registry()
    monkeypatch.setattr(_registration, "registry", registry)
    monkeypatch.setattr(_body, "registry", registry)
    app = leaving(Celery("shop", broker="redis://localhost/0", set_as_current=False))
    AppSource(app, store=Store())

    def declare(function, **said):
        registry.declare(structs.replace(new_spec(function, name="shop.task"), **said))
        return app.tasks["shop.task"]

    return declare


def test_an_eager_call_is_attempted_again_at_once(declared):
    """As Celery's own retries are in eager mode."""
    runs = []

    def third_time():
        runs.append(1)
        if len(runs) < 3:
            raise LookupError(len(runs))
        return len(runs)

    task = declared(third_time, retry=Retry(attempts=5, backoff="1h"))

    assert 3 == task.s().apply().get()


def test_an_eager_call_fails_with_the_error_of_its_last_attempt(declared):
    """And not with Celery's `MaxRetriesExceeded`."""
    runs = []

    def never():
        runs.append(1)
        raise LookupError(len(runs))

    ended = declared(never, retry=Retry(attempts=5, backoff="0")).s().apply()

    assert (LookupError, (5,)) == (type(ended.result), ended.result.args)


def test_a_task_called_directly_is_attempted_once(declared):
    """It is a plain call."""
    runs = []

    def never():
        runs.append(1)
        raise LookupError

    task = declared(never, retry=Retry(attempts=5, backoff="0"))

    with pytest.raises(LookupError):
        task()
    assert [1] == runs


def test_a_timeout_is_a_soft_limit_and_some_seconds_later_a_hard_one(declared):
    """Of the task, so that whatever message a worker gets is under it."""

    def nothing():
        pass

    task = declared(nothing, timeout_ns=1_500_000_000)

    assert (1.5, 6.5) == (task.soft_time_limit, task.time_limit)
