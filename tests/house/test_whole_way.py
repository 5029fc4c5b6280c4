"""A call, from a caller's span through a broker to the body in a worker process, and back."""

from __future__ import annotations

import json

import pytest

import dispatch
from dispatch.policy import parse
from dispatch.telemetry import traces
from servers.process import frozen

pytestmark = pytest.mark.slow

SHOP = """
import os, dispatch
from opentelemetry import trace

app = dispatch.celery_app()
dispatch.telemetry.setup(service="shop")

@dispatch.task
def quick(number: int) -> list:
    span = trace.get_current_span().get_span_context()
    return [number, os.getpid(), format(span.trace_id, "032x"), format(span.span_id, "016x")]

@dispatch.task(durability="durable")
def charge(order: int) -> list:
    with trace.get_tracer("shop").start_as_current_span("talk to the bank"):
        span = trace.get_current_span().get_span_context()
        return [order, os.getpid(), format(span.trace_id, "032x"), format(span.span_id, "016x")]

@dispatch.task(durability="durable")
def decline(order: int) -> None:
    raise LookupError(f"no order {order}")
"""

CALLER = """
import json, os
import {name} as shop, dispatch
from opentelemetry import trace

with trace.get_tracer("shop").start_as_current_span("POST /orders") as span:
    local, remote, failing = shop.quick.delay(1), shop.charge.delay(42), shop.decline.delay(7)
    said = {{
        "pid": os.getpid(),
        "trace": format(span.get_span_context().trace_id, "032x"),
        "root": format(span.get_span_context().span_id, "016x"),
        "local": local.result(timeout=10),
        "remote": remote.result(timeout=20),
        "error": repr(failing.exception(timeout=20)),
        "decisions": [[h.decision.destination, h.decision.rule] for h in (local, remote, failing)],
        "ids": [local.id, remote.id, failing.id],
    }}
dispatch.shutdown()
dispatch.telemetry.flush()
print(json.dumps(said))
"""


def whole_way(project, broker_url, result_backend=None):
    """What the caller said, and the traces that it and the worker wrote."""
    shop = project(SHOP, broker_url=broker_url, result_backend=result_backend)
    folder = {"DISPATCH_TRACE_DIR": str(shop.folder / "traces")}
    with shop.worker(pool="prefork", concurrency=1, env=folder):
        said = json.loads(shop.run(CALLER.format(name=shop.name), env=folder).stdout)
    return shop, said, traces.read(shop.folder / "traces")


def one_tree(shop, said, found, queue):
    """Everything that the issue promises of one trace over two processes."""
    assert said["decisions"] == [["fast", "otherwise"], ["queue", "must-survive"], ["queue", "must-survive"]]
    assert said["local"][:2] == [1, said["pid"]]
    assert said["remote"][0] == 42
    assert said["remote"][1] != said["pid"]
    assert said["error"] == "LookupError('no order 7')"
    assert said["local"][2] == said["remote"][2] == said["trace"]

    spans = {span.name: span for trace in found.find(said["trace"]) for span in trace.spans}
    name = shop.name
    parents = {
        f"dispatch {name}.quick": "POST /orders",
        f"execute {name}.quick": f"dispatch {name}.quick",
        f"dispatch {name}.charge": "POST /orders",
        f"process {name}.charge": f"publish {queue}",
        "talk to the bank": f"process {name}.charge",
    }
    for child, parent in parents.items():
        if parent.startswith("publish"):
            parent_ids = {span.span_id for trace in found for span in trace.spans if span.name == parent}
            assert spans[child].parent_id in parent_ids
        else:
            assert spans[child].parent_id == spans[parent].span_id
    assert spans["POST /orders"].span_id == said["root"]
    assert spans[f"execute {name}.quick"].span_id == said["local"][3]
    assert spans["talk to the bank"].span_id == said["remote"][3]

    sent = spans[f"dispatch {name}.charge"].attributes
    assert sent["dispatch.call.id"] == said["ids"][1]
    assert [sent[f"dispatch.{each}"] for each in ("destination", "transport", "rule", "reason", "durability")] == [
        "queue", "celery", "must-survive", "rule", "durable",
    ]  # fmt: skip
    split = sum(sent[f"dispatch.{each}_us"] for each in ("decide", "serialize", "enqueue"))
    assert split == pytest.approx(sent["dispatch.overhead_us"], rel=0.01)
    ran = spans[f"process {name}.charge"].attributes
    assert ran["dispatch.destination"] == "queue"
    assert ran["dispatch.wait_us"] >= 0
    here = spans[f"dispatch {name}.quick"].attributes
    assert here["dispatch.transport"] == "local"
    assert here["dispatch.overhead_us"] > 0


def test_caller_and_worker_write_one_tree_through_redis(project, redis_url):
    """One trace id from the caller's span to the body in the worker, with the decision and what it cost."""
    shop, said, found = whole_way(project, redis_url)

    one_tree(shop, said, found, "dispatch")


@pytest.mark.rabbitmq
def test_caller_and_worker_write_one_tree_through_rabbitmq(project, rabbitmq_url, redis_url):
    """The same through a quorum queue, with results in Redis."""
    shop, said, found = whole_way(project, rabbitmq_url, redis_url)

    one_tree(shop, said, found, "dispatch")


def test_changing_the_policy_alone_moves_the_work(project, redis_url):
    """The same program: under `all-celery` the quick call runs in the worker, under `latency-first` it stays."""
    shop = project(SHOP, broker_url=redis_url)
    program = f"import {shop.name} as shop; print(shop.quick.delay(1).result(timeout=20)[1])"

    def pid_under(policy):
        return int(
            shop.run(f"import os; print(os.getpid()); {program}", env={"DISPATCH_POLICY": policy}).stdout.split()[1]
        )

    with shop.worker(pool="solo", concurrency=1) as worker:
        remote, local = pid_under("all-celery"), pid_under("latency-first")

    assert worker.pid == remote
    assert worker.pid != local


ASYNC_CALLER = """
import asyncio
import {name} as shop, dispatch

async def main():
    turns = 0
    async def clock():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)
    ticking = asyncio.create_task(clock())
    handles = await asyncio.gather(*(shop.charge.adelay(number) for number in range(50)))
    results = [await handle for handle in handles]
    try:
        await (await shop.decline.adelay(7))
    except LookupError as error:
        refused = str(error)
    ticking.cancel()
    print(sorted(result[0] for result in results) == list(range(50)), refused, turns > 50)

asyncio.run(main())
"""


def test_coroutines_send_and_await_through_a_broker_without_stopping_their_loop(project, redis_url):
    """Fifty `adelay`s at once, each awaited; the loop goes on turning meanwhile."""
    shop = project(SHOP, broker_url=redis_url)

    with shop.worker(pool="threads", concurrency=4):
        said = shop.run(ASYNC_CALLER.format(name=shop.name)).stdout

    assert said.strip() == "True no order 7 True"


OWN_APP = """
import dispatch
from celery import Celery

app = Celery("mine", broker={url!r}, backend={url!r})
app.conf.task_default_queue = "mine"

@app.task(name="{prefix}plain")
def plain(number):
    return number + 1

@dispatch.task
def before(number: int) -> int:
    return number * 2

dispatch.configure(celery=app, policy="all-celery")

@dispatch.task
def after(number: int) -> int:
    return before.delay(number).decision.destination, number * 3
"""


def test_the_users_own_app_runs_tasks_declared_before_and_after_configure(project, redis_url):
    """On the app's own default queue, beside its own tasks; inside a task, calls are routed as anywhere."""
    shop = project(OWN_APP.format(url=redis_url, prefix=""))

    with shop.worker(pool="prefork", concurrency=2):
        said = shop.run(
            f"import {shop.name} as shop\n"
            "print(shop.before.delay(4).result(timeout=20), shop.after.delay(4).result(timeout=20),"
            " shop.plain.delay(1).get(timeout=20))"
        ).stdout

    assert said.strip() == "8 ['queue', 12] 2"


NAMED_APP = """
import dispatch
from celery import Celery

app = Celery("mine", broker={url!r}, backend={url!r})

@dispatch.task(durability="durable")
def keep(number: int) -> int:
    return number * 2
"""


def test_an_app_that_only_the_environment_names_is_found_by_caller_and_worker(project, redis_url):
    """`DISPATCH_CELERY_APP=module:attribute`; the module itself says nothing about dispatch's configuration."""
    shop = project(NAMED_APP.format(url=redis_url))
    named = {"DISPATCH_CELERY_APP": f"{shop.name}:app"}

    with shop.worker(pool="solo", concurrency=1, env=named):
        said = shop.run(f"import {shop.name} as shop; print(shop.keep.delay(4).result(timeout=20))", env=named).stdout

    assert said.strip() == "8"


ODD = """
import dispatch

app = dispatch.celery_app()

class Kw(Exception):
    def __init__(self, a, *, b):
        super().__init__(a)

class Twice(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a}{b}")

@dispatch.task
def odd(which: int) -> None:
    class Inner(Exception): ...
    raise (Kw("x", b=1), Twice("x", "y"), Inner("x"))[which]
"""


def test_an_exception_that_cannot_be_rebuilt_is_a_failed_call(project, redis_url):
    """With its name in the text; never a wrapper of Celery's that nobody catches."""
    shop = project(ODD, broker_url=redis_url)

    with shop.worker(pool="solo", concurrency=1):
        said = shop.run(
            f"import {shop.name} as shop\n"
            "for which in range(3):\n"
            "    error = shop.odd.options(only='celery').delay(which).exception(timeout=20)\n"
            "    print(type(error).__name__, str(error)[:60])\n"
        ).stdout.splitlines()

    assert ["CallFailed"] * 3 == [line.split()[0] for line in said], said
    assert all(name in line for name, line in zip(("Kw", "Twice", "Inner"), said, strict=True)), said


@dispatch.task(idempotent=True)
def twice_is_fine(number: int) -> int:
    return number


def test_an_unknown_outcome_stays_unknown_when_nobody_else_takes_the_call(private_redis):
    """`idempotent` lets the next candidate try; without one, the caller is not told that it will not run."""
    policy = """
version: 1
destinations: {queue: {transport: celery, publish_deadline: 500ms, durability: asserted}}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: queue}
"""
    settings = dispatch.Settings(broker_url=private_redis.url)
    with dispatch.Dispatcher(policy=parse(policy), settings=settings) as dispatcher:
        task = twice_is_fine.using(dispatcher)
        task.delay(1)
        with frozen(private_redis.pid), pytest.raises(dispatch.OutcomeUnknown) as caught:
            task.delay(2)

        assert "unknown" == caught.value.handle._call.stage
