"""Items that go into their pool when they are due, and the timers under it."""

from __future__ import annotations

import asyncio
import random
import threading
from time import perf_counter_ns

import pytest

from dispatch._timers import Timers
from dispatch.pool import Drained, LoopPool, Pool
from dispatch.testing import clock
from servers.patience import eventually


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def timers():
    """Timers on a clock of their own, with what they handed on, in order."""
    clock, handed_on = Clock(), []
    engine = Timers("test", handed_on.append, now=clock, unit=1.0, wanted=lambda thing: thing != "unwanted")
    return engine, clock, handed_on


def test_things_are_handed_on_when_they_are_due_soonest_first(timers):
    """Those of one moment in the order in which they came."""
    engine, clock, handed_on = timers
    seed = random.randrange(10**9)
    due = [(random.Random(seed).randrange(50), number) for number in range(200)]
    for each in due:
        engine.add(each[0], each)

    for moment in range(51):
        clock.seconds = moment
        engine.look_again()
        expected = sorted(each for each in due if each[0] <= moment)
        many = len(expected)
        eventually(lambda many=many: len(handed_on) == many, what=f"seed {seed}, moment {moment}")
        assert expected == handed_on, f"seed {seed}"
    assert (0, None) == (len(engine), engine.next_due)


def test_what_nobody_wants_any_more_gives_up_its_place(timers):
    """Before its time: when there would be no room otherwise, or there is much of it."""
    engine, _, _ = timers

    assert engine.add(10, "unwanted", most=1)
    assert engine.add(20, "kept", most=1)
    assert not engine.add(5, "too many", most=1)
    for _ in range(10_000):
        engine.add(10, "unwanted")

    assert len(engine) < 200
    assert ["kept"] == engine.take_out()


def test_what_is_due_later_can_be_taken_out(timers):
    """In the order of its time; the rest stays."""
    engine, clock, handed_on = timers
    for due in (3, 1, 2):
        engine.add(due, due)

    assert [2, 3] == engine.take_out(after=1)
    clock.seconds = 5
    engine.look_again()
    eventually(lambda: handed_on == [1])


def test_the_thread_ends_when_there_is_nothing_to_do_and_starts_again(timers, monkeypatch):
    """Nothing runs on in a program that delays nothing."""
    monkeypatch.setattr("dispatch._timers.A_WHILE", 0.01)
    engine, _, handed_on = timers
    for number in (1, 2):
        engine.add(0, number)
        eventually(lambda number=number: handed_on[-1:] == [number])
        eventually(lambda: not any(each.name == "test" for each in threading.enumerate()))


def run(item):
    item()
    return 0


def test_an_item_that_cannot_be_handed_on_is_lost_aloud_and_the_next_one_is_not(caplog):
    """A fault of the pool's own must not keep what is behind it."""
    lost, done = [], threading.Event()
    pool = Pool("fast", run, lost.append, workers=1, capacity=10)
    with clock() as held:
        pool._delays._hand_on = lambda item: 1 / 0 if item is int else pool._admit(item)
        now = held.ticks()
        assert pool.send_later(int, now + 1)
        assert pool.send_later(done.set, now + 2)
        held.advance(1)

        assert done.wait(5)
    pool.close(5)
    assert [int] == lost
    assert "internal error" in caplog.text


def test_where_no_thread_can_be_had_nothing_is_delayed(monkeypatch):
    """As at the interpreter's end: refused, or dropped aloud when it was accepted before."""
    late = []
    pool = Pool("fast", run, print, workers=1, capacity=10, late=late.append)
    done = threading.Event()
    pool.try_send(done.set)
    assert done.wait(5)

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert not pool.send_later(int, 0)
        pool.send_again(str, 0)

    assert [str] == late
    assert Drained() == pool.close(5)


@pytest.mark.parametrize("seed", [random.randrange(10**9) for _ in range(5)], ids=range(5))
def test_nothing_that_was_delayed_is_lost_or_doubled_in_a_storm(seed):
    """Senders, delays and a full pool at once, and an end in the middle of it."""
    chance = random.Random(seed)
    lock, ran, late = threading.Lock(), [], []

    def note(item):
        with lock:
            ran.append(item)
        return 0

    pool = Pool("fast", note, print, workers=2, capacity=chance.choice([0, 1, 5]), late=late.append)
    taken: list[int] = []
    now = threading.Event()

    def send(first):
        now.wait()
        for item in range(first, first + 200):
            if item % 2:
                pool.send_again(item, perf_counter_ns() + (item * 7919) % 3_000_000)
            elif not (pool.try_send(item) or pool.send(item, 5)):  # the first starts workers
                continue
            taken.append(item)

    senders = [threading.Thread(target=send, args=(number * 1000,)) for number in range(3)]
    for sender in senders:
        sender.start()
    now.set()
    for sender in senders:
        sender.join()
    drained = pool.close(5)

    assert sorted(taken) == sorted(ran + late), f"seed {seed}"
    assert [] == late, f"seed {seed}"
    assert 0 == drained.left


def test_a_loop_pool_waits_for_what_comes_again_within_the_grace():
    """The item is delayed before it has left, so that the pool never looks idle between two attempts."""
    again = [3]

    def start(loop, item):
        async def go():
            if again[0]:
                again[0] -= 1
                pool.send_again(item, perf_counter_ns() + 1_000_000)
            pool.ended(item, asyncio.get_running_loop(), 0)

        return loop.create_task(go())

    pool = LoopPool("fast", start, print, limit=1, capacity=1)
    assert pool.try_send("item")

    drained = pool.close(5)
    assert ([0], 0, 0) == (again, drained.dropped, drained.left)


class _Detour:
    """A channel on which whoever waits for room is late, as a thread may be that has just been woken."""

    def __init__(self, channel):
        self.channel = channel
        self.waits, self.go = threading.Event(), threading.Event()

    def send(self, item, timeout):
        self.waits.set()
        assert self.go.wait(10)
        self.channel.send(item, timeout)

    def __getattr__(self, name):
        return getattr(self.channel, name)

    def __len__(self):
        return len(self.channel)


@pytest.mark.parametrize("way", ["send_later", "send_again"])
def test_newcomers_stand_back_while_an_item_that_is_due_waits_for_room(way):
    """The place that falls vacant is its own: else busy senders could keep a delayed call, or a retry, out for ever."""
    first, ran, busy, vacant = threading.Event(), [], threading.Event(), threading.Event()

    def work(item):
        ran.append(item)
        if item == "first":
            busy.set()
            assert first.wait(10)
        if item == "second":
            vacant.set()
            assert over.wait(10)
        return 0

    over = threading.Event()
    pool = Pool("fast", work, print, workers=1, capacity=1)
    assert pool.try_send("first")
    assert busy.wait(5)
    assert pool.try_send("second")
    pool.channel = detour = _Detour(pool.channel)

    getattr(pool, way)("due", perf_counter_ns())
    assert detour.waits.wait(5)
    first.set()
    assert vacant.wait(5)  # the worker has taken the second: its place is free

    assert not pool.try_send("newcomer")
    detour.go.set()
    over.set()
    eventually(lambda: ran == ["first", "second", "due"])
    eventually(lambda: pool.try_send("newcomer"))
    assert 0 == pool.close(5).left
    assert ["first", "second", "due", "newcomer"] == ran
