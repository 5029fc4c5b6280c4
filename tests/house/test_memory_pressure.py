"""Under memory pressure local destinations are as if full, and afterwards they are as before."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

import dispatch
from dispatch import _compose
from dispatch._dispatcher import Dispatcher
from dispatch._pressure import Marks, Pressure
from dispatch._pressure_watch import PressureWatch
from dispatch.policy import parse
from dispatch.settings import Settings
from servers.patience import eventually

WHY = "memory is at 93 % of 512 MiB (cgroup), over the mark of 90 %"
TEXT = """
version: 1
destinations:
  fast: {{transport: local, capacity: 100, {settings}}}
  spare: {{transport: local, {spare}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast{more}}}
"""
WAIT = ", block_timeout: 20s"


def policy(settings: str, *, spare: str = "reached_by: pins", more: str = "") -> str:
    return TEXT.format(settings=settings, spare=spare, more=more)


RUNNERS = ["runner: thread", "runner: process, workers: 1", "runner: thread, max_bytes: 1MiB"]
LOOPS = ["runner: asyncio", "runner: asyncio, loop: caller", "runner: asyncio, loop: caller, max_bytes: 1MiB"]


def double(number: int) -> int:
    return 2 * number


double = dispatch.task(double, name="house.test_memory_pressure.double")


@dispatch.task
async def adouble(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@dispatch.task
def hold(gate: threading.Event) -> str:
    return "done" if gate.wait(20) else "left alone"


@pytest.fixture
def calm(dispatcher):
    """A dispatcher whose own watch is off, so that the test alone presses."""

    def make(settings):
        return dispatcher(policy(settings))

    return make


def press(dispatcher, why=WHY):
    _compose.press(dispatcher.destinations, why)


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch):
    monkeypatch.setenv("DISPATCH_MEMORY_HIGH", "off")


@pytest.mark.parametrize("settings", ["runner: thread", "runner: thread, max_bytes: 1MiB"])
def test_reject_is_an_error_at_once_that_says_it(calm, settings):
    press(calm(f"{settings}, on_full: reject"))

    with pytest.raises(dispatch.DestinationFull, match="93 % of 512 MiB"):
        hold.delay(threading.Event())


@pytest.mark.parametrize("countdown", [0, 60], ids=["now", "later"])
def test_next_takes_the_next_candidate_and_says_why(dispatcher, countdown):
    one = dispatcher(policy("on_full: next", spare="workers: 1", more=", fallback: [spare]"))
    one.destinations["fast"].press(WHY)
    handle = double.apply_async((4,), countdown=countdown)

    assert handle.decision.destination == "spare"
    assert [(each.destination, each.why, each.detail) for each in handle.decision.passed_over] == [
        ("fast", "full", WHY)
    ]
    handle.cancel()


def test_caller_runs_still_runs_where_it_was_sent(calm):
    press(calm("on_full: caller_runs"))

    assert threading.current_thread() is here.delay().result(5)


@dispatch.task
def here() -> threading.Thread:
    return threading.current_thread()


def test_what_is_in_goes_on_and_drains(calm):
    one = calm("workers: 1, on_full: reject")
    gate = threading.Event()
    inside = [hold.delay(gate) for _ in range(3)]
    press(one)
    gate.set()

    assert ["done"] * 3 == [each.result(10) for each in inside]
    with pytest.raises(dispatch.DestinationFull):
        hold.delay(gate)


@pytest.mark.parametrize("settings", RUNNERS)
def test_who_waits_gets_through_when_it_is_over(calm, settings):
    one = calm(settings + WAIT)
    press(one)
    got = []
    senders = [threading.Thread(target=lambda n=n: got.append(double.delay(n).result(20))) for n in range(4)]
    for each in senders:
        each.start()
    eventually(lambda: one.statistics().destinations["fast"].alarm)
    assert got == []
    press(one, None)
    for each in senders:
        each.join(20)

    assert sorted(got) == [0, 2, 4, 6]
    assert one.statistics().destinations["fast"].alarm is None


@pytest.mark.parametrize("settings", LOOPS)
def test_coroutines_wait_too_and_get_through_when_it_is_over(calm, settings):
    one = calm(settings + WAIT)

    async def main():
        press(one)
        calls = [asyncio.ensure_future(adouble.adelay(n)) for n in range(4)]
        for _ in range(20):  # turns in which they would get through
            await asyncio.sleep(0)
        waiting = [each.done() for each in calls]
        press(one, None)
        return waiting, [await (await each) for each in calls]

    assert ([False] * 4, [0, 2, 4, 6]) == asyncio.run(main())


@pytest.mark.parametrize("settings", ["runner: thread, workers: 2", "runner: asyncio", "max_bytes: 200B, workers: 2"])
def test_however_often_it_comes_and_goes_every_sender_gets_through(calm, settings):
    """Back pressure that stays for ever is the bug that others had."""
    one = calm(settings + WAIT)
    task, rng = (adouble if "asyncio" in settings else double), random.Random(7)
    over = threading.Event()
    got = []

    def send(numbers):
        got.extend(task.delay(number).result(30) for number in numbers)

    def trouble():
        while not over.is_set():
            press(one, WHY if rng.random() < 0.7 else None)
            over.wait(rng.random() / 1000)
        press(one, None)

    troubles = threading.Thread(target=trouble)
    senders = [threading.Thread(target=send, args=(range(n, 800, 4),)) for n in range(4)]
    for each in (troubles, *senders):
        each.start()
    for each in senders:
        each.join(30)
    over.set()
    troubles.join(5)

    assert sorted(got) == [2 * number for number in range(800)]


def test_each_crossing_is_logged_once_and_every_look_is_told(caplog):
    caplog.set_level("INFO")
    levels = iter([10, 95, 96, 85, 70, 60])
    told = []
    watch = PressureWatch(lambda: Pressure(Marks(90, 80, shares=False), own=lambda: next(levels)), told.append)
    for _ in range(6):
        watch.look()

    assert [each is not None for each in told] == [False, True, True, True, False, False]
    assert [each.levelname for each in caplog.records if "memory" in each.name] == ["WARNING", "INFO"]


def test_a_process_that_grows_over_its_mark_takes_nothing_until_it_has_shrunk(remembering_memory):
    """In earnest: the marks are sizes of this process itself."""
    one = remembering_memory
    assert double.delay(1).result(5) == 2
    ballast = bytearray(b"x") * (96 << 20)
    eventually(lambda: one.statistics().destinations["fast"].alarm, what="the alarm")
    with pytest.raises(dispatch.DestinationFull, match="memory of this process"):
        double.delay(1)
    ballast.clear()
    eventually(lambda: one.statistics().destinations["fast"].alarm is None, what="its end")

    assert double.delay(2).result(5) == 4


@pytest.fixture
def remembering_memory(monkeypatch):
    from dispatch import _default
    from dispatch._memory import resident

    now = resident() >> 20
    settings = Settings(memory_high=f"{now + 64}MiB", memory_low=f"{now + 32}MiB")
    one = Dispatcher(policy=parse(policy("on_full: reject")), settings=settings)
    monkeypatch.setattr(_default._default, "dispatcher", one)
    yield one
    one.shutdown("5s")
    assert not [each for each in threading.enumerate() if each.name == "dispatch-memory"]
