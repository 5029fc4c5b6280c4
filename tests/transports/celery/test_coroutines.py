"""Coroutine tasks in real workers: one loop for each process, whatever the pool."""

from __future__ import annotations

import pytest

from dispatch.errors import CallFailed, NotConfigured

SHOP = """
import asyncio
import contextvars
import threading


class Declined(Exception):
    pass


@task()
async def add(x, y):
    await asyncio.sleep(0)
    return x + y


@task()
async def decline(reason, code):
    await asyncio.sleep(0)
    raise Declined(reason, code)


@task()
async def where():
    return [os.getpid(), id(asyncio.get_running_loop()), threading.current_thread().name]


@task()
async def leave():
    raise SystemExit(3)


@task()
async def give_up():
    raise asyncio.CancelledError


@task()
async def slow():
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        gate().set("slow", "cancelled")
        raise


@task()
def plain(x):
    return x
"""


@pytest.fixture(scope="module", params=["prefork", "threads", "solo"])
def shop(request, new_shop, new_redis_url):
    """A shop with a worker, on each pool that has real threads."""
    shop = new_shop(SHOP, new_redis_url())
    with shop.worker(request.param):
        shop.pool = request.param
        yield shop


def test_a_coroutine_runs_in_the_worker_and_its_result_comes_back(shop):
    """What it returns is what the handle gives, durable or not."""
    assert 3 == shop.send("add", 1, 2).result(timeout=20)
    assert 5 == shop.send("add", 2, 3, durability="durable").result(timeout=20)


def test_an_exception_comes_back_as_the_one_that_was_raised(shop):
    """The task's own exception, with its arguments, and where in the worker it was raised."""
    error = shop.send("decline", "no cover", 402).exception(timeout=20)

    assert type(error) is shop.module.Declined
    assert ("no cover", 402) == error.args
    assert "raise Declined(reason, code)" in "".join(error.__notes__)


def test_all_coroutines_of_a_process_share_one_loop(shop):
    """In a thread of its own; plain tasks run beside it as ever."""
    handles = [shop.send("where") for _ in range(20)]
    loops = {tuple(handle.result(timeout=20)) for handle in handles}
    processes = {process for process, _, _ in loops}

    assert len(processes) == len(loops)
    assert {"dispatch-worker-loop"} == {thread for _, _, thread in loops}
    assert 7 == shop.send("plain", 7).result(timeout=20)


@pytest.mark.parametrize(("task", "said"), [("leave", r"SystemExit\(3\)"), ("give_up", "was cancelled while it ran")])
def test_a_coroutine_that_exits_or_is_cancelled_fails_and_takes_nobody_with_it(shop, task, said):
    """The next call is answered, on the same loop."""
    with pytest.raises(CallFailed, match=said):
        shop.send(task, durability="durable").result(timeout=20)

    assert 3 == shop.send("add", 1, 2).result(timeout=20)


def test_a_time_limit_of_celerys_cancels_the_coroutine(shop):
    """`SoftTimeLimitExceeded` is the outcome, as of any task (prefork alone has soft limits)."""
    if shop.pool != "prefork":
        pytest.skip("only the prefork pool has soft time limits")

    error = shop.send("slow", soft_time_limit=1).exception(timeout=20)

    assert "SoftTimeLimitExceeded" in repr(error)
    assert 3 == shop.send("add", 1, 2).result(timeout=20)
    assert "cancelled" == shop.gate.get("slow")


def test_a_worker_of_green_threads_refuses_coroutines_with_the_cure(new_shop, new_redis_url):
    """They would all find themselves in one another's loop. Plain tasks run there."""
    shop = new_shop(SHOP, new_redis_url())
    with shop.worker("gevent"):
        with pytest.raises(NotConfigured, match=r"gevent.*`--pool prefork`"):
            shop.send("add", 1, 2).result(timeout=20)

        assert 7 == shop.send("plain", 7).result(timeout=20)
