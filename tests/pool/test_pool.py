"""A bounded pool of threads on a channel."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from dispatch.pool import Drained, Pool
from dispatch.testing import clock


class Stop:
    """An item that holds its worker until the test lets it go."""

    def __init__(self) -> None:
        self.started, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.started.set()
        assert self.open.wait(10)


def run(item):
    item()
    return 0


def lost(_item):
    """Nobody asks, in most tests."""


def test_workers_start_as_work_arrives_and_no_more_than_allowed():
    """None before the first item, one with each item, up to the limit."""
    pool = Pool("fast", run, lost, workers=3, capacity=10)
    assert 0 == pool.statistics().workers
    stops = [Stop() for _ in range(5)]

    for stop in stops:
        assert pool.try_send(stop)
    for stop in stops[:3]:
        assert stop.started.wait(5)

    assert (3, 3, 2) == (pool.statistics().workers, pool.statistics().busy, pool.statistics().waiting)
    for stop in stops:
        stop.open.set()
    assert 5 == pool.close(5).finished


def test_a_full_pool_says_so_and_a_closed_one_takes_nothing():
    """`try_send` never waits; `send` waits as long as it may."""
    pool = Pool("fast", run, lost, workers=1, capacity=1)
    stop = Stop()
    pool.try_send(stop)
    stop.started.wait(5)
    assert pool.try_send(int)

    assert not pool.try_send(int)
    assert not pool.send(int, 0.01)
    stop.open.set()
    pool.close(5)
    assert not pool.try_send(int)
    assert not pool.send(int, 0.01)
    assert pool.closed


def test_an_internal_error_costs_a_log_line_and_not_the_worker(caplog):
    """The loop is supervised: the next item is run as if nothing had happened."""
    pool = Pool("fast", run, lost, workers=1, capacity=10)
    done = threading.Event()

    pool.try_send(lambda: 1 / 0)
    pool.try_send(done.set)

    assert done.wait(5)
    pool.close(5)
    assert (1, 1) == (pool.statistics().errors, pool.statistics().workers)
    assert any("internal error" in record.getMessage() for record in caplog.records)


def test_closing_finishes_what_waits_and_says_how_much():
    """What was running and what was waiting both count as finished."""
    pool = Pool("fast", run, lost, workers=1, capacity=10)
    stop, ran = Stop(), []
    pool.try_send(stop)
    for index in range(5):
        pool.try_send(lambda index=index: ran.append(index))
    stop.started.wait(5)
    threading.Timer(0.02, stop.open.set).start()

    assert Drained(finished=6) == pool.close(5)
    assert [0, 1, 2, 3, 4] == ran
    assert Drained() == pool.close(5)


def test_closing_can_drop_what_waits():
    """Each dropped item is handed to whoever asked."""
    pool = Pool("fast", run, lost, workers=1, capacity=10)
    stop, dropped = Stop(), []
    pool.try_send(stop)
    stop.started.wait(5)
    for item in (int, str):
        pool.try_send(item)
    threading.Timer(0.02, stop.open.set).start()

    assert Drained(finished=1, dropped=2) == pool.close(5, drop=dropped.append)
    assert [int, str] == dropped


def test_a_grace_that_is_over_leaves_the_rest_and_counts_it():
    """An exit is bounded by its grace, not by a task that never ends."""
    pool = Pool("fast", run, lost, workers=1, capacity=10)
    stop = Stop()
    pool.try_send(stop)
    pool.try_send(int)
    stop.started.wait(5)

    assert Drained(left=2) == pool.close(0.01)
    stop.open.set()


def test_the_expected_wait_grows_with_what_waits():
    """An idle pool starts at once; behind a queue it takes the queue's length times the time per item."""
    pool = Pool("fast", run, lost, workers=1, capacity=100)
    idle = pool.expected_wait_ns()
    stop = Stop()
    pool.try_send(stop)
    stop.started.wait(5)
    pool.threads.workers[0].service_ns = 1_000_000.0
    for _ in range(10):
        pool.try_send(int)

    assert idle < 1_000_000
    assert pool.expected_wait_ns() >= 10_000_000
    stop.open.set()
    pool.close(5)


def crowd(pool, workers, waiting):
    """Every worker held, and so many items behind them."""
    stops = [Stop() for _ in range(workers)]
    for stop in stops:
        assert pool.try_send(stop)
        assert stop.started.wait(5)
    for _ in range(waiting):
        assert pool.try_send(int)
    return stops


def let_go(pool, stops):
    for stop in stops:
        stop.open.set()
    pool.close(5)


def test_an_item_is_taken_to_last_a_millisecond_until_one_has_been_run():
    """The prior: a burst into a new pool does not look like nothing."""
    pool = Pool("fast", run, lost, workers=2, capacity=100)
    stops = crowd(pool, 2, waiting=9)

    assert 1_000_000 == pool.statistics().service_ns
    assert 5_050_000 == pool.expected_wait_ns()
    let_go(pool, stops)


def test_items_that_have_lasted_are_taken_to_last_as_long_again():
    """Workers that nobody has heard of for a minute are not about to be free."""
    began = []
    with clock() as held:
        pool = Pool("fast", run, lost, workers=2, capacity=10, since=lambda item: began[0])
        began.append(held.ticks())
        stops = crowd(pool, 2, waiting=0)
        held.advance("60s")

        assert 30_000_050_000 == pool.expected_wait_ns()
        let_go(pool, stops)


def test_one_item_that_lasts_does_not_make_the_other_workers_slow():
    """Workers add up by what they do in a second."""
    since = {}
    with clock() as held:
        pool = Pool("fast", run, lost, workers=2, capacity=100, since=lambda item: since.get(item, 0))
        stops = crowd(pool, 2, waiting=9)
        since[stops[0]] = held.ticks()
        held.advance("1h")

        assert 10_000_000 == pytest.approx(pool.expected_wait_ns(), rel=0.01)
        let_go(pool, stops)


def test_a_forked_child_has_a_pool_of_its_own():
    """New and empty, and it works; the parent's goes on."""
    pool = Pool("fast", run, lost, workers=1, capacity=10)
    stop = Stop()
    pool.try_send(stop)
    stop.started.wait(5)
    pool.try_send(int)

    pid = os.fork()
    if pid == 0:
        done = threading.Event()
        empty = pool.statistics().waiting == 0 == pool.statistics().workers
        pool.try_send(done.set)
        os._exit(0 if empty and done.wait(5) else 1)
    _, status = os.waitpid(pid, 0)

    assert 0 == status
    stop.open.set()
    assert 2 == pool.close(5).finished


def test_a_pool_tells_its_state():
    """`repr` is for whoever looks at night."""
    pool = Pool("fast", run, lost, workers=3, capacity=10)

    assert "<Pool 'fast' [threads: 0 busy of 0, at most 3 | channel: 0 of 10 | open]>" == repr(pool)


def test_calls_that_wait_at_the_interpreters_exit_are_finished():
    """The end of the program is not the end of its calls; the log says how many."""
    program = """
import dispatch, logging, sys, time
logging.basicConfig(level=logging.INFO, format="%(message)s")
dispatch.configure(policy="no-broker")
@dispatch.task
def say(number): time.sleep(0.01); sys.stdout.write(f"{number}\\n")
for number in range(20): say.delay(number)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)

    assert set(map(str, range(20))) == set(done.stdout.split())
    assert "finished=" in done.stderr
