"""How often a call is attempted, how long an attempt may take, and how long a call waits before it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from unittest import SkipTest

from dispatch._dispatcher import Dispatcher
from dispatch._handle import Handle
from dispatch._retry import Retry
from dispatch.errors import CallTimeout
from dispatch.testing.conformance import _tasks as tasks
from dispatch.testing.conformance._capabilities import Capabilities
from dispatch.testing.conformance._results import PATIENCE


class Attempts:
    """Part of the suite."""

    capabilities: Capabilities

    def test_a_later_attempt_may_succeed(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """Its result is the call's, as if nothing had happened before; a coroutine's as well."""
        for task in (tasks.attempt, tasks.attempt_on_loop):
            file = tmp_path / task.name
            handle = task.using(dispatcher).delay(str(file), 3)

            assert handle.result(PATIENCE) == 3
            assert handle.status == "done"
            assert _attempts(file) == 3

    def test_after_the_last_attempt_its_error_is_the_calls(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """As it was raised, and no further attempt is made."""
        error = tasks.attempt.using(dispatcher).delay(str(tmp_path / "file"), 9).exception(PATIENCE)

        assert isinstance(error, tasks.Unlucky)
        assert error.args == (3,)
        assert _attempts(tmp_path / "file") == 3

    def test_an_error_that_nobody_named_is_final(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """`on` says which errors are worth another attempt."""
        retry = Retry(attempts=3, on=(KeyError, OSError), backoff="10ms")
        handle = tasks.attempt.using(dispatcher).apply_async((str(tmp_path / "file"), 3), retry=retry)

        assert isinstance(handle.exception(PATIENCE), tasks.Unlucky)
        assert _attempts(tmp_path / "file") == 1

    def test_a_calls_own_retry_beats_its_tasks(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """More attempts, or fewer; a base of the error will do."""
        attempt, more, fewer = tasks.attempt.using(dispatcher), tmp_path / "more", tmp_path / "fewer"
        five = attempt.apply_async((str(more), 5), retry=Retry(attempts=5, on=Exception, backoff="10ms"))
        one = attempt.apply_async((str(fewer), 5), retry=Retry(attempts=1))

        assert five.result(PATIENCE) == 5
        assert isinstance(one.exception(PATIENCE), tasks.Unlucky)
        assert (_attempts(more), _attempts(fewer)) == (5, 1)

    def test_all_attempts_are_one_call(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """One id, and a callback is told once, of the last one."""
        told: list[object] = []
        heard = threading.Event()
        name = f"attempts-{os.urandom(8).hex()}"
        handle = tasks.attempt.using(dispatcher).apply_async((str(tmp_path / "file"), 3), task_id=name)

        def hear(ended: Handle[int]) -> None:
            told.append(ended.result())
            heard.set()

        handle.add_done_callback(hear)

        assert heard.wait(PATIENCE)
        assert told == [3]
        assert handle.id == name

    def test_a_coroutine_past_its_timeout_is_stopped(self, dispatcher: Dispatcher) -> None:
        """Its call fails with `CallTimeout`, and the next one runs."""
        self._skip_where_the_caller_runs_it()
        error = tasks.overrun_on_loop.using(dispatcher).delay().exception(PATIENCE)

        assert isinstance(error, CallTimeout)
        assert "conformance.overrun_on_loop" in str(error)
        assert tasks.echo.using(dispatcher).delay("next").result(PATIENCE) == "next"

    def test_a_function_past_its_timeout_has_failed(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """Stopped where that can be, so that the next call runs; else left to itself."""
        self._skip_where_the_caller_runs_it()
        go, done = tmp_path / "go", tmp_path / "done"
        os.mkfifo(go)
        os.mkfifo(done)
        handle = tasks.overrun.using(dispatcher).delay(str(go), str(done))

        assert isinstance(handle.exception(PATIENCE), CallTimeout)
        if self.capabilities.can_stop:
            assert tasks.echo.using(dispatcher).delay("next").result(PATIENCE) == "next"
            assert not _has_a_reader(go)
        else:
            go.write_text("go")
            assert done.read_text() == "went on"

    def test_a_delayed_call_waits(self, dispatcher: Dispatcher) -> None:
        """Never shorter than asked, by the clock where it runs; others overtake it."""
        self._skip_where_the_caller_runs_it()
        if not self.capabilities.can_delay:
            raise SkipTest("it takes no delays")
        asked = time.time()
        delayed = tasks.moment.using(dispatcher).apply_async(countdown=1.2)
        at_once = tasks.moment.using(dispatcher).delay()

        assert at_once.result(PATIENCE) < asked + 1.2 <= delayed.result(PATIENCE)

    def test_a_call_that_would_expire_before_its_next_attempt_has_none(
        self, dispatcher: Dispatcher, tmp_path: Path
    ) -> None:
        """It fails at once with its own error, which says more."""
        self._skip_where_the_caller_runs_it()
        retry = Retry(backoff="1h", max_backoff="1h", jitter=False)
        file = tmp_path / "file"
        handle = tasks.attempt.using(dispatcher).apply_async((str(file), 2), retry=retry, expires=60)

        assert isinstance(handle.exception(PATIENCE), tasks.Unlucky)
        assert _attempts(file) == 1

    def _skip_where_the_caller_runs_it(self) -> None:
        if not self.capabilities.runs_apart:
            raise SkipTest("the caller is the worker, and waits for nothing")


def _attempts(file: Path) -> int:
    return len(file.read_text().splitlines())


def _has_a_reader(pipe: Path) -> bool:
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
