"""Calls that wait when their pool ends go to the next candidate of their rule, where the policy says so."""

from __future__ import annotations

import os
import threading

import pytest
import redis

import dispatch
from dispatch import _default
from dispatch.errors import CallCancelled
from dispatch.policy import parse
from dispatch.pool import Drained
from servers.patience import eventually

POLICY = """
version: 1
destinations:
  fast: {{transport: local, runner: {runner}, workers: 1, on_shutdown: hand_over}}
  spare: {{transport: local, reached_by: pins, workers: 1}}
  queue: {{transport: celery, queue: {queue}, reached_by: pins}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast, fallback: [{fallback}]}}
"""

SHOP = """
import threading, dispatch

app = dispatch.celery_app()
app.conf.task_default_queue = __name__
started, release = threading.Event(), threading.Event()

@dispatch.task
def hold():
    started.set()
    assert release.wait(20)

@dispatch.task
def double(number):
    return 2 * number

@dispatch.task
def picky(anything):
    return "taken"

@dispatch.task
def read(path):
    with open(path) as pipe:
        return pipe.read()

@dispatch.task(retry=dispatch.Retry(attempts=2, backoff="1h", jitter=False))
def stubborn():
    raise ConnectionError("not yet")
"""


class Shop:
    """A dispatcher with one worker, and the queue behind it."""

    def __init__(self, project, redis_url, fallback, runner):
        self.project = project
        self.module = project.load()
        policy = parse(POLICY.format(queue=project.name, fallback=fallback, runner=runner))
        self.dispatcher = dispatch.Dispatcher(policy=policy, celery=self.module.app)
        self._redis_url = redis_url
        self._account = []
        self._ending = threading.Thread(target=self._end)

    def delay(self, task, *args):
        return getattr(self.module, task).using(self.dispatcher).delay(*args)

    def hold(self):
        """The one worker is held: what is sent from now on waits."""
        handle = self.delay("hold")
        assert self.module.started.wait(10)
        return handle

    def begin_to_end(self):
        """Shut down, in a thread of its own, since the worker is still held."""
        self._ending.start()

    def let_end(self):
        """What became of the calls."""
        self.module.release.set()
        self._ending.join(40)
        (account,) = self._account
        return account

    def queued(self):
        with redis.Redis.from_url(self._redis_url) as client:
            return client.llen(self.project.name)

    def _end(self):
        self._account.append(self.dispatcher.shutdown("30s"))


@pytest.fixture
def open_shop(project, redis_url, monkeypatch):
    """`open_shop(fallback, runner)`."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    opened = []

    def make(fallback="queue", runner="thread"):
        opened.append(Shop(project(SHOP, broker_url=redis_url), redis_url, fallback, runner))
        return opened[-1]

    yield make
    for shop in opened:
        shop.module.release.set()
        shop.dispatcher.shutdown("5s")
    dispatch.shutdown("5s")


def test_a_thousand_waiting_calls_are_published_and_a_worker_runs_them(open_shop):
    """The account adds up, and each call is in the queue once."""
    shop = open_shop()
    shop.hold()
    handles = [shop.delay("double", number) for number in range(1000)]
    shop.begin_to_end()
    eventually(lambda: shop.queued() == 1000, within=30)

    assert Drained(finished=1, handed_over=1000) == shop.let_end()
    with shop.project.worker(pool="solo"):
        assert 1998 == handles[-1].result(30)


def test_a_handle_tells_where_its_call_is_now(open_shop):
    """The decision names the new place, and why the old one does not have it; delayed calls go along."""
    shop = open_shop()
    shop.hold()
    now = shop.delay("double", 1)
    later = shop.module.double.using(shop.dispatcher).apply_async((2,), countdown=3600)
    shop.begin_to_end()
    for handle in (now, later):
        eventually(lambda handle=handle: handle.decision.destination == "queue")

    assert [("fast", "refused")] == [(each.destination, each.why) for each in now.decision.passed_over]
    assert Drained(finished=1, handed_over=2) == shop.let_end()


def test_what_nobody_takes_is_dropped(open_shop):
    """Its arguments cannot travel: its handle says that it will not run."""
    shop = open_shop()
    shop.hold()
    stuck = shop.delay("picky", object())
    shop.begin_to_end()

    with pytest.raises(CallCancelled, match="dropped at shutdown"):
        stuck.result(10)
    assert Drained(finished=1, dropped=1) == shop.let_end()


def test_another_pool_of_this_process_takes_them_too(open_shop):
    """It is open for a moment longer, and finishes what it has."""
    shop = open_shop("spare")
    shop.hold()
    handle = shop.delay("double", 4)
    shop.begin_to_end()

    assert 8 == handle.result(10)
    assert 1 == shop.let_end().handed_over


def test_what_waits_for_a_worker_process_travels_as_it_was_sent(open_shop, tmp_path):
    """Its arguments were pickled for a process that will not get them, and go to the broker as JSON."""
    shop = open_shop(runner="process")
    os.mkfifo(tmp_path / "pipe")
    held = shop.delay("read", str(tmp_path / "pipe"))
    eventually(held.running)
    handle = shop.delay("double", 21)
    shop.begin_to_end()
    eventually(lambda: handle.decision.destination == "queue")
    (tmp_path / "pipe").write_text("go")

    assert Drained(finished=1, handed_over=1) == shop.let_end()
    with shop.project.worker(pool="solo"):
        assert 42 == handle.result(30)


def test_a_cancelled_call_is_not_handed_over(open_shop):
    """True was the answer to `cancel`, and true it stays."""
    shop = open_shop()
    shop.hold()
    assert shop.delay("double", 4).cancel()
    shop.begin_to_end()

    assert 0 == shop.let_end().handed_over
    assert 0 == shop.queued()


def test_a_call_between_two_attempts_is_not_begun_anew_elsewhere(open_shop):
    """It would have all its attempts again."""
    shop = open_shop()
    handle = shop.delay("stubborn")
    eventually(lambda: shop.dispatcher.statistics().destinations["fast"].timers == 1)
    account = shop.dispatcher.shutdown("1s")

    assert (0, 1) == (account.handed_over, account.dropped)
    assert handle.cancelled()
