"""Many calls at once: `map`, `gather` and `as_completed`, in threads and in coroutines."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import traceback
import weakref

import pytest

import dispatch
from dispatch._endings import Endings

TIGHT = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 1, on_full: {on_full}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast}}
"""
gates: dict[int, threading.Event] = {}
started: dict[int, threading.Event] = {}


@dispatch.task
def hold(number: int) -> int:
    started[number].set()
    assert gates[number].wait(10)
    return number


@dispatch.task
def add(number: int, more: int = 1, *, times: int = 1) -> int:
    return number + more * times


@dispatch.task
def picky(number: int) -> int:
    if number % 2:
        raise LookupError(f"no order {number}")
    return number


@dispatch.task
def stop(number: int) -> None:
    raise SystemExit(number)


@pytest.fixture
def held():
    """Three gates, in each of which a call of `hold` stands until it is opened, or the test ends."""
    numbers = list(range(len(gates), len(gates) + 3))
    for number in numbers:
        gates[number], started[number] = threading.Event(), threading.Event()
    yield numbers
    for number in numbers:
        gates[number].set()


# Results ---------------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items(dispatcher, held):
    """Whichever call ends first."""
    dispatcher()
    batch = hold.map(held[:2])
    gates[held[1]].set()
    batch[1].result(timeout=5)
    gates[held[0]].set()

    assert held[:2] == batch.results(timeout=5)


def test_what_is_common_goes_to_every_call(dispatcher):
    """Positional arguments behind the item, and keyword arguments."""
    dispatcher()

    assert [20, 21, 22] == add.map(range(3), 10, times=2).results(timeout=5)


def test_a_map_of_nothing_has_no_results(dispatcher):
    """An empty group is done."""
    dispatcher()

    assert [] == add.map([]).results(timeout=0)
    assert [] == list(add.map([]).as_completed())
    assert [] == dispatch.gather().results()


def test_the_first_error_is_raised_while_others_still_run(dispatcher, held):
    """It is the task's own, and the other calls go on."""
    dispatcher()
    slow, failing = hold.delay(held[0]), picky.delay(1)

    with pytest.raises(LookupError, match="no order 1"):
        dispatch.gather(slow, failing).results(timeout=5)

    assert not slow.done()
    gates[held[0]].set()
    assert held[0] == slow.result(timeout=5)


def test_an_error_that_was_there_before_is_raised_at_once(dispatcher, held):
    """Nobody waits for a call that cannot change the answer."""
    dispatcher()
    slow, failing = hold.delay(held[0]), picky.delay(1)
    assert failing.exception(timeout=5)

    with pytest.raises(LookupError):
        dispatch.gather(slow, failing).results(timeout=0)


def test_all_errors_come_in_one_group(dispatcher):
    """Each with the frames where it happened, and only those."""
    dispatcher()
    batch = picky.map(range(4))

    for _ in range(2):
        with pytest.raises(ExceptionGroup, match=r"2 of 4 calls of .*picky failed") as caught:
            batch.results(timeout=5, errors="all")
        assert ["no order 1", "no order 3"] == [str(each) for each in caught.value.exceptions]
        assert [["picky"]] * 2 == [
            [frame.name for frame in traceback.extract_tb(each.__traceback__)] for each in caught.value.exceptions
        ]


def test_errors_may_stand_among_the_results(dispatcher):
    """As `asyncio.gather` has it with `return_exceptions`."""
    dispatcher()

    zero, one, two = picky.map(range(3)).results(timeout=5, errors="return")

    assert (0, 2) == (zero, two)
    assert isinstance(one, LookupError)


def test_a_tasks_exit_is_an_error_like_any_other(dispatcher):
    """`SystemExit` in a task makes a `BaseExceptionGroup`, which does not end the caller by mistake."""
    dispatcher()

    with pytest.raises(BaseExceptionGroup):
        stop.map([1, 2]).results(timeout=5, errors="all")


def test_an_unknown_word_for_errors_is_refused(dispatcher):
    """With the words that are known."""
    dispatcher()

    with pytest.raises(ValueError, match="'first', 'all' or 'return'"):
        add.map([1]).results(errors="none")


def test_a_timeout_says_how_many_are_missing(dispatcher, held):
    """And the calls go on."""
    dispatcher()
    batch = dispatch.gather(add.delay(1), hold.delay(held[0]))
    batch[0].result(timeout=5)

    with pytest.raises(TimeoutError, match="1 of 2 calls have not finished after 0 s"):
        batch.results(timeout=0)

    gates[held[0]].set()
    assert [2, held[0]] == batch.results(timeout=5)


def test_cancel_keeps_from_running_what_has_not_started(dispatcher, held):
    """When the results raise, here of a timeout, and only with `cancel=True`."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s").replace("capacity: 1", "capacity: 10"))
    running, *waiting = batch = hold.map(held)
    assert started[held[0]].wait(5)

    with pytest.raises(TimeoutError):
        batch.results(timeout=0)
    assert ["waiting", "waiting"] == [each.status for each in waiting]
    with pytest.raises(TimeoutError):
        batch.results(timeout=0, cancel=True)

    assert ["cancelled", "cancelled"] == [each.status for each in waiting]
    gates[held[0]].set()
    assert held[0] == running.result(timeout=5)
    with pytest.raises(dispatch.CallCancelled):
        batch.results(timeout=5)


def test_a_group_says_how_many_it_cancelled(dispatcher, held):
    """Not those that run, nor those that were cancelled before."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s").replace("capacity: 1", "capacity: 10"))
    batch = hold.map(held)
    assert started[held[0]].wait(5)

    assert 2 == batch.cancel()
    assert 0 == batch.cancel()


def test_a_failed_group_leaves_no_cycle_behind(dispatcher):
    """Its handles go away with the last reference, without the garbage collector."""
    dispatcher()
    gc.collect()
    gc.disable()
    try:
        for errors in ("first", "all"):
            batch = picky.map(range(3))
            handles = [weakref.ref(handle) for handle in batch]
            with pytest.raises((LookupError, ExceptionGroup)):
                batch.results(timeout=5, errors=errors)
            dispatch.gather(batch).results(timeout=5, errors="return")
            del batch

            assert [None] * 3 == [handle() for handle in handles]
    finally:
        gc.enable()


def test_in_a_forked_child_the_parents_groups_are_lost(dispatcher, held):
    """It is said at once, not waited for; what had ended before can be read."""
    dispatcher()
    batch = dispatch.gather(add.delay(1), hold.delay(held[0]))
    batch[0].result(timeout=5)

    pid = os.fork()
    if pid == 0:
        try:
            batch.results(timeout=5)
        except dispatch.HandleLost:
            os._exit(0 if dispatch.gather(batch[0]).results() == [2] else 2)
        os._exit(1)
    _, status = os.waitpid(pid, 0)

    assert 0 == status


# As they end -----------------------------------------------------------------------------------------------------


def test_handles_come_as_their_calls_end(dispatcher, held):
    """Those that have ended already come first."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s").replace("workers: 1", "workers: 4"))
    quick = add.delay(1)
    quick.result(timeout=5)
    slow = [hold.delay(number) for number in held]
    coming = iter(dispatch.as_completed([*slow, quick], timeout=10))

    assert quick is next(coming)
    for number in (held[2], held[0], held[1]):
        gates[number].set()
        handle = next(coming)
        assert handle.done()
        assert number == handle.result()
    assert [] == list(coming)


def test_waiting_for_the_next_one_takes_at_most_the_timeout(dispatcher, held):
    """Counted over the whole iteration."""
    dispatcher()
    batch = hold.map(held[:1])

    with pytest.raises(TimeoutError, match="1 of 1 calls"):
        next(iter(batch.as_completed(timeout=0)))


def test_leaving_early_leaves_nothing_behind(dispatcher, held):
    """Nobody is told of a call that nobody waits for any more."""
    dispatcher()
    batch = dispatch.gather(add.delay(1), hold.delay(held[0]))

    for _ in batch.as_completed(timeout=5):
        break

    assert () == batch[1]._call._waiters


def test_handles_that_came_are_not_kept(dispatcher):
    """So that the results of many calls are not all in memory at once."""
    dispatcher()
    seen: list[weakref.ref[dispatch.Handle[int]]] = []

    for handle in dispatch.as_completed(add.delay(number) for number in range(20)):
        assert [] == [each for each in seen if each() is not None]
        seen.append(weakref.ref(handle))
        del handle

    assert 20 == len(seen)


def test_every_ending_is_counted_exactly_once(dispatcher):
    """With many threads ending calls while another reads, at a tiny switch interval."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s").replace("workers: 1", "workers: 8"))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            assert list(range(1, 51)) == add.map(range(50)).results(timeout=10)
            assert set(range(1, 51)) == {each.result() for each in add.map(range(50)).as_completed(timeout=10)}
    finally:
        sys.setswitchinterval(before)


def test_a_bell_rings_once(dispatcher, held):
    """Whoever waits is woken when enough have ended, and never again."""
    dispatcher()
    rung = []
    with Endings([hold.delay(number) for number in held[:2]], all_of_them=False) as endings:
        assert endings.tell(lambda: rung.append(endings.ended))
        for number in held[:2]:
            gates[number].set()
        dispatch.gather(hold.delay(number) for number in held[:2]).results(timeout=5)

        assert not endings.tell(lambda: rung.append(0))
    assert [1] == rung


# Sending ---------------------------------------------------------------------------------------------------------


def test_items_are_drawn_as_there_is_room(dispatcher):
    """A map over a generator never runs further ahead than the pool lets it: back pressure reaches the source."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s"))
    finished, ahead = [], []

    @dispatch.task(name="groups.finish")
    def finish(number):
        finished.append(number)

    def items():
        for number in range(200):
            ahead.append(number - len(finished))
            yield number

    finish.map(items()).results(timeout=10)

    assert 200 == len(finished)
    assert 3 >= max(ahead)


def test_a_map_that_stops_in_the_middle_gives_what_it_sent(dispatcher, held):
    """Refused by a full pool: the error has the group of the calls before, and its cause."""
    dispatcher(TIGHT.format(on_full="reject"))
    running = hold.delay(held[0])
    assert started[held[0]].wait(5)

    with pytest.raises(dispatch.PartlySent, match="stopped at item 1, counted from 0: DestinationFull") as caught:
        add.map(range(5))

    assert isinstance(caught.value.__cause__, dispatch.DestinationFull)
    assert 1 == len(caught.value.sent)
    gates[held[0]].set()
    running.result(timeout=5)
    assert [1] == caught.value.sent.results(timeout=5)


def test_an_iterator_that_breaks_gives_what_was_sent(dispatcher):
    """Its own error is the cause."""
    dispatcher()

    def items():
        yield from range(3)
        raise OSError("the file ends here")

    with pytest.raises(dispatch.PartlySent) as caught:
        add.map(items())

    assert isinstance(caught.value.__cause__, OSError)
    assert [1, 2, 3] == caught.value.sent.results(timeout=5)


def test_an_interrupt_stays_one_and_has_what_was_sent(dispatcher):
    """Ctrl-C is no `DispatchError`."""
    dispatcher()

    def items():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        add.map(items())

    assert [2] == caught.value.sent.results(timeout=5)


def test_a_map_of_which_nothing_was_sent_raises_as_delay_does(dispatcher):
    """There is nothing to keep track of."""
    dispatcher()

    with pytest.raises(dispatch.NotAccepted):
        add.options(durability="durable").map(range(3))


def test_arguments_that_do_not_fit_are_refused_before_any_item_is_drawn(dispatcher):
    """Whatever is common is the same for all."""
    dispatcher()
    items = iter(range(3))

    with pytest.raises(TypeError):
        add.map(items, size=1)

    assert [0, 1, 2] == list(items)


# In coroutines ---------------------------------------------------------------------------------------------------


def test_a_group_is_awaited(dispatcher):
    """`await batch` gives the results in order; the loop stays free, and no thread is taken for it."""
    dispatcher()

    async def main():
        batch = await add.amap(range(3))
        return await batch, await dispatch.gather(batch[0], batch)

    assert ([1, 2, 3], [1, 1, 2, 3]) == asyncio.run(main())


def test_a_coroutine_says_how_it_meets_errors(dispatcher, held):
    """`aresults` takes what `results` takes."""
    dispatcher()

    async def main():
        slow = hold.delay(held[0])
        batch = picky.map(range(2))
        with pytest.raises(LookupError):
            await dispatch.gather(slow, batch)
        with pytest.raises(ExceptionGroup):
            await batch.aresults(errors="all")
        with pytest.raises(TimeoutError):
            await dispatch.gather(slow).aresults(timeout=0)
        return await batch.aresults(errors="return")

    zero, one = asyncio.run(main())

    assert 0 == zero
    assert isinstance(one, LookupError)


def test_async_for_takes_handles_as_they_end(dispatcher, held):
    """Woken from the worker's thread, one by one."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s").replace("workers: 1", "workers: 3"))

    async def main():
        came = []
        order = [held[1], held[2], held[0]]
        batch = [await hold.adelay(number) for number in held]
        gates[order[0]].set()
        async for handle in dispatch.as_completed(batch, timeout=10):
            came.append(await handle)
            if len(came) < 3:
                gates[order[len(came)]].set()
        return came == order

    assert asyncio.run(main())


def test_what_would_stop_the_loop_is_refused(dispatcher, held):
    """With the form that does not."""
    dispatcher()

    async def main():
        batch = hold.map(held[:1])
        with pytest.raises(dispatch.WouldBlock, match="await group"):
            batch.results()
        with pytest.raises(dispatch.WouldBlock, match="async for"):
            next(iter(batch.as_completed()))
        gates[held[0]].set()
        await batch
        assert held[:1] == batch.results()

    asyncio.run(main())


def test_amap_lets_the_loop_turn(dispatcher):
    """Also while no send has to wait."""
    dispatcher(TIGHT.format(on_full="next").replace("capacity: 1", "capacity: 20000"))

    async def main():
        turns = 0

        async def clock():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(clock())
        batch = await add.amap(range(10_000))
        ticking.cancel()
        await batch
        return turns

    assert 3 <= asyncio.run(main())


def test_amap_draws_from_async_iterables(dispatcher):
    """And waits for room while it does, where the pool has little."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 10s"))

    async def items():
        for number in range(20):
            yield number

    async def main():
        return await (await add.amap(items()))

    assert list(range(1, 21)) == asyncio.run(main())


def test_a_cancelled_amap_has_what_was_sent(dispatcher):
    """The cancellation stays one, and the calls go on."""
    dispatcher()

    async def items():
        yield 1
        asyncio.current_task().cancel()
        await asyncio.Event().wait()

    async def main():
        try:
            await add.amap(items())
        except asyncio.CancelledError as error:
            asyncio.current_task().uncancel()
            return await error.sent

    assert [2] == asyncio.run(main())


# Looking at them -------------------------------------------------------------------------------------------------


def test_a_group_tells_where_its_calls_went(dispatcher):
    """How many to which destination by which rule; it is shown, counted, indexed and iterated."""
    dispatcher()
    batch = add.map(range(3))
    batch.results(timeout=5)

    assert {("fast", "otherwise"): 3} == batch.decisions()
    assert 3 == len(batch)
    assert list(batch)[1] is batch[1]
    assert repr(batch).endswith("add | 3 fast by otherwise | 0 unfinished>")


def test_only_handles_are_gathered(dispatcher):
    """What else is given is named."""
    dispatcher()

    with pytest.raises(TypeError, match="1 is neither a handle nor an iterable of handles"):
        dispatch.gather(1)
    with pytest.raises(TypeError, match="'x' is no handle"):
        dispatch.as_completed("x")


def test_a_bar_is_shown_on_a_terminal_only(dispatcher, capfd):
    """Or wherever it is asked for: `show=True`."""
    dispatcher()
    batch = add.map(range(3))

    assert [1, 2, 3] == batch.progress().results(timeout=5)
    assert ("", "") == capfd.readouterr()
    assert [1, 2, 3] == batch.progress("sums", show=True).results(timeout=5)
    out, err = capfd.readouterr()
    assert "" == out
    assert "sums" in err
    assert "3/3" in err
    assert 3 == len(list(batch.progress(show=True).as_completed()))
    assert "add" in capfd.readouterr().err


# Both paths ------------------------------------------------------------------------------------------------------

SHOP = """
import dispatch

app = dispatch.celery_app()

@dispatch.task
def here(number: int) -> int:
    return number

@dispatch.task(only="celery")
def there(number: int) -> int:
    if number == 13:
        raise LookupError("no order 13")
    return number * 10

@dispatch.task(only="celery", result=False)
def forgotten(number: int) -> int:
    return number
"""

CALLER = """
import asyncio, json, threading
import {name} as shop, dispatch

async def main():
    batch = await shop.there.amap(range(3))
    came = [await handle async for handle in dispatch.as_completed([*batch, shop.here.delay(7)], timeout=20)]
    return sorted(came)

mixed = dispatch.gather(shop.there.map(range(12)), shop.here.map(range(2)))
said = {{"mixed": mixed.results(timeout=20), "places": sorted(place for place, _ in mixed.decisions())}}
said["threads"] = sum(each.name == "dispatch-results" for each in threading.enumerate())
said["async"] = asyncio.run(main())
said["error"] = [repr(each) for each in shop.there.map([1, 13]).results(timeout=20, errors="return")]
try:
    dispatch.gather(shop.here.delay(1), shop.forgotten.delay(1)).results(timeout=20)
except dispatch.NotConfigured as error:
    said["refused"] = str(error)
print(json.dumps(said))
"""


def test_local_and_celery_handles_stand_in_one_group(project, redis_url):
    """Results, completion order, errors and refusals are the same, with one thread that reads all of Celery's."""
    shop = project(SHOP, broker_url=redis_url)
    with shop.worker(pool="solo", concurrency=1):
        said = json.loads(shop.run(CALLER.format(name=shop.name)).stdout)

    assert said == {
        "mixed": [*range(0, 120, 10), 0, 1],
        "places": ["fast", "queue"],
        "threads": said["threads"],
        "async": [0, 7, 10, 20],
        "error": ["10", "LookupError('no order 13')"],
        "refused": said["refused"],
    }
    assert 1 >= said["threads"]
    assert "result=False" in said["refused"]
