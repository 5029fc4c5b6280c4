"""Local destinations bounded by bytes: what waits, who stands in line, and that nothing is ever left over."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

import dispatch
from dispatch._units import show_size
from dispatch.pool import Allowance
from dispatch.testing import clock
from servers.patience import eventually

TEXT = """
version: 1
destinations:
  fast: {{transport: local, {settings}}}
  spare: {{transport: local, reached_by: pins, workers: 1, capacity: 1000}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast{more}}}
"""
TIGHT = "workers: 1, capacity: 100, max_bytes: 1KiB, block_timeout: 10s"
SPARE = ", fallback: [spare]"
RUNNERS = ["runner: thread", "runner: asyncio", "runner: asyncio, loop: caller"]


def policy(settings: str = TIGHT, *, more: str = "") -> str:
    return TEXT.format(settings=settings, more=more)


class Gate:
    """Tasks stop here until the test lets them go."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.open = threading.Event()


gate = Gate()


@pytest.fixture(autouse=True)
def _a_new_gate() -> Iterator[None]:
    global gate  # noqa: PLW0603 - tasks are functions of the module
    gate = Gate()
    yield
    gate.open.set()


@dispatch.task
def hold(_text: str = "") -> None:
    gate.started.release()
    assert gate.open.wait(20)


@dispatch.task
async def ahold(_text: str = "") -> None:
    gate.started.release()
    while not gate.open.is_set():  # noqa: ASYNC110 - another thread sets it
        await asyncio.sleep(0.001)


@dispatch.task
def echo(text: str) -> int:
    return len(text)


@dispatch.task
async def aecho(text: str) -> int:
    await asyncio.sleep(0)
    return len(text)


@dispatch.task
def opaque(_thing: object) -> str:
    return "ran"


def held(dispatcher) -> int:
    return dispatcher.destinations["fast"].statistics().bytes


def occupied(task=hold) -> None:
    """The only worker runs a call."""
    task.delay()
    assert gate.started.acquire(timeout=5)


# ---- what is taken, and what is passed over


def test_bytes_that_wait_are_bounded_besides_items(dispatcher):
    """The third call would be one too many for the bytes, with room for a hundred calls."""
    one = dispatcher(policy(TIGHT.replace("10s", "1ms"), more=SPARE))
    occupied()

    handles = [echo.delay("x" * 400) for _ in range(3)]

    assert ["fast", "fast", "spare"] == [each.decision.destination for each in handles]
    assert [("fast", "full")] == [(each.destination, each.why) for each in handles[2].decision.passed_over]
    assert "of 1 KiB" in handles[2].decision.passed_over[0].detail
    assert 800 < held(one) <= 1024
    gate.open.set()
    assert [400, 400, 400] == [each.result(timeout=5) for each in handles]
    assert 0 == held(one)


def test_a_single_call_beyond_the_bound_is_too_big(dispatcher):
    """However empty the pool is; the reason names the key, and `explain` says the same."""
    dispatcher(policy(more=SPARE))

    handle = echo.delay("x" * 2000)

    assert "spare" == handle.decision.destination
    assert [("fast", "too_big", "its max_bytes is 1 KiB")] == [
        (each.destination, each.why, each.detail) for each in handle.decision.passed_over
    ]
    assert "spare" == dispatch.explain(echo, "x" * 2000).decision.destination
    dispatcher(policy())
    with pytest.raises(dispatch.NotAccepted, match="too_big"):
        echo.delay("x" * 2000)


def test_what_cannot_be_measured_counts_for_nothing(dispatcher):
    """An object of unknown type: the number of calls still bounds it."""
    one = dispatcher(policy())
    occupied()

    handle = opaque.delay(object())

    assert 0 == held(one)
    gate.open.set()
    assert "ran" == handle.result(timeout=5)


def test_what_runs_does_not_count(dispatcher):
    """Bytes are given back when a worker takes the call, not when it ends."""
    one = dispatcher(policy())

    hold.delay("x" * 500)
    assert gate.started.acquire(timeout=5)

    assert 0 == held(one)


TASKS = pytest.mark.parametrize("measured", [echo, aecho], ids=["function", "coroutine"])


@TASKS
def test_a_delayed_call_counts_until_its_time_has_come(dispatcher, measured):
    """Its bytes are taken when it is accepted; when it is due and a worker has it, they are given back."""
    fast = dispatcher(policy(more=SPARE)).destinations["fast"]
    with clock() as time:
        handle = measured.apply_async(("x" * 900,), countdown=10)
        assert 900 <= fast.statistics().bytes <= 1024
        assert "spare" == measured.apply_async(("x" * 900,), countdown=10).decision.destination

        time.advance("10s")
        assert 900 == handle.result(timeout=5)
    assert 0 == fast.statistics().bytes


@TASKS
def test_a_delayed_call_that_is_cancelled_gives_its_bytes_back_at_once(dispatcher, measured):
    """Nobody has to wait for a time that does not matter any more."""
    fast = dispatcher(policy(more=SPARE)).destinations["fast"]
    handle = measured.apply_async(("x" * 900,), countdown=3600)

    assert handle.cancel()

    assert 0 == fast.statistics().bytes


def fail_once(text: str, failures: list[int]) -> int:
    """Hold the first attempt at the gate; it fails there."""
    if failures:
        failures.pop()
        gate.started.release()
        assert gate.open.wait(20)
        raise ConnectionError
    return len(text)


AGAIN = dispatch.Retry(attempts=2, on=ConnectionError, backoff="10s", jitter=False)


@dispatch.task(retry=AGAIN)
def echo_again(text: str, failures: list[int]) -> int:
    return fail_once(text, failures)


@dispatch.task(retry=AGAIN)
async def aecho_again(text: str, failures: list[int]) -> int:
    return fail_once(text, failures)


@pytest.mark.parametrize("measured", [echo_again, aecho_again], ids=["function", "coroutine"])
def test_a_further_attempt_counts_and_is_never_refused_for_want_of_bytes(dispatcher, measured):
    """The call was accepted: what is held may exceed the bound by what was running."""
    fast = dispatcher(policy()).destinations["fast"]
    with clock() as time:
        handle = measured.delay("x" * 800, [1])
        assert gate.started.acquire(timeout=5)
        delayed = echo.apply_async(("x" * 900,), countdown=3600)
        gate.open.set()
        eventually(lambda: fast.statistics().timers == 2)

        assert 1700 <= fast.statistics().bytes
        time.advance("10s")
        assert 800 == handle.result(timeout=5)
        assert 900 <= fast.statistics().bytes <= 1024
        assert delayed.cancel()
    assert 0 == fast.statistics().bytes


def test_a_policy_without_a_bound_measures_nothing(dispatcher):
    """Nobody pays for what nobody asked."""
    dispatcher(policy("workers: 1"))

    assert echo.delay("x").decision.payload_bytes is None


# ---- waiting for bytes


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_coroutine_waits_for_bytes_and_the_loop_goes_on(dispatcher, runner):
    """From any loop to any runner: `adelay` returns when there is room."""
    one = dispatcher(policy(f"{runner}, {TIGHT}"))
    first, second = (hold, echo) if runner == "runner: thread" else (ahold, aecho)

    async def main() -> list[int]:
        first.delay()
        while not gate.started.acquire(blocking=False):  # noqa: ASYNC110 - another thread, or this loop, releases it
            await asyncio.sleep(0)
        waiting = await second.adelay("x" * 900)
        blocked = asyncio.create_task(second.adelay("x" * 800))
        await asyncio.sleep(0)
        assert not blocked.done()
        gate.open.set()
        return [await waiting, await (await blocked)]

    assert [900, 800] == asyncio.run(main())
    assert 0 == held(one)


def test_a_thread_waits_for_bytes(dispatcher):
    """`delay` blocks with `on_full: block`, and goes on when a worker has taken what was ahead."""
    dispatcher(policy())
    occupied()
    echo.delay("x" * 900)
    sent: list[dispatch.Handle] = []
    thread = threading.Thread(target=lambda: sent.append(echo.delay("y" * 800)))
    thread.start()

    gate.open.set()
    thread.join(10)

    assert [800] == [each.result(timeout=5) for each in sent]


def test_nobody_passes_a_large_call_that_waits():
    """A small one that would fit stands in line behind it, so that the large one is not starved."""
    allowance: Allowance[str] = Allowance(100, len)
    first, large, small = "a" * 60, "b" * 90, "c" * 10
    assert allowance.try_take(first)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(allowance.take(large, 10)))
    thread.start()
    eventually(lambda: len(allowance._line) == 1)

    assert not allowance.try_take(small)
    allowance.give(first)
    thread.join(10)
    assert [True] == taken
    assert 90 == allowance.held
    assert allowance.try_take(small)


def test_who_gives_up_makes_room_for_those_behind():
    """A large one leaves the line at its deadline, and the small one behind it fits."""
    allowance: Allowance[str] = Allowance(100, len)
    first, large, small = "a" * 60, "b" * 90, "c" * 10
    assert allowance.try_take(first)
    ended = threading.Event()
    results: dict[str, bool] = {}

    def want(item: str, timeout: float) -> None:
        results[item[0]] = allowance.take(item, timeout)
        ended.set()

    threads = [threading.Thread(target=want, args=(item, timeout)) for item, timeout in ((large, 0.05), (small, 30))]
    for position, thread in enumerate(threads, 1):
        thread.start()
        eventually(lambda position=position: len(allowance._line) == position or ended.is_set())
    for thread in threads:
        thread.join(5)

    assert {"b": False, "c": True} == results
    assert 70 == allowance.held


def test_a_cancelled_waiter_leaves_nothing_behind(dispatcher):
    """Neither bytes nor a place in the line."""
    one = dispatcher(policy(f"runner: asyncio, loop: caller, {TIGHT}"))

    async def main() -> int:
        ahold.delay()
        await asyncio.sleep(0)
        waiting = await aecho.adelay("x" * 900)
        blocked = asyncio.create_task(aecho.adelay("x" * 900))
        await asyncio.sleep(0)
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)
        gate.open.set()
        return await waiting

    assert 900 == asyncio.run(main())
    assert 0 == held(one)


# ---- ends


@pytest.mark.parametrize("runner", RUNNERS[:2])
def test_dropped_and_cancelled_calls_give_their_bytes_back(dispatcher, runner):
    """At shutdown, and when a worker skips what was cancelled."""
    one = dispatcher(policy(f"{runner}, {TIGHT}, on_shutdown: drop"))
    occupied(hold if runner == "runner: thread" else ahold)
    task = echo if runner == "runner: thread" else aecho
    cancelled, dropped = task.delay("x" * 300), task.delay("x" * 300)

    assert cancelled.cancel()
    closing = threading.Thread(target=one.shutdown, args=("5s",))
    closing.start()
    assert isinstance(dropped.exception(timeout=5), dispatch.CallCancelled)
    gate.open.set()
    closing.join(10)

    assert 0 == held(one)


def test_shutdown_sends_away_who_stands_in_line(dispatcher):
    """At once, with `NotAccepted`: it is not left to its timeout."""
    one = dispatcher(policy())
    occupied()
    echo.delay("x" * 900)
    refused: list[BaseException] = []

    def send() -> None:
        try:
            echo.delay("x" * 900)
        except dispatch.NotAccepted as error:
            refused.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: len(one.destinations["fast"]._allowance._line) == 1)
    one.shutdown("1ms")
    sender.join(5)

    assert ["it was shut down" in str(each) for each in refused] == [True]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("on_full", ["block, block_timeout: 20ms", "next"], ids=["block", "next"])
def test_a_storm_never_exceeds_the_bound_and_leaves_nothing(dispatcher, runner, on_full):
    """Threads and coroutines send calls of all sizes, wait, give up and cancel; the seed says which."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - to run it again
    chance = random.Random(seed)
    one = dispatcher(policy(f"{runner}, workers: 3, capacity: 3, max_bytes: 2KiB, on_full: {on_full}"))
    task = echo if runner == "runner: thread" else aecho
    allowance = one.destinations["fast"]._allowance
    most = 0
    plans = [[chance.choice([1, 50, 300, 900, 1900, 3000]) for _ in range(40)] for _ in range(6)]
    cancels = {chance.randrange(240) for _ in range(40)}
    ended: list[dispatch.Handle] = []

    async def sender(number: int, sizes: list[int]) -> None:
        nonlocal most
        handles = []
        for position, size in enumerate(sizes):
            try:
                handles.append(await asyncio.wait_for(task.adelay("x" * size), 0.05))
            except (dispatch.NotAccepted, TimeoutError):
                continue
            finally:
                most = max(most, allowance.held)
            if number * 40 + position in cancels:
                handles[-1].cancel()
        for handle in handles:
            await asyncio.wait([asyncio.ensure_future(_settled(handle))])
        ended.extend(handles)

    async def loop_of_senders(numbers: list[int]) -> None:
        await asyncio.gather(*(sender(each, plans[each]) for each in numbers))

    def run(numbers: list[int]) -> None:
        asyncio.run(loop_of_senders(numbers))

    threads = [threading.Thread(target=run, args=(numbers,)) for numbers in ([0, 1], [2, 3], [4, 5])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert most <= 2048, show_size(most)
    assert sum(allowance._taken.values()) == allowance.held
    eventually(lambda: allowance.held == 0 and not allowance._line and not allowance._taken)
    assert all(each.done() for each in ended)
    assert ended


async def _settled(handle: dispatch.Handle) -> None:
    with suppress(dispatch.CallFailed):
        await handle
