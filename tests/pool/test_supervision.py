"""Whatever ends a worker, its item is answered for and another worker stands in its place."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import random
import threading

import pytest

from dispatch.channel import after
from dispatch.channel._timers import _timers
from dispatch.errors import EndOfChannel
from dispatch.pool import LoopThread, Pool
from servers.patience import eventually


class Fault(BaseException):
    """Comes from nowhere, as a debugger or a watchdog sends it."""


def inject(thread: threading.Thread) -> None:
    """Raise `Fault` in another thread, at its next step."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Fault))


def run(item):
    item()
    return 0


@pytest.fixture
def lost():
    return []


@pytest.fixture
def make(lost):
    made = []

    def pool(workers=1, capacity=10, work=run):
        made.append(Pool("fast", work, lost.append, workers=workers, capacity=capacity))
        return made[-1]

    yield pool
    for each in made:
        each.close(5)


def broken():
    raise Fault


def leaving():
    raise SystemExit(3)


@pytest.mark.parametrize("fault", [broken, leaving, lambda: 1 / 0])
def test_a_worker_that_meets_an_internal_error_is_replaced(make, lost, caplog, fault):
    """Its item is answered for, the error is logged and counted, and the next item runs on another thread."""
    pool = make()
    threads = []
    pool.try_send(lambda: threads.append(threading.current_thread()))
    pool.try_send(fault)
    pool.try_send(lambda: threads.append(threading.current_thread()))
    eventually(lambda: len(threads) == 2)

    assert threads[0] is not threads[1]
    assert threads[0].name == threads[1].name
    assert [fault] == lost
    eventually(lambda: pool.statistics().finished == 3)
    assert (1, 1) == (pool.statistics().errors, pool.statistics().workers)
    assert any("internal error" in record.getMessage() for record in caplog.records)
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_an_end_of_channel_in_an_item_is_not_the_channels(make, lost):
    """An item that fails with a channel's own error does not end its worker for good."""
    pool = make()
    done = threading.Event()

    def end():
        raise EndOfChannel("another channel's")

    pool.try_send(end)
    pool.try_send(done.set)

    assert done.wait(5)
    assert [end] == lost


def test_an_exception_from_nowhere_in_an_idle_worker_costs_no_item(make, lost):
    """It strikes when the worker next moves: the item in its hand is answered for, the next one runs."""
    pool = make()
    first, second, third = threading.Event(), threading.Event(), threading.Event()
    pool.try_send(first.set)
    assert first.wait(5)
    eventually(lambda: not pool.threads.workers[0].busy)

    inject(pool.threads.workers[0])
    pool.try_send(second.set)
    pool.try_send(third.set)

    assert third.wait(5)
    assert second.is_set() or lost
    eventually(lambda: pool.statistics().errors == 1)


def test_whatever_strikes_and_wherever_every_item_is_answered_for_once(make, lost, monkeypatch):
    """Exceptions strike working threads at random; in the end each item has run or is lost, and the pool works."""
    monkeypatch.setattr("dispatch.pool._roster._LONGEST_PAUSE", 0.001)
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - to run it again
    chance = random.Random(seed)
    ran, stopped = [], []

    def work(item):
        try:
            ran.append(item)
            sum(range(50))
        except Fault:  # as the executor does: what strikes a task is its outcome
            stopped.append(item)
        return 0

    pool = make(workers=2, capacity=1000, work=work)
    sent = 0
    for struck in range(60):
        while pool.statistics().workers < 2 or sent % 7 != chance.randrange(7):
            assert pool.try_send(sent) or pool.send(sent, 5)  # the first starts workers, the second waits for them
            sent += 1
        target, before = chance.choice(pool.threads.workers), len(stopped)
        inject(target)
        while pool.statistics().errors + len(stopped) == struck:  # it strikes when the thread next moves
            assert pool.send(sent, 5)
            sent += 1
        fell = len(stopped) == before
        eventually(lambda target=target, fell=fell: not (fell and target in pool.threads.workers))

    eventually(lambda: set(ran) | set(lost) == set(range(sent)), what=f"all of {sent} items")
    assert 2 == pool.statistics().workers
    assert all(worker.is_alive() for worker in pool.threads.workers)


def test_a_worker_that_falls_over_each_item_is_replaced_after_longer_and_longer_pauses(make, lost):
    """Nothing keeps the machine busy; one that has worked well is replaced at once."""
    pool = make()
    for _ in range(3):
        pool.try_send(broken)
    eventually(lambda: len(lost) == 3)
    eventually(lambda: pool.threads.workers[0].pause == 0.04)

    pool.try_send(int)
    pool.try_send(broken)
    eventually(lambda: len(lost) == 4)

    eventually(lambda: pool.threads.workers[0].pause == 0.0)


def test_closing_waits_for_who_replaced_the_fallen_and_for_no_pause(make, lost):
    """The grace is for all that waits, whoever runs it."""
    pool = make()
    ran = []
    for _ in range(4):
        pool.try_send(broken)
    pool.try_send(lambda: ran.append(1))

    assert 0 == pool.close(10).left
    assert [1] == ran
    assert (5, 4) == (pool.statistics().finished, len(lost))


def test_a_worker_without_a_successor_goes_on_itself(make, lost, monkeypatch):
    """Where the machine gives no more threads, a fallen worker is better than none."""
    pool = make()
    done = threading.Event()
    first = threading.Event()
    pool.try_send(first.set)
    assert first.wait(5)
    worker = pool.threads.workers[0]

    def none_left(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    pool.try_send(broken)
    pool.try_send(done.set)

    assert done.wait(5)
    assert worker is pool.threads.workers[0]


def test_an_exception_from_nowhere_does_not_end_a_loop_thread(caplog):
    """What breaks the loop is logged and counted, and it goes on in the same thread."""
    thread = LoopThread("struck")
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), thread.loop).result(5)

    inject(thread._thread)
    thread.loop.call_soon_threadsafe(int)
    eventually(lambda: thread.errors == 1)

    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), thread.loop).result(5)
    assert any("event loop was broken off" in record.getMessage() for record in caplog.records)
    thread.end()
    thread.join(5)


def test_a_timer_whose_channel_is_closed_does_not_stop_the_others():
    """Whoever got a channel from `after` may close it, or fill it."""
    closed, filled, fine = after(0.01), after(0.01), after(0.02)
    closed.close()
    filled.send_nowait(0.0)

    assert fine.receive(timeout=5) > 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_thread_of_the_timers_is_replaced():
    """An exception from nowhere ends it; what is due comes all the same."""
    assert after(0.001).receive(timeout=5) > 0
    thread = next(each for each in threading.enumerate() if each.name == "dispatch-timers")

    inject(thread)
    assert after(0.01).receive(timeout=5) > 0
    assert after(0.01).receive(timeout=5) > 0

    thread.join(5)
    assert not thread.is_alive()
    assert _timers._running


def test_whoever_listens_to_the_log_may_ask_for_statistics(make, monkeypatch):
    """A worker that cannot be started is reported when the pool's lock is free again."""
    pool, seen = make(), []

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    class Listener(logging.Handler):
        def emit(self, record):
            seen.append((pool.threads.turn.locked(), pool.statistics().workers))

    listener = Listener()
    logging.getLogger("dispatch.pool").addHandler(listener)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert not pool.try_send(print)
    finally:
        logging.getLogger("dispatch.pool").removeHandler(listener)

    assert [(False, 0)] == seen
