"""Coroutines that wait for their own pool, which might wait for them."""

from __future__ import annotations

import asyncio

import pytest

import dispatch
from servers.patience import eventually

PLACE = """
version: 1
destinations:
  loop: {{transport: local, runner: asyncio, loop: {loop}, workers: {workers}, capacity: {capacity}, {more}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: loop}}
"""
LOOPS = ["own", "caller"]


class Count:
    """How many bodies are at work at once: neither ended nor waiting for another call."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


count = Count()
links: list[dispatch.Handle] = []


@pytest.fixture
def place(dispatcher):
    """The policy's only destination: a loop with few slots."""
    global count  # noqa: PLW0603 - tasks are functions of the module
    count = Count()

    def make(loop: str, *, workers: int = 1, capacity: int = 100, more: str = "on_shutdown: drop"):
        return dispatcher(PLACE.format(loop=loop, workers=workers, capacity=capacity, more=more))

    return make


def on_a_loop(make_handle):
    """The result of a call that is sent from a running loop, which `loop: caller` needs."""

    async def main():
        return await asyncio.wait_for(await make_handle(), 10)

    return asyncio.run(main())


@dispatch.task
async def leaf(number: int) -> int:
    with count:
        await asyncio.sleep(0)
    return number


@dispatch.task
async def chain(depth: int) -> int:
    """Waits for one below it, which waits for one below it."""
    if depth == 0:
        return 0
    links.append(chain.delay(depth - 1))
    return 1 + await links[-1]


@dispatch.task
async def fork(number: int) -> int:
    return sum(await dispatch.gather(leaf.map(range(number))))


@dispatch.task
async def fork_by_asyncio(number: int) -> int:
    return sum(await asyncio.gather(*(leaf.delay(each) for each in range(number))))


@dispatch.task
async def in_order_of_their_ends(number: int) -> int:
    return sum([handle.result() async for handle in leaf.map(range(number)).as_completed()])


@dispatch.task
async def nested(number: int) -> int:
    return sum(await dispatch.gather(fork.map([number] * 3)))


@dispatch.task
async def into_a_full_loop(number: int) -> int:
    """`adelay` with nobody to make room: the slot is ours."""
    total = 0
    for each in range(number):
        total += await (await leaf.adelay(each))
    return total


@dispatch.task
async def many_into_a_full_loop(number: int) -> int:
    handles = await asyncio.gather(*(leaf.adelay(each) for each in range(number)))
    return sum(await dispatch.gather(handles))


@dispatch.task
async def deeper_into_a_full_loop(depth: int) -> int:
    return 0 if depth == 0 else 1 + await (await deeper_into_a_full_loop.adelay(depth - 1))


@dispatch.task
async def plain_delay() -> str:
    handles = []
    try:
        handles.extend(leaf.delay(each) for each in range(10))
    except dispatch.NotAccepted as error:
        return str(error)
    return "accepted"


@dispatch.task
async def wait_for_later(number: int) -> int:
    """For calls that only wait once the loop is full of those who wait for them."""
    handles = [leaf.apply_async((each,), countdown=0.01) for each in range(number)]
    return sum(await dispatch.gather(handles))


@dispatch.task(retry=dispatch.Retry(attempts=3, backoff="10ms", jitter=False))
async def at_the_third_attempt(number: int, failures: list) -> int:
    if len(failures) < 2:
        failures.append(number)
        raise LookupError("not yet")
    return number


@dispatch.task
async def wait_for_attempts(number: int) -> int:
    return sum([await at_the_third_attempt.delay(each, []) for each in range(number)])


# ---- waiting for what has not started


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("task", "argument", "result"),
    [
        (chain, 30, 30),
        (fork, 50, 1225),
        (fork_by_asyncio, 50, 1225),
        (in_order_of_their_ends, 50, 1225),
        (nested, 10, 135),
        (wait_for_later, 20, 190),
        (wait_for_attempts, 5, 10),
    ],
)
def test_a_coroutine_may_wait_for_calls_of_its_own_full_loop(place, loop, task, argument, result):
    """With one slot, which it holds: it lends it to what it waits for."""
    place(loop)

    assert result == on_a_loop(lambda: task.adelay(argument))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("task", [fork, fork_by_asyncio])
def test_no_more_are_at_work_than_there_are_slots(place, loop, task):
    """A slot is lent to one at a time, however many its holder waits for."""
    place(loop, workers=2)

    async def main():
        return await dispatch.gather(await task.amap([20] * 5))

    assert [190] * 5 == asyncio.run(main())
    assert count.most <= 2


@pytest.mark.parametrize("loop", LOOPS)
def test_who_holds_no_slot_lends_none(place, loop):
    """An application's coroutine that waits for many calls does not make more of them run at once."""
    place(loop, workers=3)

    async def main():
        return sum(await asyncio.gather(*(leaf.delay(each) for each in range(50))))

    assert 1225 == asyncio.run(main())
    assert count.most <= 3


@pytest.mark.parametrize("loop", LOOPS)
def test_loans_of_loans_are_bounded(place, loop):
    """32 deep; the call beyond waits like anybody else, here until it is cancelled."""
    place(loop)

    async def main():
        assert 32 == await asyncio.wait_for(await chain.adelay(32), 10)
        links.clear()
        stuck = await chain.adelay(40)
        while len(links) < 33:  # noqa: ASYNC110 - on another loop, perhaps
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert ("waiting", "running") == (links[32].status, stuck.status)
        assert links[32].cancel()
        with pytest.raises(dispatch.CallCancelled):
            await asyncio.wait_for(stuck, 10)

    asyncio.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_call_that_was_run_out_of_its_turn_runs_once(place, loop):
    """It has left the line: nobody starts it again."""
    one = place(loop)

    assert 1225 == on_a_loop(lambda: fork.adelay(50))

    figures = one.statistics().destinations["loop"]
    eventually(lambda: one.statistics().destinations["loop"].finished == 51)
    assert (0, 0) == (figures.waiting, figures.errors)


# ---- sending into one's own full loop


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("task", "argument", "result"),
    [(into_a_full_loop, 20, 190), (many_into_a_full_loop, 20, 190), (deeper_into_a_full_loop, 30, 30)],
)
def test_a_coroutine_may_send_into_its_own_full_loop(place, loop, task, argument, result):
    """`block` acts as `next`, and with no other candidate the call runs while `adelay` waits for it."""
    place(loop, capacity=0, more="block_timeout: 1m")

    assert result == on_a_loop(lambda: task.adelay(argument))
    assert count.most <= 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plain_delay_into_its_own_full_loop_is_refused(place, loop):
    """It could not be finished before `delay` returns."""
    place(loop, capacity=2)

    assert "loop: full" in on_a_loop(plain_delay.adelay)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_adelay_that_is_cancelled_in_its_place_withdraws_what_has_not_started(place, loop):
    """What runs goes on; what waits for the lent slot does not run."""
    ran = []

    @dispatch.task(name=f"house.slow_{loop}")
    async def slow(number: int) -> None:
        ran.append(number)
        await asyncio.sleep(0.05)

    @dispatch.task(name=f"house.impatient_{loop}")
    async def impatient() -> list[int]:
        sending = [asyncio.ensure_future(slow.adelay(each)) for each in range(3)]
        while not ran:  # noqa: ASYNC110 - the task that runs knows no event of ours
            await asyncio.sleep(0)
        for each in sending:
            each.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        return list(ran)

    one = place(loop, capacity=0)

    assert [0] == on_a_loop(impatient.adelay)
    one.shutdown("5s")
    assert [0] == ran


# ---- threads


THREADS = """
version: 1
destinations:
  fast: {transport: local, workers: 1, capacity: 100}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""


@dispatch.task
def twice(number: int) -> int:
    return 2 * number


@dispatch.task
def fork_in_a_thread(number: int) -> int:
    return sum(twice.map(range(number)).results())


@dispatch.task
def in_order_in_a_thread(number: int) -> int:
    return sum(handle.result() for handle in dispatch.as_completed(twice.map(range(number))))


@pytest.mark.parametrize("task", [fork_in_a_thread, in_order_in_a_thread])
def test_a_worker_may_wait_for_a_group_of_its_own_pool(dispatcher, task):
    """It runs them where it stands, as it does with a single one."""
    dispatcher(THREADS)

    assert 90 == task.delay(10).result(timeout=10)
