"""Real workers, each pool of Celery's: tasks run there, and what they return and raise comes back."""

from __future__ import annotations

import pytest

from dispatch.errors import CallFailed, ResultNotSerializable

pytestmark = pytest.mark.slow

SHOP = """
class Declined(Exception):
    pass


@task()
def add(x, y):
    return x + y


@task()
def decline(reason, code):
    raise Declined(reason, code)


@task()
def echo(task, **more):
    return [task, more]


@task()
def leave_a_set(number):
    gate().incr(f"runs:{number}")
    return {number}


@task()
def leave():
    raise SystemExit(3)

"""

POOLS = ["prefork", "threads", "solo", "gevent"]
HOMES = [("redis", pool) for pool in POOLS] + [
    pytest.param(("rabbitmq", pool), marks=pytest.mark.rabbitmq) for pool in ("prefork", "solo")
]


def _text(home):
    return "-".join(home)


@pytest.fixture(scope="module", params=HOMES, ids=_text)
def shop(request, new_shop, new_redis_url):
    """A shop with a worker, on each broker and pool."""
    system, pool = request.param
    if system == "redis":
        shop = new_shop(SHOP, new_redis_url())
    else:
        shop = new_shop(SHOP, request.getfixturevalue("rabbitmq_url"), backend=new_redis_url())
    with shop.worker(pool):
        yield shop


def test_a_task_runs_in_the_worker_and_its_result_comes_back(shop):
    """What a task returns in a worker is what the handle gives."""
    assert 3 == shop.send("add", 1, 2).result(timeout=20)


def test_many_results_come_back_each_to_its_own_handle(shop):
    """A hundred calls, a hundred results, whoever is asked first."""
    handles = [shop.send("add", number, number) for number in range(100)]

    assert [2 * number for number in range(100)] == [handle.result(timeout=20) for handle in handles]


def test_an_exception_comes_back_as_the_one_that_was_raised(shop):
    """The task's own exception is rebuilt, with its arguments, and says where in the worker it was raised."""
    error = shop.send("decline", "no cover", 402).exception(timeout=20)

    assert type(error) is shop.module.Declined
    assert ("no cover", 402) == error.args
    assert "raise Declined(reason, code)" in "".join(error.__notes__)


def test_arguments_may_have_any_name(shop):
    """A parameter called `task` is the user's business."""
    sent = shop.app.tasks[shop.name("echo")].apply_async(kwargs={"task": 1, "name": 2})

    assert [1, {"name": 2}] == shop.handle("echo", sent.id).result(timeout=20)


def test_a_value_that_json_cannot_carry_fails_the_call_and_not_the_task(shop):
    """The task has run; it does not run again, durable or not."""
    for number, durability in enumerate(["ephemeral", "durable"]):
        with pytest.raises(ResultNotSerializable, match="leave_a_set has run"):
            shop.send("leave_a_set", number, durability=durability).result(timeout=20)

        assert "1" == shop.gate.get(f"runs:{number}")


def test_a_task_that_exits_fails_and_takes_nobody_with_it(shop):
    """`SystemExit` ends the call and not the worker: the next call is answered."""
    with pytest.raises(CallFailed, match=r"SystemExit\(3\)"):
        shop.send("leave", durability="durable").result(timeout=20)

    assert 3 == shop.send("add", 1, 2).result(timeout=20)
