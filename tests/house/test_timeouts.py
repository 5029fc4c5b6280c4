"""Attempts that run for too long: `timeout=` on the local path."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from opentelemetry.trace import StatusCode

import dispatch
from dispatch import testing
from dispatch.pool import Drained
from dispatch.testing import clock
from dispatch.transports.local import _timeouts
from house.policies import ON_CALLERS_LOOP
from servers.patience import eventually
from telemetry.handmade import Spans, provider_in_place

TWO = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 10}
  spare: {transport: local, reached_by: pins, workers: 1}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast, fallback: [spare]}
"""
ONE = TWO.replace("workers: 2", "workers: 1").replace(", fallback: [spare]", "")


class Gate:
    """Stops attempts, from threads and from loops, until the test lets them go; knows how each of them ended."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.open = threading.Event()
        self.ends: list[str] = []

    def begun(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.started.acquire(timeout=5)


@dispatch.task(timeout="30s", retry=dispatch.Retry(backoff="0"))
def hang(gate: Gate) -> str:
    gate.started.release()
    assert gate.open.wait(10)
    return "late"


@dispatch.task(timeout="30s")
def fail_late(gate: Gate) -> None:
    gate.started.release()
    assert gate.open.wait(10)
    raise LookupError("too late to matter")


@dispatch.task(timeout="30s")
async def ahang(gate: Gate) -> None:
    gate.started.release()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        gate.ends.append("cancelled")
        raise


@dispatch.task(timeout="30s")
async def ignore(gate: Gate) -> str:
    gate.started.release()
    while not gate.open.is_set():
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            gate.ends.append("ignored")
    return "late"


@dispatch.task(timeout="30s")
async def clean_up(gate: Gate) -> str:
    gate.started.release()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        gate.ends.append("clean")
    return "never"


@dispatch.task
def thread() -> int:
    return threading.get_ident()


@dispatch.task(timeout="30s")
def quick(value: object) -> object:
    return value


@dispatch.task(timeout="30s")
async def aquick(value: object) -> object:
    return value


@dispatch.task
def wait_for(gate: Gate) -> str:
    return hang.delay(gate).result()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


def test_an_attempt_in_time_is_left_alone(dispatcher):
    """And nothing of it stays behind."""
    fast = dispatcher(TWO).destinations["fast"]
    with clock() as held:
        assert [1, 2] == [task.delay(value).result(timeout=5) for task, value in ((quick, 1), (aquick, 2))]
        held.advance("1h")
        assert [3, 4] == [task.delay(value).result(timeout=5) for task, value in ((quick, 3), (aquick, 4))]

    assert 0 == fast.statistics().abandoned


def test_a_thread_that_takes_too_long_fails_its_call_and_is_abandoned(dispatcher, gate):
    """It cannot be stopped; another takes its place at once. It is never attempted again: it may still run."""
    fast = dispatcher(ONE).destinations["fast"]
    with clock() as held:
        handle = hang.delay(gate)
        gate.begun()
        held.advance("29s")
        assert "running" == handle.status
        held.advance("1s")

        with pytest.raises(dispatch.CallTimeout, match=r"hang ran longer than its timeout of 30 s"):
            handle.result(timeout=5)
    now = fast.statistics()
    assert ("failed", 1, 1) == (handle.status, now.abandoned, now.workers)
    assert "1 abandoned" in repr(fast)


def test_an_abandoned_thread_is_counted_back_and_ends_when_its_place_is_taken(dispatcher, gate, caplog):
    """The pool shrinks to its limit. What the attempt did is dropped, and said once."""
    others = set(threading.enumerate())
    fast = dispatcher(TWO).destinations["fast"]
    with clock() as held:
        handles = [hang.delay(gate), fail_late.delay(gate)]
        gate.begun(2)
        held.advance("30s")
        assert all(isinstance(each.exception(timeout=5), dispatch.CallTimeout) for each in handles)
    assert (2, 2) == (fast.statistics().abandoned, fast.statistics().workers)

    gate.open.set()
    eventually(lambda: fast.statistics().abandoned == 0)

    assert (2, 2) == (fast.statistics().workers, fast.statistics().finished)
    eventually(lambda: 2 == sum(each.name.startswith("dispatch-fast-") for each in {*threading.enumerate()} - others))
    said = [each.getMessage() for each in caplog.records if "ended after its timeout" in each.getMessage()]
    assert [True, True] == sorted(any(f"ended={how}" in each for each in said) for how in ("returned", "failed"))
    assert [dispatch.CallTimeout] * 2 == [type(each.exception()) for each in handles]


def test_with_as_many_abandoned_as_there_are_workers_a_destination_is_not_fit(dispatcher, gate):
    """For any call; the next candidate gets it. When a thread returns, it is fit again."""
    fast = dispatcher(TWO).destinations["fast"]
    with clock() as held:
        handles = [hang.delay(gate), hang.delay(gate)]
        gate.begun(2)
        held.advance("30s")
        assert all(isinstance(each.exception(timeout=5), dispatch.CallTimeout) for each in handles)

    decision = thread.delay().decision
    explained = str(thread.explain())
    with pytest.raises(dispatch.NotAccepted, match=r"fast: refused \(2 threads are held by calls past their timeout"):
        thread.options(route_to="fast").delay()

    assert ("spare", ["fast"]) == (decision.destination, [each.destination for each in decision.passed_over])
    assert "past their timeout" in explained
    gate.open.set()
    eventually(lambda: fast.statistics().abandoned == 0)
    assert "fast" == thread.delay().decision.destination


def test_a_pool_never_has_more_than_twice_its_threads(dispatcher, gate):
    """Beyond that nobody takes an abandoned one's place; what waits is run when one of them returns."""
    fast = dispatcher(ONE).destinations["fast"]
    with clock() as held:
        handles = [hang.delay(gate) for _ in range(4)]
        for _ in range(2):
            gate.begun()
            held.advance("30s")
        assert all(isinstance(each.exception(timeout=5), dispatch.CallTimeout) for each in handles[:2])
        eventually(lambda: fast.statistics().abandoned == 2)

        assert (0, 2) == (fast.statistics().workers, fast.statistics().waiting)
        gate.open.set()
        assert ["late", "late"] == [each.result(timeout=5) for each in handles[2:]]
    eventually(lambda: (fast.statistics().workers, fast.statistics().abandoned) == (1, 0))


def test_the_abandoned_thread_takes_work_again_where_nobody_took_its_place(dispatcher, gate, monkeypatch):
    """As when the machine gives no more threads."""
    fast = dispatcher(ONE).destinations["fast"]
    first = thread.delay().result(timeout=5)
    with clock() as held:
        handle = hang.delay(gate)
        gate.begun()
        monkeypatch.setattr(fast._pool.threads, "grow", lambda: None)
        held.advance("30s")
        assert isinstance(handle.exception(timeout=5), dispatch.CallTimeout)

    gate.open.set()
    eventually(lambda: fast.statistics().abandoned == 0)
    assert first == thread.delay().result(timeout=5)


def test_a_coroutine_that_takes_too_long_is_cancelled(dispatcher, gate):
    """And has a moment to clean up, before its call fails."""
    dispatcher(TWO)
    with clock() as held:
        handles = [ahang.delay(gate), clean_up.delay(gate)]
        gate.begun(2)
        held.advance("30s")

        for handle in handles:
            assert isinstance(handle.exception(timeout=5), dispatch.CallTimeout)
    assert {"cancelled", "clean"} == set(gate.ends)


def test_a_timeout_is_a_reason_for_another_attempt_of_a_coroutine(dispatcher, gate):
    """`CallTimeout` is an error like others to `on`; the attempt before has ended by then."""
    dispatcher(TWO)
    again = dispatch.Retry(attempts=2, on=dispatch.CallTimeout, backoff="0")
    with clock() as held:
        handle = ahang.apply_async((gate,), retry=again)
        for times in (1, 2):
            gate.begun()
            held.advance("30s")
            eventually(lambda times=times: gate.ends == ["cancelled"] * times)

        assert isinstance(handle.exception(timeout=5), dispatch.CallTimeout)


def test_a_coroutine_that_ignores_its_cancellation_does_not_hang_its_handle(dispatcher, gate, monkeypatch, caplog):
    """Its call fails after a moment, and is not attempted again; it keeps its slot until it ends."""
    monkeypatch.setattr(_timeouts, "_MOMENT", 0.01)
    loop_pool = dispatcher(TWO).destinations["fast"]._coroutines.pool
    with clock() as held:
        handle = ignore.apply_async((gate,), retry=dispatch.Retry(backoff="0"))
        gate.begun()
        held.advance("30s")
        assert isinstance(handle.exception(timeout=5), dispatch.CallTimeout)

    assert (["ignored"], 1) == (gate.ends, loop_pool.statistics().busy)
    gate.open.set()
    eventually(lambda: loop_pool.statistics().busy == 0)
    assert "ended after its timeout" in caplog.text


def test_a_coroutine_on_its_callers_loop_is_cancelled_there(dispatcher, gate):
    """Whoever awaits it hears of the timeout, and is not cancelled."""
    dispatcher(ON_CALLERS_LOOP)

    async def main():
        with clock() as held:
            handle = ahang.delay(gate)
            await asyncio.sleep(0)
            gate.begun()
            held.advance("30s")
            with pytest.raises(dispatch.CallTimeout):
                await handle

    asyncio.run(main())
    assert ["cancelled"] == gate.ends


@pytest.mark.parametrize("task", [hang, ignore, ahang], ids=["thread", "deaf", "coroutine"])
def test_the_span_ends_with_the_timeout_as_its_error(dispatcher, gate, monkeypatch, caplog, task):
    """At the moment of the timeout, whatever the body does afterwards."""
    monkeypatch.setattr(_timeouts, "_MOMENT", 0.01)
    one, spans = dispatcher(TWO), Spans()
    with provider_in_place(spans.provider):
        with clock() as held:
            handle = task.delay(gate)
            gate.begun()
            held.advance("30s")
            assert isinstance(handle.exception(timeout=5), dispatch.CallTimeout)
        span = spans["execute"]
        gate.open.set()
        one.shutdown("5s")

    assert StatusCode.ERROR == span.status.status_code
    assert "CallTimeout" == span.attributes["error.type"]
    assert 30_000_000_000 == span.end_time - span.start_time
    assert 1 == len([each for each in spans.finished if each.name.startswith("execute")])
    assert "ended span" not in caplog.text


def test_whoever_hears_of_a_timeout_holds_up_no_other(dispatcher, gate):
    """A callback takes its time; the timeouts of other calls are kept."""
    dispatcher(TWO)
    go = threading.Event()
    with clock() as held:
        first = hang.delay(gate)
        first.add_done_callback(lambda _: go.wait(10))
        gate.begun()
        held.advance("1s")
        second = hang.delay(gate)
        gate.begun()
        held.advance("29s")
        held.advance("1s")

        assert isinstance(second.exception(timeout=5), dispatch.CallTimeout)
    go.set()
    assert isinstance(first.exception(timeout=5), dispatch.CallTimeout)


def test_nobody_is_timed_whose_caller_is_the_worker(dispatcher, gate):
    """Inline, with `caller_runs`, and run in place by a worker that waits for it: nobody could take the place."""
    fast = dispatcher(ONE).destinations["fast"]
    with clock() as held:
        waiting = wait_for.delay(gate)
        gate.begun()
        held.advance("1h")
        gate.open.set()
        assert "late" == waiting.result(timeout=5)
        with testing.inline():
            assert "late" == hang.delay(gate).result()

    assert 0 == fast.statistics().abandoned


def test_an_abandoned_thread_is_left_at_shutdown(dispatcher, gate):
    """Counted, and not waited for."""
    one = dispatcher(ONE)
    with clock() as held:
        handle = hang.delay(gate)
        gate.begun()
        held.advance("30s")
        assert isinstance(handle.exception(timeout=5), dispatch.CallTimeout)

    assert Drained(left=1) == one.shutdown("5s")


def test_the_interpreters_exit_does_not_wait_for_an_abandoned_thread():
    """It is daemonic, like every worker."""
    program = """
import dispatch, threading
dispatch.configure(policy="no-broker")
@dispatch.task(timeout="50ms")
def hang(): threading.Event().wait()
try:
    hang.delay().result()
except dispatch.CallTimeout as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)

    assert ["CallTimeout"] == done.stdout.split()
