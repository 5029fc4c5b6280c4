"""Calls through the default dispatcher to the local pool."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

import dispatch
from dispatch import _unread
from dispatch.pool import Pool
from dispatch.transports.local._waits import Room

TIGHT = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 1, on_full: {on_full}}}
  spare: {{transport: local, reached_by: pins, workers: 1, capacity: 10}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast, fallback: [{fallback}]}}
"""
ALONE = TIGHT.replace(", fallback: [{fallback}]", "")

who = contextvars.ContextVar("who", default="nobody")


class Gate:
    """A task that stops until the test lets it go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.open = threading.Event()


gates: dict[int, Gate] = {}


@dispatch.task
def hold(number: int) -> int:
    gate = gates[number]
    gate.started.set()
    assert gate.open.wait(10)
    return number


@dispatch.task
def fail() -> None:
    raise LookupError("no such order")


@dispatch.task
def thread_name() -> str:
    return threading.current_thread().name


@dispatch.task
def whoami() -> str:
    return who.get()


@dispatch.task
def identity(value):
    return value


@pytest.fixture
def held():
    """A gate in which one call stands while the test lasts."""
    number = len(gates)
    gates[number] = Gate()
    yield number
    gates[number].open.set()


def fill(number: int) -> list[dispatch.Handle]:
    """One call running, one waiting: a pool of one worker and one slot is full."""
    running = hold.delay(number)
    assert gates[number].started.wait(5)
    return [running, hold.delay(number)]


def test_arguments_and_results_travel_by_reference(dispatcher):
    """The very object that was given arrives, and the very one that was returned comes back."""
    dispatcher()
    thing = object()

    assert thing is identity.delay(thing).result(timeout=5)


def test_context_variables_come_along(dispatcher):
    """The task sees the caller's context as it was at `delay`."""
    dispatcher()
    token = who.set("ada")
    handle = whoami.delay()
    who.reset(token)

    assert "ada" == handle.result(timeout=5)


def test_the_tasks_own_exception_arrives_with_its_traceback(dispatcher):
    """Raised as it was, with the frame where it happened; reading it again does not make it longer."""
    dispatcher()
    handle = fail.delay()

    with pytest.raises(LookupError, match="no such order") as first:
        handle.result(timeout=5)
    with pytest.raises(LookupError) as second:
        handle.result()

    assert "fail" in [frame.name for frame in traceback.extract_tb(first.tb)]
    assert len(traceback.extract_tb(first.tb)) == len(traceback.extract_tb(second.tb))
    assert isinstance(handle.exception(), LookupError)
    assert "failed" == handle.status


def test_a_failed_call_leaves_no_cycle_behind(dispatcher):
    """A handle and its error go away with their last reference, without the garbage collector."""
    dispatcher()
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(LookupError):
            fail.delay().result(timeout=5)
        found = [each for each in gc.get_objects() if type(each) is LookupError and "order" in str(each)]
    finally:
        gc.enable()

    assert [] == found


def test_even_an_exit_is_the_tasks_own_outcome(dispatcher):
    """`sys.exit` in a task ends the task; the worker lives on."""
    dispatcher()

    with pytest.raises(SystemExit):
        leave.delay().result(timeout=5)

    assert 1 == identity.delay(1).result(timeout=5)


@dispatch.task
def leave() -> None:
    raise SystemExit(3)


def test_a_failure_that_nobody_reads_is_counted_and_logged_once_a_minute(dispatcher, caplog):
    """Once per task and exception type; one that was read is not."""
    dispatcher()
    _unread._last_said.clear()
    before = _unread.counts[fail.name, "LookupError"]

    for _ in range(3):
        handle = fail.delay()
        while not handle.done():
            pass
        del handle
        gc.collect()
    # The worker lets go of its last call when it takes the next one.
    identity.delay(0).result(timeout=5)
    with pytest.raises(LookupError):
        fail.delay().result(timeout=5)

    assert 3 == _unread.counts[fail.name, "LookupError"] - before
    assert 1 == sum("nobody read its exception" in record.getMessage() for record in caplog.records)


def test_a_failure_that_outlives_the_modules_says_nothing(tmp_path):
    """It is collected when nothing can be imported any more, and a traceback of ours would help nobody."""
    program = tmp_path / "shop.py"
    program.write_text(
        "import builtins, dispatch\n"
        "@dispatch.task\n"
        "def fail(): raise LookupError('no')\n"
        "builtins.kept = fail.delay()\n"
        "while not builtins.kept.done(): pass\n"
    )

    ended = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True, timeout=30)

    assert "Exception ignored" not in ended.stderr


def test_a_handle_speaks_three_dialects(dispatcher):
    """`concurrent.futures`, Celery, and await."""
    dispatcher()
    handle = identity.delay(7)

    assert 7 == handle.result(timeout=5) == handle.get()
    assert handle.done()
    assert handle.ready()
    assert handle.successful()
    assert not handle.failed()
    assert not handle.cancelled()
    assert handle.exception() is None
    assert "done" == handle.status == handle.state
    assert 7 == asyncio.run(_await(handle))
    assert f"<Handle {handle.id} | {identity.name} | fast | done>" == repr(handle)


async def _await(handle):
    return await handle


def test_get_can_hand_the_error_over_instead_of_raising_it(dispatcher):
    """Celery's `propagate=False`."""
    dispatcher()

    assert isinstance(fail.delay().get(timeout=5, propagate=False), LookupError)


def test_waiting_ends_with_its_timeout_and_the_call_goes_on(dispatcher, held):
    """`TimeoutError` names the call; the result is still there later."""
    dispatcher()
    handle = hold.delay(held)

    with pytest.raises(TimeoutError, match=handle.id):
        handle.result(timeout=0.01)
    gates[held].open.set()

    assert held == handle.result(timeout=5)


def test_a_waiting_call_can_be_cancelled_and_a_running_one_cannot(dispatcher, held):
    """`cancel()` is true only when it is certain that the call will not run."""
    dispatcher(ALONE.format(on_full="reject"))
    running, waiting = fill(held)

    assert waiting.cancel()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert not running.cancel()
    assert running.running()
    with pytest.raises(dispatch.CallCancelled):
        waiting.result()


def test_done_callbacks_are_called_once_and_their_errors_go_no_further(dispatcher, held, caplog):
    """Before the end in the thread that ends it, after the end at once."""
    dispatcher()
    heard = []
    handle = hold.delay(held)
    handle.add_done_callback(heard.append)
    handle.add_done_callback(lambda _: 1 / 0)
    gates[held].open.set()
    handle.result(timeout=5)
    identity.delay(0).result(timeout=5)

    handle.add_done_callback(heard.append)

    assert [handle, handle] == heard
    assert any("a done callback failed" in record.getMessage() for record in caplog.records)


def test_full_and_reject_is_an_error_at_once(dispatcher, held):
    """`on_full: reject`: `DestinationFull`, even where a fallback stands."""
    dispatcher(TIGHT.format(on_full="reject", fallback="spare"))
    fill(held)

    with pytest.raises(dispatch.DestinationFull, match=r"fast: full \(1 calls are waiting\)"):
        identity.delay(1)


@pytest.mark.parametrize("on_full", ["next", "block, block_timeout: 50ms"], ids=["next", "block"])
def test_full_and_next_takes_the_fallback_and_says_why(dispatcher, held, on_full):
    """`next` at once, `block` when its timeout is over; the decision names whom it passed over."""
    dispatcher(TIGHT.format(on_full=on_full, fallback="spare"))
    fill(held)

    handle = identity.delay(1)

    assert 1 == handle.result(timeout=5)
    assert "spare" == handle.decision.destination
    assert [("fast", "full")] == [(each.destination, each.why) for each in handle.decision.passed_over]


def test_full_everywhere_is_destination_full(dispatcher, held):
    """Without a candidate that has room there is an error, not a wait without end."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms"))
    fill(held)

    with pytest.raises(dispatch.DestinationFull):
        identity.delay(1)


def test_full_and_caller_runs_runs_where_it_was_sent(dispatcher, held):
    """The caller's own thread; the decision says `inline`."""
    dispatcher(ALONE.format(on_full="caller_runs"))
    fill(held)

    handle = thread_name.delay()

    assert threading.current_thread().name == handle.result()
    assert "inline" == handle.decision.transport


def test_blocking_waits_for_room(dispatcher, held):
    """`block`: as soon as the worker is free, the call is taken, and nothing is passed over."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms").replace("50ms", "10s"))
    fill(held)
    threading.Timer(0.05, gates[held].open.set).start()

    handle = identity.delay(1)

    assert 1 == handle.result(timeout=5)
    assert () == handle.decision.passed_over


@dispatch.task
def fan_out(width: int) -> list[str]:
    return [thread_name.delay().result(timeout=5) for _ in range(width)]


@dispatch.task
def flood(width: int) -> int:
    return len([identity.delay(index) for index in range(width)])


def test_a_task_that_floods_its_own_full_pool_does_not_deadlock(dispatcher):
    """With one worker and one slot, what does not fit runs where it was sent."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms").replace("50ms", "10s"))

    assert 10 == flood.delay(10).result(timeout=5)


def test_an_expired_call_does_not_run(dispatcher, held):
    """Looked at just before the start."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms"))
    running = hold.delay(held)
    assert gates[held].started.wait(5)
    late = identity.apply_async((1,), expires=0.000001)
    gates[held].open.set()
    running.result(timeout=5)

    with pytest.raises(dispatch.CallExpired, match="longer than its expires"):
        late.result(timeout=5)
    assert "expired" == late.status


def test_in_a_running_loop_waiting_is_refused_with_the_cure(dispatcher, held):
    """`result()` of an unfinished call would stop the loop; `await` does not."""
    dispatcher()

    async def main():
        handle = hold.delay(held)
        with pytest.raises(dispatch.WouldBlock, match="await handle"):
            handle.result()
        gates[held].open.set()
        return await handle

    assert held == asyncio.run(main())


def test_a_cancelled_wait_leaves_the_call_alone(dispatcher, held):
    """Cancelling the coroutine that awaits does not cancel the call."""
    dispatcher()

    async def main():
        handle = hold.delay(held)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(handle), 0.01)
        gates[held].open.set()
        return await handle

    assert held == asyncio.run(main())


def test_adelay_waits_for_room_without_stopping_the_loop(dispatcher, held):
    """While it waits, the loop goes on turning; `delay` in a loop acts as `next` instead."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms").replace("50ms", "10s"))

    async def main():
        fill(held)
        with pytest.raises(dispatch.DestinationFull):
            identity.delay(1)
        waiting = asyncio.create_task(identity.adelay(2))
        turns = 0
        while not gates[held].open.is_set():
            await asyncio.sleep(0)
            turns += 1
            if turns == 100:
                gates[held].open.set()
        return await (await waiting)

    assert 2 == asyncio.run(main())


def test_a_coroutine_that_gives_up_waiting_for_room_withdraws_its_call(dispatcher, held):
    """The call does not run later behind its back."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms").replace("50ms", "10s"))
    ran = []

    async def main():
        fill(held)
        waiting = asyncio.create_task(note.adelay(ran))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gates[held].open.set()

    asyncio.run(main())
    identity.delay(0).result(timeout=5)

    assert [] == ran


@dispatch.task
def note(ran: list) -> None:
    ran.append(1)


class Bad(Exception):
    def __str__(self):
        raise ValueError("no text")


@dispatch.task
def raise_bad() -> None:
    raise Bad


def test_an_error_that_has_no_text_is_an_error_all_the_same(dispatcher):
    """Nothing that a task's exception does keeps its call from ending."""
    dispatcher()

    with pytest.raises(Bad):
        raise_bad.delay().result(timeout=5)
    raise_bad.delay()
    identity.delay(1).result(timeout=5)


def test_a_callback_that_exits_keeps_nobody_waiting(dispatcher, held):
    """Whoever else waits is woken, whatever a done callback raises."""
    dispatcher()
    handle = hold.delay(held)
    handle.add_done_callback(lambda _: sys.exit(3))
    threading.Timer(0.02, gates[held].open.set).start()

    assert held == handle.result(timeout=5)


@dispatch.task
def parent(depth: int) -> int:
    return 0 if depth == 0 else 1 + parent.delay(depth - 1).result()


def test_a_task_that_waits_for_its_own_pool_runs_what_it_waits_for(dispatcher):
    """With every worker waiting, the waiting one lends its thread; no pool waits for itself."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms"))

    assert 20 == parent.delay(20).result(timeout=10)


@dispatch.task
def stop_iteration() -> None:
    raise StopIteration(3)


@dispatch.task
def cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("task", [stop_iteration, cancelled])
def test_what_an_event_loop_would_misread_is_told_as_a_failed_call(dispatcher, task):
    """Awaited, a task's own `StopIteration` or `CancelledError` is neither an end nor a cancellation."""
    dispatcher()

    async def main():
        with pytest.raises(dispatch.CallFailed, match="means something else to an event loop"):
            await task.delay()

    asyncio.run(main())


def test_a_machine_without_threads_is_passed_over_and_nothing_runs_behind_the_callers_back(dispatcher, monkeypatch):
    """Where no worker can be started the call is not taken; once one runs, it takes what comes."""
    dispatcher(ALONE.format(on_full="next"))
    with monkeypatch.context() as none:
        none.setattr(threading.Thread, "start", _no_more_threads)
        with pytest.raises(dispatch.NotAccepted):
            identity.delay(1)

    assert 2 == identity.delay(2).result(timeout=5)


def _no_more_threads(_):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(("of_task", "of_call"), [("1us", 60), ("1m", "1us")])
def test_the_shorter_expires_holds(dispatcher, held, of_task, of_call):
    """The task's and the call's are both promises; a text with a unit is understood in both."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms"))
    running = hold.delay(held)
    assert gates[held].started.wait(5)
    late = dispatch.task(name=f"house.late.{of_task}", expires=of_task)(len).apply_async(("x",), expires=of_call)
    gates[held].open.set()
    running.result(timeout=5)

    with pytest.raises(dispatch.CallExpired):
        late.result(timeout=5)


def test_requirements_made_up_for_each_call_do_not_fill_the_memory(dispatcher, monkeypatch):
    """A budget computed anew for each call is natural; plans for all of them are not kept."""
    from dispatch import _regime

    monkeypatch.setattr(_regime, "_PLANS_KEPT", 10)
    one = dispatcher()

    for number in range(100):
        identity.options(latency_budget=1 + number / 1000).delay(number).result(timeout=5)

    assert len(one._regime.plans) <= 10


class Untouched(ThreadPoolExecutor):
    """A loop's default threads, of which nobody but the application may take one."""

    def submit(self, *_, **__):
        raise AssertionError("a thread of the application's was taken")


def test_coroutines_that_wait_for_room_take_no_thread_of_their_loops(dispatcher, held):
    """However many wait, `asyncio.to_thread` of the application is not behind them."""
    dispatcher(TIGHT.format(on_full="block, block_timeout: 50ms", fallback="spare"))

    async def main():
        asyncio.get_running_loop().set_default_executor(Untouched())
        fill(held)
        return await asyncio.gather(*(identity.adelay(number) for number in range(60)), return_exceptions=True)

    ended = asyncio.run(main())

    assert [] == [each for each in ended if not isinstance(each, dispatch.Handle | dispatch.NotAccepted)]


def test_a_wait_for_room_is_counted_from_when_it_began():
    """What passed before a thread got round to it is not added to `block_timeout`."""
    pool = Pool("tight", lambda _: 0, lambda _: None, workers=1, capacity=0)
    room = Room(pool, None, 60.0)
    room._deadline -= 60.0

    assert 0.0 == room._left()
    room.wait()

    assert not room.sent
    pool.close(5)


@dispatch.task
async def on_a_loop(value: int) -> int:
    await asyncio.sleep(0)
    return value


@dispatch.task
def wait_for_a_loop(number: int) -> int:
    return sum(on_a_loop.delay(each).result() for each in range(number))


def test_a_worker_that_waits_for_a_coroutine_leaves_it_to_its_loop(dispatcher):
    """It lends its thread to calls that threads run, and to no others: a coroutine would come back unawaited."""
    dispatcher(ALONE.format(on_full="block, block_timeout: 50ms"))

    assert 4950 == wait_for_a_loop.delay(100).result(timeout=10)
