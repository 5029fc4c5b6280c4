"""Shutting down: twice, from anywhere, again and again, and at the interpreter's exit."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

import dispatch
from dispatch import _default
from dispatch._dispatcher import running
from dispatch.pool import Drained
from servers.patience import eventually

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 10}
  other: {transport: local, reached_by: pins, workers: 1, capacity: 10}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""

started, release = threading.Semaphore(0), threading.Event()


@dispatch.task
def hold() -> str:
    started.release()
    assert release.wait(10)
    return "held"


@dispatch.task
def echo(value: int) -> int:
    return value


@dispatch.task
async def aecho(value: int) -> int:
    return value


@dispatch.task
def shut_down() -> Drained:
    started.release()
    assert release.wait(10)
    return dispatch.shutdown("30s")


@dispatch.task
async def shut_down_from_a_coroutine() -> Drained:
    return dispatch.shutdown("30s")


@dispatch.task
def leave() -> None:
    sys.exit(3)


@pytest.fixture(autouse=True)
def _fresh():
    release.clear()
    yield
    release.set()
    while started.acquire(blocking=False):
        pass


def test_two_threads_that_shut_down_at_once_wait_for_the_same_end(dispatcher):
    """Both return when all is ended, and every call is counted by one of them."""
    dispatcher(POLICY)
    handle = hold.delay()
    assert started.acquire(timeout=5)
    drained = []
    threads = [threading.Thread(target=lambda: drained.append(dispatch.shutdown("30s"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: _default.current().destinations["fast"]._pool.closed)
    assert [] == drained
    release.set()
    for thread in threads:
        thread.join()

    assert "held" == handle.result(timeout=0)
    assert [0, 1] == sorted(each.finished for each in drained)


def test_a_task_that_shuts_down_does_not_wait_for_itself(dispatcher):
    """It is left, and counted as such; the rest ends first."""
    dispatcher(POLICY)
    handle = shut_down.delay()
    assert started.acquire(timeout=5)
    last = echo.delay(1)
    release.set()

    assert 1 == handle.result(timeout=10).left
    assert 1 == last.result(timeout=10)


def test_two_tasks_that_shut_down_do_not_wait_for_each_other(dispatcher):
    """One ends the dispatcher, the other finds somebody at it."""
    dispatcher(POLICY)
    handles = [shut_down.delay(), shut_down.delay()]
    assert all(started.acquire(timeout=5) for _ in handles)
    release.set()

    assert {Drained} == {type(handle.result(timeout=10)) for handle in handles}


def test_a_task_that_shuts_down_while_the_main_thread_does_ends_at_once(dispatcher):
    """The main thread waits for the task, so the task does not wait for the main thread."""
    one = dispatcher(POLICY)
    handle = shut_down.delay()
    assert started.acquire(timeout=5)
    threading.Thread(target=lambda: eventually(lambda: one.destinations["fast"]._pool.closed) and release.set()).start()

    assert Drained(finished=1) == dispatch.shutdown("30s")
    assert Drained() == handle.result(timeout=0)


def test_whoever_finds_a_shutdown_under_way_leaves_it_for_the_exit_to_wait_for(dispatcher):
    """A coroutine that asks for another is told nothing, and the one under way is still known."""
    one = dispatcher(POLICY)
    hold.delay()
    assert started.acquire(timeout=5)
    thread = threading.Thread(target=dispatch.shutdown, args=["30s"])
    thread.start()
    eventually(lambda: one.destinations["fast"]._pool.closed)

    async def ask():
        return dispatch.shutdown("30s")

    assert Drained() == asyncio.run(ask())
    assert one in running
    release.set()
    thread.join()
    assert one not in running


def test_a_coroutine_task_may_shut_down(dispatcher):
    """It runs on the loop that is being ended, and is left to finish."""
    dispatcher(POLICY)

    assert 1 == shut_down_from_a_coroutine.delay().result(timeout=10).left


def test_a_coroutine_of_the_application_may_shut_down(dispatcher):
    """On its own loop; what runs elsewhere is waited for."""
    dispatcher(POLICY)

    async def program():
        handle = await aecho.adelay(1)
        dispatch.shutdown("30s")
        return await handle

    assert 1 == asyncio.run(program())


def test_a_done_callback_may_shut_down(dispatcher):
    """It runs in the worker that ended the call."""
    dispatcher(POLICY)
    drained = []
    handle = hold.delay()
    handle.add_done_callback(lambda _: drained.append(dispatch.shutdown("30s")))
    release.set()

    assert "held" == handle.result(timeout=10)
    assert [Drained(left=1)] == eventually(lambda: drained)


def test_a_task_may_configure_anew(dispatcher, monkeypatch):
    """The dispatcher that runs it ends; the next call goes to the new one."""
    dispatcher(POLICY)

    @dispatch.task(name="tests.shutdown.configure")
    def configure() -> str:
        return dispatch.configure(policy="no-broker").policy.version

    assert _default.current().policy.version != configure.delay().result(timeout=10)
    assert 2 == echo.delay(2).result(timeout=5)
    dispatch.shutdown("5s")


def test_set_up_and_ended_hundreds_of_times_it_leaves_nothing_behind(monkeypatch):
    """No thread, no file, and no dispatcher that nobody refers to."""
    monkeypatch.setattr(_default._default, "dispatcher", None)

    def cycle():
        dispatch.configure(policy="no-broker")
        assert 1 == echo.delay(1).result(timeout=5)
        assert 1 == aecho.delay(1).result(timeout=5)
        dispatch.shutdown("5s")

    def figures():
        gc.collect()
        alive = sum(type(each) is dispatch.Dispatcher for each in gc.get_objects())
        return threading.active_count(), len(tuple(Path("/proc/self/fd").iterdir())), alive

    cycle()
    before = figures()
    for _ in range(200):
        cycle()

    # At most as many of each: what other tests have left behind may end meanwhile.
    assert eventually(lambda: all(now <= then for now, then in zip(figures(), before, strict=True)))


# The interpreter's exit --------------------------------------------------------------------------------------------


BEGINNING = """
import logging, os, sys, threading
import dispatch
logging.basicConfig(level="INFO", format="%(message)s")
started, release = threading.Event(), threading.Event()

def tell(word):
    os.write(1, f"{word}\\n".encode())     # at once and whole, whoever else writes

@dispatch.task
def hold():
    started.set()
    release.wait(10)
    tell("held")

@dispatch.task
def say(word):
    tell(word)

@dispatch.task
def leave():
    sys.exit(3)
"""


def run(source: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGINNING + dedent(source)],
        env=os.environ | {"DISPATCH_SHUTDOWN_GRACE": "10s"} | env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_exit_finishes_what_runs_and_what_waits():
    """Within the grace, as `shutdown` does; one line counts them."""
    ended = run("""
        hold.delay(); [say.delay(word) for word in "abc"]
        started.wait()
        import atexit
        atexit.register(release.set)
    """)

    assert 0 == ended.returncode, ended.stderr
    assert {"held", "a", "b", "c"} == set(ended.stdout.split())


def test_an_exit_starts_no_thread():
    """A later Python would refuse it, and whatever relied on it would be lost."""
    ended = run("""
        import _thread, atexit
        say.delay("one").result()
        def refuse(*_):
            print("a thread at exit", flush=True)
            raise RuntimeError("can't create new thread at interpreter shutdown")
        hold.delay()
        started.wait()
        def begin():
            threading._start_new_thread = _thread.start_new_thread = refuse
            release.set()
        atexit.register(begin)
    """)

    assert 0 == ended.returncode, ended.stderr
    assert ["one", "held"] == ended.stdout.split()


def test_a_task_that_never_ends_does_not_keep_the_process():
    """The grace bounds the exit; what is left is counted."""
    ended = run("hold.delay(); started.wait()", DISPATCH_SHUTDOWN_GRACE="100ms")

    assert 0 == ended.returncode, ended.stderr
    assert "left=1" in ended.stderr


def test_leaving_inside_the_block_of_a_dispatcher_ends_it_once():
    """`with Dispatcher()` and `sys.exit` in it: the calls finish, and the status is kept."""
    ended = run("""
        with dispatch.Dispatcher() as one:
            [say.using(one).delay(word) for word in "abc"]
            sys.exit(5)
    """)

    assert 5 == ended.returncode, ended.stderr
    assert {"a", "b", "c"} == set(ended.stdout.split())


def test_an_exit_in_a_task_ends_the_call_alone():
    """`sys.exit` there is the call's failure, and the program's status is its own."""
    ended = run("""
        print(repr(leave.delay().exception(timeout=5)))
        say.delay("goes on").result(timeout=5)
    """)

    assert 0 == ended.returncode, ended.stderr
    assert ["SystemExit(3)", "goes on"] == ended.stdout.splitlines()


def test_threads_that_wait_for_results_do_not_keep_the_process():
    """Daemonic ones, blocked in `result()` of a call that never ends."""
    ended = run(
        """
        handle = hold.delay()
        waiting = [threading.Thread(target=handle.result, daemon=True) for _ in range(3)]
        for each in waiting: each.start()
        started.wait()
        """,
        DISPATCH_SHUTDOWN_GRACE="100ms",
    )

    assert 0 == ended.returncode, ended.stderr
    assert "left=1" in ended.stderr


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_finishes_its_calls(tmp_path, how):
    """However it was made: `fork` and `forkserver` end their children without the interpreter's exit."""
    (tmp_path / "program.py").write_text(
        BEGINNING
        + dedent("""
            import multiprocessing
            from multiprocessing import util

            @dispatch.task
            def late(word):
                release.wait(10)
                tell(word)

            def child():
                util.Finalize(None, release.set, exitpriority=100)  # before all others
                [late.delay(word) for word in "abc"]

            if __name__ == "__main__":
                process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
                process.start()
                process.join()
                sys.exit(process.exitcode)
        """)
    )
    ended = subprocess.run(
        [sys.executable, "program.py", how], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )

    assert 0 == ended.returncode, ended.stderr
    assert {"a", "b", "c"} == set(ended.stdout.split())
