"""The sweeper: in time, one at a time, and quiet about what it cannot change."""

import logging
import os
import threading
from uuid import uuid4

import pytest
import redis

from dispatch.transports.celery.ledger import Ledger, Size, Sweeper, _sweeper
from servers.patience import eventually
from servers.process import frozen

BOUNDS = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3, "retry": None}


@pytest.fixture
def new_sweeper():
    """Makes sweepers, and stops them at the end."""
    made = []

    def make(url, ledger=Ledger):
        made.append(Sweeper(lambda: ledger(redis.Redis.from_url(url, **BOUNDS))))
        return made[-1]

    yield make
    for sweeper in made:
        sweeper.stop()


def test_a_delayed_call_is_published_when_it_is_due(desk, redis_url, new_sweeper):
    """Without anybody doing anything for it."""
    new_sweeper(redis_url).start()
    desk.enter(delay_ms=300)

    eventually(desk.queued)


def test_a_silent_workers_call_is_published_again(desk, redis_url, new_sweeper):
    """With a real lease."""
    new_sweeper(redis_url).start()
    desk.running(lease_ms=300)

    eventually(desk.queued)


def test_starting_and_stopping_twice_is_once(redis_url, new_sweeper):
    """And it may be started again."""
    sweeper = new_sweeper(redis_url)
    sweeper.stop()
    for _ in range(2):
        sweeper.start()
        sweeper.start()
        assert 1 == sum(thread.name == "dispatch-sweeper" for thread in threading.enumerate())
        sweeper.stop()
        sweeper.stop()
        assert 0 == sum(thread.name == "dispatch-sweeper" for thread in threading.enumerate())


def test_who_stops_lets_the_next_one_in(desk, redis_url, new_sweeper):
    """At once, and not when the lock ends."""
    first = new_sweeper(redis_url)
    first.start()
    eventually(lambda: desk.redis.get("dispatch:sweeper"))
    first.stop()

    assert None is desk.redis.get("dispatch:sweeper")


def test_when_one_dies_another_takes_its_place(desk, redis_url, new_sweeper):
    """The lock ends by itself."""
    desk.ledger.sweep(uuid4().hex, lock_ms=300)
    new_sweeper(redis_url).start()
    desk.enter(delay_ms=1)

    eventually(desk.queued)


def test_a_frozen_server_is_outlived_with_one_line(private_redis, new_desk, new_sweeper, caplog):
    """However often it is tried; and one when it is over."""
    desk = new_desk(private_redis.url)
    tries = []

    class Tried(Ledger):
        def sweep(self, owner):
            tries.append(owner)
            return super().sweep(owner)

    sweeper = new_sweeper(private_redis.url, Tried)
    with caplog.at_level(logging.INFO, "dispatch.ledger"):
        sweeper.start()
        eventually(lambda: desk.redis.get("dispatch:sweeper"))
        with frozen(private_redis.pid):
            eventually(lambda: caplog.records)
            before = len(tries)
            sweeper.nudge()
            eventually(lambda: len(tries) > before + 1)
        desk.enter(delay_ms=1)
        eventually(desk.queued)
        eventually(lambda: caplog.records[-1].levelname == "INFO", what="the end of the outage is said")

    # A busy machine may have had a second outage.
    assert ["WARNING", "INFO"] * (len(caplog.records) // 2) == [record.levelname for record in caplog.records]


def test_what_nobody_can_read_is_said(desk, redis_url, new_sweeper, caplog):
    """An operator looks at the log."""
    desk.enter(delay_ms=1)
    desk.redis.delete("dispatch:ledger:call")
    with caplog.at_level(logging.WARNING, "dispatch.ledger"):
        new_sweeper(redis_url).start()
        eventually(lambda: caplog.records)

    assert "forgotten=1" in caplog.records[0].message


def test_a_forked_child_has_none_until_it_starts_its_own(desk, redis_url, new_sweeper):
    """The parent's thread is not there, and its connection is the parent's."""
    sweeper = new_sweeper(redis_url)
    sweeper.start()
    eventually(lambda: desk.redis.get("dispatch:sweeper"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sweeper.stop()
            sweeper.start()
            assert any(thread.name == "dispatch-sweeper" for thread in threading.enumerate())
            sweeper.stop()
            status = 0
        finally:
            os._exit(status)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    desk.enter(delay_ms=1)
    eventually(desk.queued)


def test_it_counts_what_is_in_the_ledger_while_it_is_there(desk, redis_url, new_sweeper):
    """For those who must not wait for Redis to know."""
    desk.enter()
    sweeper = new_sweeper(redis_url)
    assert None is sweeper.size

    sweeper.start()

    assert Size(kept=1, overdue=0, dead=0) == eventually(lambda: sweeper.size)


def test_a_count_is_forgotten_when_no_other_comes_after_it(redis_url, new_sweeper, monkeypatch):
    """An old number would look like a quiet day."""
    sweeper = new_sweeper(redis_url)
    sweeper.start()
    eventually(lambda: sweeper.size)
    sweeper.stop()

    monkeypatch.setattr(_sweeper, "_COUNT_HOLDS", 0.0)

    assert None is sweeper.size


def test_a_server_that_counts_nothing_is_swept_all_the_same(desk, redis_url, new_sweeper):
    """A count is for those who look on."""

    class Uncounted(Ledger):
        def size(self):
            raise redis.ConnectionError("gone")

    sweeper = new_sweeper(redis_url, Uncounted)
    sweeper.start()
    desk.enter(delay_ms=1)

    eventually(desk.queued)
    assert None is sweeper.size
