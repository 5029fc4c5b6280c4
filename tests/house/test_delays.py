"""Calls that are not to start before their time: `countdown` and `eta` on the local path."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

import dispatch
from dispatch.pool import Drained
from dispatch.testing import clock
from house.policies import ON_CALLERS_LOOP
from servers.patience import eventually

TIGHT = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 2, on_full: {on_full}, on_shutdown: {on_shutdown}}}
  spare: {{transport: local, reached_by: pins, workers: 1, capacity: 2}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast, fallback: [{fallback}]}}
"""
ALONE = TIGHT.replace(", fallback: [{fallback}]", "")


def tight(on_full="block", on_shutdown="finish"):
    return ALONE.format(on_full=on_full, on_shutdown=on_shutdown)


class Stop:
    """Holds a worker until the test lets it go."""

    def __init__(self) -> None:
        self.started, self.open = threading.Event(), threading.Event()


@dispatch.task
def hold(stop: Stop) -> None:
    stop.started.set()
    assert stop.open.wait(10)


@dispatch.task
def note(into: list, value: object) -> object:
    into.append(value)
    return value


@dispatch.task
async def anote(into: list, value: object) -> object:
    into.append(value)
    return value


@dispatch.task
def wait_for_a_delayed_one() -> object:
    return note.apply_async(([], "behind me"), countdown=0.01).result()


@pytest.fixture
def stop():
    stop = Stop()
    yield stop
    stop.open.set()


@pytest.fixture(params=["function", "coroutine"])
def noting(request):
    """A plain function, on a thread, and a coroutine function, on a loop of its destination."""
    return note if request.param == "function" else anote


def delayed(destination):
    return destination.statistics().timers


def test_a_delayed_call_starts_when_its_time_has_come_and_not_before(dispatcher, noting):
    """`countdown` counts from `delay`; until then the handle is `waiting`, and nothing runs."""
    fast, ran = dispatcher().destinations["fast"], []
    with clock() as held:
        handle = noting.apply_async((ran, 1), countdown=10)
        held.advance("9s")

        assert ("waiting", []) == (handle.status, ran)
        assert 1 == delayed(fast)
        held.advance("1s")
        assert 1 == handle.result(timeout=5)
        assert [1] == ran
        eventually(lambda: delayed(fast) == 0)


def test_the_statistics_say_how_many_are_delayed_and_when_the_next_is_due(dispatcher):
    """And so does the pool's `repr`."""
    fast = dispatcher().destinations["fast"]
    assert (0, None) == (fast.statistics().timers, fast.statistics().next_due_ns)
    with clock() as held:
        handles = [note.apply_async(([], 1), countdown=seconds) for seconds in (20, 10)]
        held.advance("4s")

        assert (2, 6_000_000_000) == (fast.statistics().timers, fast.statistics().next_due_ns)
        assert "2 delayed" in repr(fast)
        for handle in handles:
            assert handle.cancel()


def test_a_date_is_a_delay_too(dispatcher):
    """`eta`; a date that has passed is no delay at all."""
    dispatcher()
    past, soon = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(milliseconds=20)

    assert 1 == note.apply_async(([], 1), eta=past).result(timeout=5)
    handle = note.apply_async(([], 2), eta=soon)
    assert 2 == handle.result(timeout=5)
    assert datetime.now(UTC) >= soon


def test_delayed_calls_start_in_the_order_of_their_time(dispatcher):
    """Not in the order in which they were sent; those of the same moment are."""
    dispatcher(tight())
    ran: list[int] = []
    with clock() as held:
        last = note.apply_async((ran, 2), countdown=3)
        note.apply_async((ran, 1), countdown=2)
        held.advance("3s")
        last.result(timeout=5)

    assert [1, 2] == ran


def test_the_decision_is_made_when_the_call_is_sent(dispatcher):
    """Once; a delayed call stays with its destination."""
    dispatcher()

    handle = note.apply_async(([], 1), countdown=60)

    assert "fast" == handle.decision.destination
    assert handle.cancel()


def test_a_cancelled_one_does_not_run_and_gives_its_place_back(dispatcher, noting):
    """`cancel()` is true: nothing has started."""
    dispatcher(tight())
    ran: list[int] = []
    with clock() as held:
        first, second = (noting.apply_async((ran, 1), countdown=10) for _ in range(2))

        assert first.cancel()
        assert "cancelled" == first.status
        third = noting.apply_async((ran, 3), countdown=5)
        assert second.cancel()
        held.advance("11s")
        assert 3 == third.result(timeout=5)
    assert [3] == ran


def test_a_cancelled_one_frees_its_arguments(dispatcher):
    """At once, and not when its time would have come."""
    dispatcher()
    big = bytearray(10)
    before = sys.getrefcount(big)

    handle = note.apply_async(([], big), countdown=3600)
    assert sys.getrefcount(big) > before
    handle.cancel()

    assert before == sys.getrefcount(big)


def test_no_more_are_delayed_than_may_wait(dispatcher, noting):
    """The next one goes to the next candidate, and the last one nowhere; nobody waits for room."""
    dispatcher(TIGHT.format(on_full="block", on_shutdown="finish", fallback="spare"))
    handles = [noting.apply_async(([], 1), countdown=60) for _ in range(4)]

    assert ["fast", "fast", "spare", "spare"] == [each.decision.destination for each in handles]
    assert [("fast", "full")] == [(each.destination, each.why) for each in handles[-1].decision.passed_over]
    with pytest.raises(dispatch.NotAccepted, match=r"fast: full \(2 calls are delayed\)"):
        noting.apply_async(([], 1), countdown=60)
    assert [True] * 4 == [each.cancel() for each in handles]


def test_a_destination_that_rejects_rejects_delayed_calls_too(dispatcher):
    """`on_full: reject`: the call must go nowhere else."""
    dispatcher(TIGHT.format(on_full="reject", on_shutdown="finish", fallback="spare"))
    handles = [note.apply_async(([], 1), countdown=60) for _ in range(2)]

    with pytest.raises(dispatch.DestinationFull):
        note.apply_async(([], 1), countdown=60)
    assert all(each.cancel() for each in handles)


@dispatch.task
def delay_more(how_many: int) -> list[str]:
    said = []
    for _ in range(how_many):
        try:
            said.append(note.apply_async(([], 1), countdown=60))
        except dispatch.NotAccepted as error:
            said.append(type(error).__name__)
    return said


def test_a_worker_does_not_run_at_once_what_is_to_be_delayed(dispatcher):
    """A call that a worker sends into its own full pool is run where it was sent; never one with a delay."""
    dispatcher(tight())

    first, second, third = delay_more.delay(3).result(timeout=5)

    assert first.cancel()
    assert second.cancel()
    assert "DestinationFull" == third


@dispatch.task
def fill(ran: list, value: object) -> object:
    ran.append(value)
    return value


def test_what_is_due_goes_ahead_of_newcomers_and_holds_up_no_other_pool(dispatcher, stop):
    """While it waits for room, newcomers are told that the pool is full."""
    both = dispatcher(TIGHT.format(on_full="next", on_shutdown="finish", fallback="spare"))
    fast = both.destinations["fast"]
    ran: list[object] = []
    with clock() as held:
        running = hold.delay(stop)
        assert stop.started.wait(5)
        late = fill.apply_async((ran, "late"), countdown=1)
        waiting = [fill.delay(ran, number) for number in range(2)]
        elsewhere = fill.options(route_to="spare").apply_async(([], "there"), countdown=2)
        held.advance("1s")
        eventually(lambda: fast._pool._crowded, what="the late call is due, and there is no room")
        held.advance("1s")

        assert "there" == elsewhere.result(timeout=5)
        assert "spare" == fill.delay([], "new").decision.destination
        stop.open.set()
        assert "late" == late.result(timeout=5)
        running.result(timeout=5)
    assert [0, 1] == [each.result(timeout=5) for each in waiting]
    assert [0, 1, "late"] == ran


def test_a_call_that_expires_before_its_delay_has_passed_does_not_run(dispatcher, noting):
    """It was waiting all the time."""
    dispatcher()
    ran: list[int] = []
    with clock() as held:
        handle = noting.apply_async((ran, 1), countdown=10, expires=5)
        held.advance("10s")

        assert isinstance(handle.exception(timeout=5), dispatch.CallExpired)
    assert ("expired", []) == (handle.status, ran)


def test_a_worker_that_waits_for_a_delayed_call_of_its_pool_runs_it_when_it_is_due(dispatcher):
    """With one worker there is nobody else who could."""
    dispatcher(tight())

    assert "behind me" == wait_for_a_delayed_one.delay().result(timeout=5)


def test_on_their_callers_loop_delayed_calls_run_in_their_callers_thread(dispatcher):
    """The loop is free meanwhile."""
    dispatcher(ON_CALLERS_LOOP)
    ran: list[int] = []

    async def main():
        with clock() as held:
            handle = anote.apply_async((ran, threading.get_ident()), countdown=10)
            await asyncio.sleep(0)
            assert [] == ran
            held.advance("10s")
            return await handle

    assert threading.get_ident() == asyncio.run(main())


def test_a_delayed_call_whose_loop_has_ended_is_cancelled(dispatcher):
    """When its time comes there is nowhere to run it; whoever waits is told."""
    dispatcher(ON_CALLERS_LOOP)

    async def main():
        return anote.apply_async(([], 1), countdown=10)

    with clock() as held:
        handle = asyncio.run(main())
        held.advance("10s")
        assert isinstance(handle.exception(timeout=5), dispatch.CallCancelled)


def test_shutdown_runs_what_is_due_within_the_grace_and_drops_the_rest(dispatcher, noting):
    """Counted; the handle of a dropped one says why."""
    one = dispatcher()
    ran: list[str] = []
    with clock() as held:
        soon = noting.apply_async((ran, "soon"), countdown=1)
        late = noting.apply_async((ran, "late"), countdown=3600)
        threading.Timer(0.02, held.advance, ["1s"]).start()

        assert Drained(finished=1, dropped=1) == one.shutdown("5s")
    assert ("soon", ["soon"]) == (soon.result(timeout=0), ran)
    with pytest.raises(dispatch.CallCancelled, match="was dropped at shutdown: its delay had not passed"):
        late.result(timeout=0)


def test_a_destination_that_drops_drops_what_is_delayed_too(dispatcher, noting):
    """`on_shutdown: drop`: at once, however soon it would have been due."""
    one = dispatcher(tight(on_shutdown="drop"))
    handle = noting.apply_async(([], 1), countdown=1)

    assert Drained(dropped=1) == one.shutdown("5s")
    assert "cancelled" == handle.status


def test_what_is_due_while_the_pool_is_full_survives_the_shutdown(dispatcher, stop):
    """It is taken by a worker that has emptied the channel."""
    one = dispatcher(tight())
    fast, ran = one.destinations["fast"], []
    with clock() as held:
        hold.delay(stop)
        assert stop.started.wait(5)
        late = fill.apply_async((ran, "late"), countdown=1)
        for number in range(2):
            fill.delay(ran, number)
        held.advance("1s")
        eventually(lambda: fast._pool._crowded)
        threading.Timer(0.02, stop.open.set).start()

        assert Drained(finished=4) == one.shutdown("5s")
    assert [0, 1, "late"] == ran
    assert "late" == late.result(timeout=0)


def test_nothing_is_delayed_after_the_end(dispatcher, noting):
    """Refused, like every other call."""
    one = dispatcher()
    one.shutdown("1s")

    with pytest.raises(dispatch.NotAccepted, match="shut down"):
        noting.apply_async(([], 1), countdown=1)


def test_the_interpreters_exit_waits_for_what_is_due_and_for_nothing_else():
    """An hour's delay does not keep a program alive."""
    program = """
import dispatch, logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
dispatch.configure(policy="no-broker")
@dispatch.task
def say(word): sys.stdout.write(f"{word}\\n")
@dispatch.task
async def asay(word): sys.stdout.write(f"{word}\\n")
for task in (say, asay):
    task.apply_async(("soon",), countdown=0.1)
    task.apply_async(("never",), countdown=3600)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)

    assert ["soon", "soon"] == done.stdout.split()
    assert "dropped=2" in done.stderr


def test_a_forked_child_delays_nothing_of_its_parents(dispatcher):
    """Its pools are new, and so is what is delayed; it can delay calls of its own."""
    fast, ran = dispatcher().destinations["fast"], []
    with clock() as held:
        handle = note.apply_async((ran, 1), countdown=1)
        pid = os.fork()
        if pid == 0:
            empty = delayed(fast) == 0
            own = note.apply_async((ran, 2), countdown=1)
            held.advance("1s")
            os._exit(0 if empty and own.result(timeout=5) == 2 and ran == [2] else 1)
        _, status = os.waitpid(pid, 0)
        held.advance("1s")

        assert 0 == status
        assert 1 == handle.result(timeout=5)
    assert [1] == ran
