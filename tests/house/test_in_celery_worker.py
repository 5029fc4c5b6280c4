"""Local calls from tasks inside Celery's own prefork worker: a pool in each child, and its end with the child."""

from __future__ import annotations

import json
import os
import signal

import pytest
import redis

from servers.patience import eventually

pytestmark = pytest.mark.slow

SHOP = """
import os, signal
import dispatch
import redis

app = dispatch.celery_app()
app.conf.update({conf})
dispatch.configure(policy="default", handle_signals=True)     # as the web process has it
gate = redis.Redis.from_url(os.environ["GATE"], decode_responses=True)

@dispatch.task(only="local")
def helper(word):
    gate.rpush("started", word)
    gate.blpop(f"go {{word}}", timeout=20)
    gate.rpush("helped", f"{{os.getpid()}} {{word}}")
    return os.getpid()

@dispatch.task(only="celery")
def with_help(word):
    return [os.getpid(), helper.delay(word).result(timeout=20)]

@dispatch.task(only="celery")
def leave_to_a_helper(word):
    handle = helper.delay(word)
    return [os.getpid(), handle.id]

@dispatch.task(only="celery")
def handler():
    return repr(signal.getsignal(signal.SIGTERM))
"""


@pytest.fixture
def shop(project, redis_url, new_redis_url, monkeypatch):
    """Makes the application, with what its Celery app is to be told, and gives its module and the gate."""
    gate_url = new_redis_url()
    monkeypatch.setenv("GATE", gate_url)
    monkeypatch.setenv("DISPATCH_SHUTDOWN_GRACE", "20s")
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    with redis.Redis.from_url(gate_url, decode_responses=True) as gate:

        def make(**conf):
            written = project(SHOP.format(conf=conf), broker_url=redis_url)
            return written, gate

        yield make


CALLER = """
import json
import {name} as shop, dispatch
handles = [getattr(shop, {task!r}).delay(*each) for each in {calls!r}]
print(json.dumps([handle.result(timeout=30) for handle in handles]))
dispatch.shutdown()
"""


def call(written, task: str, *calls: tuple[object, ...]) -> list:
    """Send calls of `task` from a process of their own, and give what came back."""
    ended = written.run(CALLER.format(name=written.name, task=task, calls=calls), timeout=50)
    return json.loads(ended.stdout)


def test_a_task_in_a_worker_has_its_helpers_run_in_the_same_child(shop):
    """The pool is made by the child that needs it."""
    written, gate = shop()
    with written.worker(pool="prefork"):
        gate.rpush("go a", 1)
        gate.rpush("go b", 1)

        assert all(mine == helpers for mine, helpers in call(written, "with_help", ("a",), ("b",)))


def test_a_recycled_child_finishes_what_it_started(shop):
    """`worker_max_tasks_per_child`: local calls that nobody waits for run to their end before the child goes."""
    written, gate = shop(worker_max_tasks_per_child=1)
    with written.worker(pool="prefork", concurrency=1):
        children, prefixes = set(), set()
        for word in ("a", "b"):
            ((child, call_id),) = call(written, "leave_to_a_helper", (word,))
            children.add(child)
            prefixes.add(call_id.split("-")[0])
            gate.rpush(f"go {word}", 1)  # the task has ended long ago, and its child waits for the helper

            eventually(lambda said=f"{child} {word}": said in gate.lrange("helped", 0, -1))
        eventually(lambda: written.log.read_text().count("finished=1 handed_over=0 dropped=0 left=0") == 2)
    assert 2 == len(children) == len(prefixes)


def test_a_warm_stop_finishes_what_was_started(shop):
    """SIGTERM to the worker while a helper runs whose task has ended already."""
    written, gate = shop()
    with written.worker(pool="prefork", concurrency=1, grace=20.0) as worker:
        call(written, "leave_to_a_helper", ("a",))
        eventually(lambda: gate.llen("started") == 1)
        os.kill(worker.pid, signal.SIGTERM)
        eventually(lambda: "Warm shutdown" in written.log.read_text())
        gate.rpush("go a", 1)

        eventually(lambda: gate.llen("helped") == 1)
        eventually(lambda: not worker.running)


def test_a_cold_stop_does_not_hang(shop):
    """SIGQUIT ends the children at once: what waits in their memory is gone, as ephemeral calls may be."""
    written, gate = shop()
    with written.worker(pool="prefork", concurrency=1, grace=20.0) as worker:
        call(written, "leave_to_a_helper", ("a",))
        eventually(lambda: gate.llen("started") == 1)
        os.kill(worker.pid, signal.SIGQUIT)

        eventually(lambda: not worker.running, within=25)
        assert 0 == gate.llen("helped")


def test_a_worker_keeps_its_own_signal_handlers(shop):
    """`handle_signals=True` in the shared module does nothing there."""
    written, _ = shop()
    with written.worker(pool="prefork", concurrency=1):
        (said,) = call(written, "handler", ())

        assert "_on_signal" not in said
