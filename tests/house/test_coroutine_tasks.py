"""Coroutine functions as tasks: called plainly, and sent to a loop, the destination's own or their caller's."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import traceback

import pytest
from opentelemetry import trace

import dispatch
from dispatch.pool import Drained
from dispatch.testing import clock
from telemetry.handmade import Spans, provider_in_place

PLACE = """
version: 1
destinations:
  loop: {{transport: local, {settings}}}
  spare: {{transport: local, reached_by: pins, workers: 1, capacity: 10}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: loop{more}}}
"""
THREADS, OWN, CALLER = "runner: thread", "runner: asyncio", "runner: asyncio, loop: caller"

who = contextvars.ContextVar("who", default="nobody")


def policy(settings: str, *, more: str = "") -> str:
    return PLACE.format(settings=settings, more=more)


@pytest.fixture
def spans():
    """An SDK that samples everything, in place."""
    spans = Spans()
    with provider_in_place(spans.provider):
        yield spans
    spans.provider.shutdown()


class Gate:
    """A task that stops, its loop free, until the test lets it go; to be used from any thread."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.open = threading.Event()
        self.running = 0
        self.most = 0


gates: list[Gate] = []


@pytest.fixture
def gate():
    gates.append(Gate())
    yield len(gates) - 1
    gates[-1].open.set()


@dispatch.task
async def hold(number: int) -> int:
    gate = gates[number]
    gate.running += 1
    gate.most = max(gate.most, gate.running)
    gate.started.release()
    while not gate.open.is_set():  # noqa: ASYNC110 - another thread sets it
        await asyncio.sleep(0.001)
    gate.running -= 1
    return number


def started(number: int) -> bool:
    return gates[number].started.acquire(timeout=5)


@dispatch.task
async def notify(user: int, *, greeting: str = "hello") -> str:
    """Tell somebody something."""
    await asyncio.sleep(0)
    return f"{greeting} {user}"


@dispatch.task
async def identity(value):
    return value


@dispatch.task
async def fail() -> None:
    await asyncio.sleep(0)
    raise LookupError("no such order")


@dispatch.task
async def whoami() -> str:
    await asyncio.sleep(0)
    return who.get()


@dispatch.task
async def loop_thread() -> tuple[str, int]:
    return threading.current_thread().name, id(asyncio.get_running_loop())


@dispatch.task
async def give_up() -> None:
    raise asyncio.CancelledError


@dispatch.task
async def leave() -> None:
    raise SystemExit(3)


@dispatch.task
def plain(value: int) -> int:
    return value


async def sent(task: dispatch.Task, *args, **kwargs):
    """Sent from a running loop, and awaited."""
    return await task.delay(*args, **kwargs)


# ---- declared and called


def test_a_plain_call_gives_the_coroutine():
    """As if it were not a task: awaited here, on this loop."""
    assert "hello 1" == asyncio.run(notify(1))


def test_a_coroutine_function_is_of_kind_async_unless_the_task_says_otherwise():
    """So that a rule can send coroutine tasks to a loop of their own."""

    async def later() -> None: ...

    assert "async" == notify.spec.kind
    assert "cpu" == dispatch.task(name="house.kind", kind="cpu")(later).spec.kind
    assert "notify" == notify.__name__


def test_arguments_are_checked_at_delay(dispatcher):
    """A `TypeError` where it is sent, not on the loop."""
    dispatcher(policy(OWN))

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'user'"):
        notify.delay()


# ---- on whose loop


@pytest.mark.parametrize("settings", [THREADS, OWN])
def test_a_call_from_a_thread_runs_on_the_destinations_own_loop(dispatcher, settings):
    """One loop for all of them, in a thread of its own; a pool of threads has one too."""
    dispatcher(policy(settings))

    first, second = loop_thread.delay().result(timeout=5), loop_thread.delay().result(timeout=5)

    assert "dispatch-loop-loop" == first[0]
    assert first == second
    assert "hi 2" == notify.delay(2, greeting="hi").result(timeout=5)


def test_the_loop_thread_starts_with_the_first_coroutine(dispatcher):
    """A pool whose tasks are plain functions has none."""
    dispatcher(policy(THREADS))

    plain.delay(1).result(timeout=5)

    assert "dispatch-loop-loop" not in [each.name for each in threading.enumerate()]


def test_a_call_from_a_coroutine_runs_on_its_callers_loop(dispatcher):
    """With `loop: caller`: the very loop, in the very thread, and `await` gives the result."""
    dispatcher(policy(CALLER))

    async def main():
        return await loop_thread.delay(), id(asyncio.get_running_loop())

    (thread, loop), mine = asyncio.run(main())

    assert mine == loop
    assert threading.current_thread().name == thread


def test_without_a_running_loop_the_next_candidate_takes_it(dispatcher):
    """`loop: caller` cannot carry what comes from a plain thread, and says so; another candidate may."""
    dispatcher(policy(CALLER, more=", fallback: [spare]"))

    handle = loop_thread.delay()

    assert "dispatch-spare-loop" == handle.result(timeout=5)[0]
    assert [("loop", "cannot_carry")] == [(each.destination, each.why) for each in handle.decision.passed_over]
    assert "no event loop is running" in handle.decision.passed_over[0].detail
    assert "spare" == dispatch.explain(loop_thread).decision.destination


def test_a_plain_function_is_not_for_a_loop(dispatcher):
    """It would stop everybody else there: `cannot_carry`, with the cure."""
    dispatcher(policy(OWN))

    with pytest.raises(dispatch.NotAccepted, match=r"cannot_carry.*`async def`, or write `runner: thread`"):
        plain.delay(1)


def test_green_threads_cannot_have_a_loop_thread(dispatcher, monkeypatch):
    """Under gevent's patches it is `cannot_carry`; the caller's own loop still does."""
    monkeypatch.setattr("dispatch.transports.local._coroutines.unsound", lambda: "gevent has made greenlets of this")
    dispatcher(policy(OWN))

    with pytest.raises(dispatch.NotAccepted, match=r"cannot_carry.*greenlets"):
        notify.delay(1)

    dispatcher(policy(CALLER))
    assert "hello 1" == asyncio.run(sent(notify, 1))


# ---- what comes along, and what comes back


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_context_variables_come_along(dispatcher, settings):
    """As they were at `delay`; what the task sets stays in the task."""
    dispatcher(policy(settings))

    async def main():
        token = who.set("ada")
        handle = whoami.delay()
        who.reset(token)
        return await handle

    assert "ada" == asyncio.run(main())


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_the_tasks_own_exception_arrives_with_its_traceback(dispatcher, settings):
    """Raised as it was, with the frame where it happened; nothing of ours goes before it."""
    dispatcher(policy(settings))

    with pytest.raises(LookupError, match="no such order") as caught:
        asyncio.run(sent(fail))

    assert "fail" == traceback.extract_tb(caught.tb)[-1].name
    assert "execute_async" not in [frame.name for frame in traceback.extract_tb(caught.tb)]


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_a_failed_call_leaves_no_cycle_behind(dispatcher, settings):
    """A handle and its error go away with their last reference, without the garbage collector."""
    dispatcher(policy(settings))

    async def main():
        with pytest.raises(LookupError):
            await fail.delay()
        await identity.delay(0)  # by then the loop has let go of the call before
        return [each for each in gc.get_objects() if type(each) is LookupError and "order" in str(each)]

    gc.collect()
    gc.disable()
    try:
        found = asyncio.run(main())
    finally:
        gc.enable()

    assert [] == found


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_a_cancellation_in_the_body_is_the_calls_failure_and_not_the_awaiters(dispatcher, settings):
    """`CallFailed`: whoever awaits the handle is not cancelled."""
    dispatcher(policy(settings))

    with pytest.raises(dispatch.CallFailed, match="was cancelled while it ran") as caught:
        asyncio.run(sent(give_up))

    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_even_an_exit_is_the_tasks_own_outcome(dispatcher, settings):
    """`sys.exit` in a task ends the task; the loop lives on."""
    dispatcher(policy(settings))

    async def main():
        with pytest.raises(SystemExit):
            await leave.delay()
        return await identity.delay(1)

    assert 1 == asyncio.run(main())


def test_an_exit_in_what_a_task_left_behind_does_not_break_the_loop(dispatcher, caplog):
    """It is logged; calls that were running go on."""

    async def stray() -> None:
        raise SystemExit(3)

    @dispatch.task(name="house.litter")
    async def litter() -> asyncio.Task:
        return asyncio.get_running_loop().create_task(stray())

    dispatcher(policy(OWN))
    left = litter.delay().result(timeout=5)

    assert [1, 2, 3] == [identity.delay(each).result(timeout=5) for each in (1, 2, 3)]
    assert isinstance(left.exception(), SystemExit)
    assert any("event loop was broken off" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_the_bodys_span_is_current_in_it_and_in_no_one_else(dispatcher, settings, spans):
    """`execute`, below `dispatch`, below the caller's span; two calls that take turns have each their own."""
    dispatcher(policy(settings))
    seen = {}

    @dispatch.task(name="house.look")
    async def look(number: int) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            seen.setdefault(number, set()).add(trace.get_current_span().get_span_context().span_id)

    async def main():
        with trace.get_tracer("test").start_as_current_span("request") as request:
            handles = [look.delay(number) for number in range(2)]
            for handle in handles:
                await handle
            assert request is trace.get_current_span()

    asyncio.run(main())
    executes = {
        span.attributes["dispatch.call.id"]: span for span in spans.finished if "execute house.look" == span.name
    }
    ids = {span.context.span_id for span in executes.values()}

    assert 2 == len(ids)
    assert ids == set.union(*seen.values())
    assert [1, 1] == [len(each) for each in seen.values()]


# ---- how many


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_no_more_than_workers_run_at_once(dispatcher, settings, gate):
    """The others wait, and start as those end."""
    dispatcher(policy(f"{settings}, workers: 2, capacity: 10"))

    async def main():
        handles = [hold.delay(gate) for _ in range(6)]
        await asyncio.to_thread(started, gate)
        await asyncio.to_thread(started, gate)
        assert ["running", "running"] == sorted(each.status for each in handles)[:2]
        gates[gate].open.set()
        return [await handle for handle in handles]

    assert [gate] * 6 == asyncio.run(main())
    assert 2 == gates[gate].most


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_a_full_loop_is_reported_and_the_next_candidate_taken(dispatcher, settings, gate):
    """`workers` running and `capacity` waiting: `delay` in a running loop never waits for room."""
    dispatcher(policy(f"{settings}, workers: 1, capacity: 1", more=", fallback: [spare]"))

    async def main():
        held = [hold.delay(gate), hold.delay(gate)]
        third = identity.delay(3)
        assert 3 == await third
        gates[gate].open.set()
        for handle in held:
            await handle
        return third.decision

    decision = asyncio.run(main())

    assert "spare" == decision.destination
    assert [("loop", "full")] == [(each.destination, each.why) for each in decision.passed_over]


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_adelay_waits_for_room_and_leaves_the_loop_free(dispatcher, settings, gate):
    """`block`: it is sent as soon as a call has ended."""
    dispatcher(policy(f"{settings}, workers: 1, capacity: 0, block_timeout: 10s"))

    async def main():
        held = hold.delay(gate)
        waiting = asyncio.create_task(identity.adelay(2))
        await asyncio.sleep(0)  # it waits now
        assert not waiting.done()
        gates[gate].open.set()
        return await (await waiting), await held

    assert (2, gate) == asyncio.run(main())


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_adelay_gives_up_after_the_block_timeout(dispatcher, settings, gate):
    """And says that the loop was full."""
    dispatcher(policy(f"{settings}, workers: 1, capacity: 0, block_timeout: 10ms"))

    async def main():
        held = hold.delay(gate)
        with pytest.raises(dispatch.NotAccepted, match="loop: full"):
            await identity.adelay(2)
        gates[gate].open.set()
        await held

    asyncio.run(main())


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_a_coroutine_that_gives_up_waiting_for_room_withdraws_its_call(dispatcher, settings, gate):
    """It never runs, and the room is the next one's."""
    dispatcher(policy(f"{settings}, workers: 1, capacity: 0, block_timeout: 10s"))
    ran = []

    @dispatch.task(name="house.noted")
    async def note() -> None:
        ran.append(1)

    async def main():
        held = hold.delay(gate)
        waiting = asyncio.create_task(note.adelay())
        await asyncio.sleep(0)  # it waits now
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gates[gate].open.set()
        await held
        return await (await identity.adelay(1))

    assert 1 == asyncio.run(main())
    assert [] == ran


def test_a_thread_that_is_full_of_coroutines_blocks_for_room(dispatcher, gate):
    """From a plain thread, `block` waits as it does for threads."""
    dispatcher(policy(f"{OWN}, workers: 1, capacity: 0, block_timeout: 10s"))
    held = hold.delay(gate)
    assert started(gate)
    threading.Timer(0.02, gates[gate].open.set).start()

    assert 2 == identity.delay(2).result(timeout=5)
    assert gate == held.result(timeout=5)


def test_caller_runs_is_not_for_coroutines(dispatcher, gate):
    """In a pool of threads that says `caller_runs`, a coroutine's call goes to the next candidate."""
    dispatcher(policy(f"{THREADS}, workers: 1, capacity: 0, on_full: caller_runs", more=", fallback: [spare]"))
    held = hold.delay(gate)
    assert started(gate)

    handle = identity.delay(2)

    assert "spare" == handle.decision.destination
    assert 2 == handle.result(timeout=5)
    gates[gate].open.set()
    assert gate == held.result(timeout=5)


def test_a_task_that_fills_its_own_loop_is_refused_and_hangs_nobody(dispatcher):
    """There is no thread to lend: `NotAccepted`, at once."""

    @dispatch.task(name="house.greedy")
    async def greedy() -> str:
        identity.delay(1)
        return "taken"

    dispatcher(policy(f"{OWN}, workers: 1, capacity: 0"))

    with pytest.raises(dispatch.NotAccepted, match="loop: full"):
        greedy.delay().result(timeout=5)


# ---- what does not run


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_cancel_is_true_only_before_the_start(dispatcher, settings, gate):
    """A waiting call never runs; a running one goes on."""
    dispatcher(policy(f"{settings}, workers: 1, capacity: 5"))

    async def main():
        running, waiting = hold.delay(gate), identity.delay(2)
        await asyncio.to_thread(started, gate)
        assert running.running()
        assert not running.cancel()
        assert waiting.cancel()
        gates[gate].open.set()
        with pytest.raises(dispatch.CallCancelled):
            await waiting
        return await running

    assert gate == asyncio.run(main())


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_a_call_that_waited_longer_than_its_expires_does_not_run(dispatcher, settings, gate):
    """Looked at just before the start."""
    dispatcher(policy(f"{settings}, workers: 1, capacity: 5"))

    async def main():
        with clock() as time:
            held, late = hold.delay(gate), identity.apply_async((2,), expires=60)
            time.advance("61s")
            gates[gate].open.set()
            with pytest.raises(dispatch.CallExpired):
                await late
            await held

    asyncio.run(main())


def test_calls_on_a_loop_that_ends_are_told(dispatcher, gate):
    """`asyncio.run` cancels what it leaves: a running call fails, one whose task never took a step is cancelled."""
    dispatcher(policy(CALLER))
    handles = []

    async def main():
        handles.append(hold.delay(gate))
        await asyncio.to_thread(started, gate)
        handles.append(identity.delay(2))
        [task] = [each for each in asyncio.all_tasks() if each.get_name() == identity.name]
        task.cancel()

    asyncio.run(main())

    with pytest.raises(dispatch.CallFailed, match="cancelled while it ran"):
        handles[0].result(timeout=1)
    with pytest.raises(dispatch.CallCancelled):
        handles[1].result(timeout=1)


def test_calls_on_a_loop_that_was_closed_are_told_at_shutdown(dispatcher, gate):
    """Nobody waits for what no loop will run."""
    dispatcher(policy(f"{CALLER}, workers: 1"))
    loop = asyncio.new_event_loop()

    async def main():
        handles = [hold.delay(gate), identity.delay(2)]
        await asyncio.to_thread(started, gate)
        return handles

    running, waiting = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    dispatch.shutdown("1s")

    with pytest.raises(dispatch.CallFailed, match="broken off with its event loop"):
        running.result(timeout=1)
    with pytest.raises(dispatch.CallCancelled):
        waiting.result(timeout=1)


# ---- the end


def test_shutdown_finishes_what_waits_and_ends_the_loop(dispatcher, gate):
    """`on_shutdown: finish`; the loop thread is gone afterwards, and nothing new is taken."""
    dispatcher(policy(f"{OWN}, workers: 1"))
    handles = [hold.delay(gate), *(identity.delay(each) for each in range(3))]
    assert started(gate)
    threading.Timer(0.02, gates[gate].open.set).start()

    assert Drained(finished=4) == dispatch.shutdown("5s")
    assert [gate, 0, 1, 2] == [handle.result() for handle in handles]
    assert "dispatch-loop-loop" not in [each.name for each in threading.enumerate()]
    with pytest.raises(dispatch.NotAccepted, match="shut down"):
        identity.delay(1)


def test_shutdown_can_drop_what_waits(dispatcher, gate):
    """`on_shutdown: drop`: started calls finish, waiting ones are cancelled."""
    dispatcher(policy(f"{OWN}, workers: 1, on_shutdown: drop"))
    running, waiting = hold.delay(gate), identity.delay(1)
    assert started(gate)
    threading.Timer(0.02, gates[gate].open.set).start()

    assert Drained(finished=1, dropped=1) == dispatch.shutdown("5s")
    assert gate == running.result()
    assert waiting.cancelled()


def test_shutdown_waits_no_longer_than_its_grace(dispatcher, gate):
    """What is left goes on."""
    dispatcher(policy(OWN))
    handle = hold.delay(gate)
    assert started(gate)

    assert Drained(left=1) == dispatch.shutdown("10ms")
    gates[gate].open.set()
    assert gate == handle.result(timeout=5)


@pytest.mark.parametrize("settings", [OWN, CALLER])
def test_shutdown_in_a_coroutine_does_not_wait_for_its_own_loop(dispatcher, settings):
    """It could not go on meanwhile."""

    @dispatch.task(name="house.ends")
    async def ends() -> Drained:
        return dispatch.shutdown("5s")

    dispatcher(policy(settings))

    assert Drained(left=1) == asyncio.run(sent(ends))


def test_a_forked_child_has_a_loop_of_its_own(dispatcher):
    """New and empty, started by the child's first call."""
    dispatcher(policy(OWN))
    assert 1 == identity.delay(1).result(timeout=5)

    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if identity.delay(2).result(timeout=5) == 2 else 1)
        finally:
            os._exit(2)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 3 == identity.delay(3).result(timeout=5)


def test_a_program_that_ends_finishes_its_coroutines(tmp_path):
    """The interpreter's exit waits for them, within the grace, and says nothing else."""
    program = tmp_path / "shop.py"
    program.write_text(
        "import asyncio, dispatch\n"
        "@dispatch.task\n"
        "async def say(word):\n"
        "    await asyncio.sleep(0.05)\n"
        "    print(word, flush=True)\n"
        "for word in ('one', 'two'):\n"
        "    say.delay(word)\n"
    )

    ended = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True, timeout=30)

    assert ["one", "two"] == ended.stdout.split()
    assert "Traceback" not in ended.stderr
