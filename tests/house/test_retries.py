"""Calls that are attempted again: `retry=dispatch.Retry(…)` on the local path."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import weakref

import pytest
from opentelemetry.trace import StatusCode

import dispatch
from dispatch import testing
from dispatch.pool import Drained
from dispatch.testing import clock
from house.policies import ON_CALLERS_LOOP
from servers.patience import eventually
from telemetry.handmade import Spans, provider_in_place

ALONE = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 1, on_full: {on_full}, on_shutdown: {on_shutdown}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast}}
"""

AT_ONCE = dispatch.Retry(attempts=3, on=ConnectionError, backoff="0")
IN_A_MINUTE = dispatch.Retry(attempts=3, backoff="1m", jitter=False)

mood = contextvars.ContextVar("mood", default="calm")


class Log:
    """What a task did, attempt by attempt: it fails as long as there are errors."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.attempts: list[tuple[str, int]] = []
        """Context and thread of each."""

    def attempt(self) -> int:
        self.attempts.append((mood.get(), threading.get_ident()))
        mood.set("shaken")
        if self.errors:
            raise self.errors.pop(0)
        return len(self.attempts)


@dispatch.task(retry=AT_ONCE)
def work(log: Log) -> int:
    return log.attempt()


@dispatch.task(retry=AT_ONCE)
async def awork(log: Log) -> int:
    await asyncio.sleep(0)
    return log.attempt()


@dispatch.task(retry=IN_A_MINUTE)
def work_slowly(log: Log) -> int:
    return log.attempt()


@dispatch.task(retry=IN_A_MINUTE)
async def awork_slowly(log: Log) -> int:
    return log.attempt()


@dispatch.task
def hold(started: threading.Event, go: threading.Event) -> None:
    started.set()
    assert go.wait(10)


@dispatch.task
def wait_for(log: Log) -> int:
    return work.delay(log).result()


@pytest.fixture(params=["function", "coroutine"])
def working(request):
    return work if request.param == "function" else awork


@pytest.fixture(params=["function", "coroutine"])
def working_slowly(request):
    return work_slowly if request.param == "function" else awork_slowly


def test_a_call_is_attempted_until_it_succeeds(dispatcher, working):
    """One call, one handle, which hears of the last attempt alone, once."""
    dispatcher()
    log, heard = Log(ConnectionError("1"), ConnectionError("2")), []

    handle = working.delay(log)
    handle.add_done_callback(lambda handle: heard.append(handle.status))

    assert 3 == handle.result(timeout=5)
    eventually(lambda: heard)
    assert ["done"] == heard


def test_the_last_error_is_raised_as_it_was(dispatcher, working):
    """After so many attempts; the errors before it are not chained to it."""
    dispatcher()
    log = Log(*(ConnectionError(str(number)) for number in range(1, 5)))

    error = working.delay(log).exception(timeout=5)

    assert isinstance(error, ConnectionError)
    assert ("3", None) == (str(error), error.__cause__)
    assert 3 == len(log.attempts)


def test_an_error_that_is_not_worth_it_ends_the_call(dispatcher, working):
    """`on` says which ones are."""
    dispatcher()
    log = Log(ConnectionError(), ValueError("no such order"))

    with pytest.raises(ValueError, match="no such order"):
        working.delay(log).result(timeout=5)
    assert 2 == len(log.attempts)


def test_an_exit_is_never_attempted_again(dispatcher):
    """Whoever says `sys.exit` means it."""
    dispatcher()
    log = Log(SystemExit(3))

    assert isinstance(work.options(latency_budget="1m").delay(log).exception(timeout=5), SystemExit)
    assert 1 == len(log.attempts)


def test_a_call_may_be_told_another_retry_than_its_task(dispatcher, working):
    """`apply_async(retry=…)` holds for this call."""
    dispatcher()
    log = Log(ValueError(), ValueError())

    told = dispatch.Retry(attempts=2, on=ValueError, backoff="0")

    assert isinstance(working.apply_async((log,), retry=told).exception(timeout=5), ValueError)
    assert 2 == len(log.attempts)


def test_each_attempt_begins_with_the_callers_context(dispatcher, working):
    """What an attempt does to context variables ends with it."""
    dispatcher()
    log = Log(ConnectionError(), ConnectionError())
    token = mood.set("cheerful")

    handle = working.delay(log)
    mood.reset(token)

    assert 3 == handle.result(timeout=5)
    assert ["cheerful"] * 3 == [context for context, _ in log.attempts]


def test_between_two_attempts_a_call_waits_and_holds_no_worker(dispatcher, working_slowly):
    """The only worker runs something else meanwhile."""
    fast = dispatcher(ALONE.format(on_full="block", on_shutdown="finish")).destinations["fast"]
    log = Log(ConnectionError())
    pool = fast._pool if working_slowly is work_slowly else fast._coroutines.pool
    with clock() as held:
        handle = working_slowly.delay(log)
        eventually(lambda: pool.statistics().delayed == 1)

        assert ("waiting", 1) == (handle.status, len(log.attempts))
        assert 1 == working_slowly.delay(Log()).result(timeout=5)
        held.advance("59s")
        assert "waiting" == handle.status
        held.advance("1s")
        assert 2 == handle.result(timeout=5)


def test_the_pause_doubles_with_each_attempt(dispatcher, working_slowly):
    """A minute, two minutes."""
    dispatcher()
    log = Log(ConnectionError(), ConnectionError())
    with clock() as held:
        handle = working_slowly.delay(log)
        eventually(lambda: len(log.attempts) == 1 and handle.status == "waiting")
        held.advance("1m")
        eventually(lambda: len(log.attempts) == 2 and handle.status == "waiting")
        held.advance("1m")
        assert "waiting" == handle.status
        held.advance("1m")

        assert 3 == handle.result(timeout=5)


def test_a_call_is_cancelled_between_two_attempts(dispatcher, working_slowly):
    """`cancel()` is true: there is no further one."""
    dispatcher()
    log = Log(ConnectionError())
    with clock() as held:
        handle = working_slowly.delay(log)
        eventually(lambda: log.attempts and handle.status == "waiting")

        assert handle.cancel()
        held.advance("1h")
    with pytest.raises(dispatch.CallCancelled, match="before its attempt 2"):
        handle.result(timeout=5)
    assert 1 == len(log.attempts)


def test_what_would_have_expired_by_then_fails_with_its_own_error(dispatcher, working_slowly):
    """It says more than `CallExpired` would."""
    dispatcher()
    log = Log(ConnectionError("refused"))

    with pytest.raises(ConnectionError, match="refused"):
        working_slowly.apply_async((log,), expires=30).result(timeout=5)


def test_there_is_always_room_for_another_attempt(dispatcher):
    """However full the delays are: the call was accepted."""
    fast = dispatcher(ALONE.format(on_full="next", on_shutdown="finish")).destinations["fast"]
    log = Log(ConnectionError())
    with clock() as held:
        full = work_slowly.apply_async((Log(),), countdown=3600)
        handle = work_slowly.delay(log)
        eventually(lambda: handle.status == "waiting" and log.attempts)

        assert 2 == fast.statistics().timers
        held.advance("1m")
        assert 2 == handle.result(timeout=5)
    assert full.cancel()


def test_a_caller_that_runs_a_call_leaves_further_attempts_to_the_pool(dispatcher):
    """`caller_runs`: the first is made where it was sent, before `delay` returns."""
    dispatcher(ALONE.format(on_full="caller_runs", on_shutdown="finish"))
    started, go, log = threading.Event(), threading.Event(), Log(ConnectionError())
    hold.delay(started, go)
    assert started.wait(5)
    hold.delay(threading.Event(), go)

    handle = work.delay(log)

    assert [threading.get_ident()] == [thread for _, thread in log.attempts]
    go.set()
    assert 2 == handle.result(timeout=5)
    assert threading.get_ident() != log.attempts[1][1]


def test_a_worker_that_waits_for_a_call_of_its_pool_makes_all_its_attempts(dispatcher):
    """With one worker there is nobody else who could."""
    dispatcher(ALONE.format(on_full="block", on_shutdown="finish"))
    log = Log(ConnectionError(), ConnectionError())

    assert 3 == wait_for.delay(log).result(timeout=5)
    assert 1 == len({thread for _, thread in log.attempts})


@dispatch.task
def wait_for_the_slow(log: Log) -> int:
    return work_slowly.delay(log).result()


def test_a_call_run_in_place_keeps_its_pauses(dispatcher):
    """What it left behind in the channel is no second call of it, and starts nothing before its time."""
    dispatcher()
    started, go, log = threading.Event(), threading.Event(), Log(ConnectionError())
    with clock() as held:
        busy = hold.delay(started, go)
        assert started.wait(5)
        waiting = wait_for_the_slow.delay(log)
        eventually(lambda: log.attempts)
        go.set()
        busy.result(timeout=5)
        work.delay(Log()).result(timeout=5)

        assert 1 == len(log.attempts)
        held.advance("1m")
        assert 2 == waiting.result(timeout=5)


def test_on_their_callers_loop_all_attempts_are_made_there(dispatcher):
    """In the caller's thread."""
    dispatcher(ON_CALLERS_LOOP)
    log = Log(ConnectionError(), ConnectionError())

    async def main():
        return await awork.delay(log)

    assert 3 == asyncio.run(main())
    assert {threading.get_ident()} == {thread for _, thread in log.attempts}


def test_a_cancelled_coroutine_is_not_attempted_again(dispatcher):
    """When its loop ends, for one: nobody is left to run it."""
    dispatcher(ON_CALLERS_LOOP)
    begun: list[int] = []

    @dispatch.task(retry=dispatch.Retry(backoff="0"))
    async def sleep_for_ever() -> None:
        begun.append(1)
        await asyncio.Event().wait()

    async def main():
        handle = sleep_for_ever.delay()
        await asyncio.sleep(0)
        return handle

    with pytest.raises(dispatch.CallFailed, match="was cancelled while it ran"):
        asyncio.run(main()).result(timeout=5)
    assert [1] == begun


def test_inline_mode_attempts_at_once_and_without_pauses(working_slowly):
    """All in the caller, before `delay` returns."""
    log = Log(ConnectionError(), ConnectionError())

    with testing.inline():
        handle = working_slowly.delay(log)
        assert 3 == handle.result()
        failed = working_slowly.delay(Log(*(ConnectionError(str(number)) for number in range(1, 4))))

    assert "3" == str(failed.exception())


def test_a_capture_shows_the_call_once(dispatcher):
    """However many attempts it takes."""
    dispatcher()
    log = Log(ConnectionError())

    with testing.capture() as sent:
        assert 2 == work.delay(log).result(timeout=5)

    assert 1 == len(sent)


def test_each_attempt_has_a_span_with_its_number_and_its_error(dispatcher, working):
    """All below one `dispatch` span."""
    dispatcher()
    log, spans = Log(ConnectionError("refused")), Spans()

    with provider_in_place(spans.provider):
        assert 2 == working.delay(log).result(timeout=5)
    first, second = [span for span in spans.finished if span.name.startswith("execute")]

    assert 1 == len([span for span in spans.finished if span.name.startswith("dispatch")])
    assert {spans["dispatch"].context.span_id} == {span.parent.span_id for span in (first, second)}
    assert [None, 2] == [span.attributes.get("dispatch.attempt") for span in (first, second)]
    assert [StatusCode.ERROR, StatusCode.UNSET] == [span.status.status_code for span in (first, second)]
    assert ["refused"] == [event.attributes["exception.message"] for event in first.events]


def test_the_wait_of_an_attempt_counts_from_when_it_was_due(dispatcher):
    """And so does that of a delayed call."""
    dispatcher()
    log, spans = Log(ConnectionError()), Spans()
    with provider_in_place(spans.provider), clock() as held:
        handle = work_slowly.apply_async((log,), countdown=60)
        held.advance("1m")
        eventually(lambda: log.attempts and handle.status == "waiting")
        held.advance("1m")
        handle.result(timeout=5)

    waits = [span.attributes["dispatch.wait_us"] for span in spans.finished if span.name.startswith("execute")]
    assert [0.0, 0.0] == waits


def test_shutdown_waits_for_an_attempt_that_is_due_within_the_grace(dispatcher, working):
    """The call was accepted, and there is time."""
    one, begun, go = dispatcher(), threading.Event(), threading.Event()

    class Slow(Log):
        def attempt(self) -> int:
            begun.set()
            assert go.wait(5)
            return super().attempt()

    retry = dispatch.Retry(backoff="50ms", jitter=False)
    handle = working.apply_async((Slow(ConnectionError()),), retry=retry)
    assert begun.wait(5)
    threading.Timer(0.02, go.set).start()

    assert 0 == one.shutdown("5s").dropped
    assert 2 == handle.result(timeout=0)


def test_shutdown_drops_an_attempt_that_is_due_later(dispatcher, working_slowly):
    """Whether the call waits for it already, or its attempt fails within the grace."""
    one = dispatcher()
    fast = one.destinations["fast"]
    log = Log(ConnectionError())
    handle = working_slowly.delay(log)
    eventually(lambda: log.attempts and (fast.statistics().timers, fast.statistics().busy) == (1, 0))

    assert Drained(dropped=1) == one.shutdown("5s")
    with pytest.raises(dispatch.CallCancelled, match="the pause before its attempt 2 had not passed"):
        handle.result(timeout=0)


def test_an_attempt_that_fails_during_the_shutdown_is_the_last_when_the_pause_is_too_long(dispatcher, working_slowly):
    """Nobody waits for ever."""
    one, begun, go = dispatcher(), threading.Event(), threading.Event()

    class Slow(Log):
        def attempt(self) -> int:
            begun.set()
            assert go.wait(5)
            return super().attempt()

    handle = working_slowly.delay(Slow(ConnectionError()))
    assert begun.wait(5)
    threading.Timer(0.02, go.set).start()

    assert Drained(finished=1, dropped=1) == one.shutdown("5s")
    assert isinstance(handle.exception(timeout=0), dispatch.CallCancelled)


def test_the_interpreters_exit_waits_for_further_attempts():
    """As long as they are due within the grace."""
    program = """
import dispatch, sys
dispatch.configure(policy="no-broker")
seen = []
@dispatch.task(retry=dispatch.Retry(backoff="50ms", jitter=False))
def say(word):
    seen.append(word)
    if seen.count(word) < 3: raise ConnectionError
    sys.stdout.write(f"{word}\\n")
@dispatch.task(retry=dispatch.Retry(backoff="50ms", jitter=False))
async def asay(word): say(word)
say.delay("plain"), asay.delay("async")
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)

    assert {"plain", "async"} == set(done.stdout.split())


def test_a_call_that_failed_for_good_leaves_no_cycle_behind(dispatcher, working):
    """Its errors go away with their last reference, without the garbage collector."""
    dispatcher()

    made = []

    class Refused(ConnectionError):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(weakref.ref(self))

    gc.disable()
    try:
        with pytest.raises(Refused):
            working.delay(Log(*(Refused(str(number)) for number in range(3)))).result(timeout=5)
        eventually(lambda: not [each for each in made if each() is not None], within=2)
    finally:
        gc.enable()
    assert 3 == len(made)
