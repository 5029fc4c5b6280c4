"""The renewer: leases last as long as their calls, and no longer than their process."""

import logging
import os
import subprocess
import sys
import threading

import pytest
import redis

from dispatch.embedded import Server
from dispatch.transports.celery.ledger import Ledger, Renewer
from servers.patience import eventually
from servers.process import frozen

BOUNDS = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3, "retry": None}


@pytest.fixture
def connect(redis_url):
    """Opens the renewer's own connection."""
    return lambda: Ledger(redis.Redis.from_url(redis_url, **BOUNDS))


@pytest.fixture
def renewer(connect):
    """One that lets everything go at the end, so that its thread ends by itself."""
    made = Renewer(connect)
    yield made
    for claim in made.held():
        made.let_go(claim)


def until(desk, call_id="call"):
    return int(desk.facts(call_id)["until"])


def test_what_is_held_is_renewed_again_and_again(desk, renewer):
    """Three leases long, by the server's own clock, nobody else gets the call."""
    claim = desk.running(lease_ms=200)
    renewer.hold(claim)
    first = until(desk)

    eventually(lambda: until(desk) > first + 600)
    assert "running" == desk.state()
    assert desk.ledger.settle(claim, "done")


def test_what_was_let_go_is_renewed_no_more(desk, renewer):
    """Its lease ends."""
    claim = desk.running(lease_ms=100)
    renewer.hold(claim)
    first = until(desk)
    eventually(lambda: until(desk) > first)
    renewer.let_go(claim)

    assert 2 == eventually(lambda: getattr(desk.claim(), "deliveries", None))
    assert () == renewer.held()


def test_letting_go_of_what_is_not_held_is_nothing(desk, renewer):
    """Twice is once."""
    renewer.let_go(desk.running())

    assert () == renewer.held()


def test_a_lost_claim_is_reported_once_and_held_no_more(desk, connect):
    """Its call runs here, and somewhere else."""
    lost = []
    told = threading.Event()
    renewer = Renewer(connect, lambda claim: (lost.append(claim), told.set()))
    claim = desk.running(lease_ms=300)
    desk.redis.hset("dispatch:ledger:call", "until", 1)
    other = desk.claimed()
    renewer.hold(claim)

    assert told.wait(10)
    assert [claim] == lost
    assert () == renewer.held()
    assert desk.ledger.settle(other, "done")


def test_what_is_let_go_during_a_renewal_is_not_lost(desk, redis_url):
    """It was settled by us between the question and the answer."""
    lost = []
    asked = threading.Event()

    class Late(Ledger):
        def renew(self, claims):
            for claim in claims:
                renewer.let_go(claim)
            asked.set()
            return claims

        def close(self):
            ended.set()
            super().close()

    ended = threading.Event()
    renewer = Renewer(lambda: Late(redis.Redis.from_url(redis_url, **BOUNDS)), lost.append)
    renewer.hold(desk.running(lease_ms=100))

    assert asked.wait(10)
    assert ended.wait(10)
    assert [] == lost


def test_a_frozen_server_is_outlived(private_redis, new_desk, caplog):
    """It says so once, goes on trying, and takes the lease again, since nobody else has claimed."""
    desk = new_desk(private_redis.url)
    tries = []

    class Tried(Ledger):
        def renew(self, claims):
            tries.append(claims)
            return super().renew(claims)

    renewer = Renewer(lambda: Tried(redis.Redis.from_url(private_redis.url, **BOUNDS)))
    claim = desk.running(lease_ms=300)
    with caplog.at_level(logging.INFO, "dispatch.ledger"):
        renewer.hold(claim)
        first = until(desk)
        eventually(lambda: until(desk) > first)
        with frozen(private_redis.pid):
            eventually(lambda: caplog.records)
            before = len(tries)
            eventually(lambda: len(tries) > before + 1)
        thawed = desk.redis.time()[0] * 1000
        eventually(lambda: until(desk) > thawed + 1000)
        assert (claim,) == renewer.held()
        eventually(lambda: caplog.records[-1].levelname == "INFO", what="the end of the outage is said")
        renewer.let_go(claim)

    # A busy machine may have had a second outage.
    assert ["WARNING", "INFO"] * (len(caplog.records) // 2) == [record.levelname for record in caplog.records]
    assert desk.ledger.settle(claim, "done")


def test_a_server_that_is_away_is_outlived(new_desk):
    """Killed and started again, it has the entry, and the renewer finds it.

    Synced every second, a server on a slow disk answers before it has written, and a kill may cost the entry.
    """
    with Server(settings={"appendfsync": "always"}) as server:
        desk = new_desk(server.url)
        renewer = Renewer(lambda: Ledger(redis.Redis.from_url(server.url, **BOUNDS)))
        claim = desk.running(lease_ms=300)
        renewer.hold(claim)
        server.kill()
        server.start()
        back = desk.redis.time()[0] * 1000

        eventually(lambda: until(desk) > back + 1000)
        renewer.let_go(claim)
        assert desk.ledger.settle(claim, "done")


def test_its_thread_ends_when_nothing_is_held_and_starts_again(desk, connect, monkeypatch):
    """An idle process has neither a thread nor a connection of it."""
    monkeypatch.setattr("dispatch.transports.celery.ledger._renewer._A_WHILE", 0.05)
    renewer = Renewer(connect)
    for call_id in ("a", "b"):
        claim = desk.running(call_id, lease_ms=100)
        renewer.hold(claim)
        first = until(desk, call_id)
        eventually(lambda first=first, call_id=call_id: until(desk, call_id) > first)
        renewer.let_go(claim)
        eventually(lambda: not renewer._running)


def test_a_forked_child_holds_nothing(desk, renewer):
    """What the parent runs is the parent's to renew; the child's own is renewed by the child."""
    renewer.hold(desk.running("parent's", lease_ms=300))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert () == renewer.held()
            claim = desk.running("child's", lease_ms=300)
            renewer.hold(claim)
            first = until(desk, "child's")
            eventually(lambda: until(desk, "child's") > first)
            status = 0
        finally:
            os._exit(status)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    first = until(desk, "parent's")
    eventually(lambda: until(desk, "parent's") > first)


UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()

import sys
import time
import redis
from dispatch.transports.celery.ledger import Claim, Ledger, Renewer

url, call_id, owner = sys.argv[1:]
client = redis.Redis.from_url(url)
renewer = Renewer(lambda: Ledger(redis.Redis.from_url(url)))
renewer.hold(Claim(call_id, owner, 1, 300, 1))
seen = client.hget("dispatch:ledger:" + call_id, "until")
# A task that computes for several leases and lets no greenlet in.
end = time.perf_counter() + 1.5
while time.perf_counter() < end:
    pass
assert int(client.hget("dispatch:ledger:" + call_id, "until")) > int(seen) + 900
renewer.let_go(renewer.held()[0])
"""


def test_under_gevent_a_task_that_computes_keeps_its_lease(desk, redis_url):
    """The thread is the operating system's: a greenlet would not have had its turn."""
    claim = desk.running(lease_ms=300)
    command = [sys.executable, "-c", UNDER_GEVENT, redis_url, claim.id, claim.owner]

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert (0, "") == (done.returncode, done.stderr)
