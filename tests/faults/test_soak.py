"""An hour's worth of calls, in minutes: caller, worker and broker are as large at the end as when they were warm.

At a hundred calls a second an hour has 360,000. By default a small part of them is sent; `FAULTS=whole` sends more.
"""

from __future__ import annotations

import json
from statistics import median

import pytest

import dispatch
from dispatch import Dispatcher
from dispatch._memory import resident
from dispatch.policy import parse

MIB = 1 << 20
POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 4, capacity: 1000}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""
SHOP = """
import dispatch
app = dispatch.celery_app()
# Results are kept for a day unless the app says otherwise: the broker would grow by them, and should.
app.conf.result_expires = 20

@dispatch.task(only="celery")
def brew(text):
    return text
"""
PROGRAM = """
import json, psutil, {name} as shop
caller, worker, broker = psutil.Process(), psutil.Process({worker}), psutil.Process({broker})

def together():
    tree = [worker, *worker.children(recursive=True)]
    return [caller.memory_info().rss, sum(each.memory_info().rss for each in tree), broker.memory_info().rss]

samples = []
for batch in range({batches}):
    handles = [shop.brew.delay("x" * 100) for _ in range(100)]
    assert handles[0].decision.transport == "celery"
    for handle in handles:
        assert handle.result(30) == "x" * 100
    samples.append(together())
print(json.dumps(samples))
"""


@dispatch.task
def echo(text: str) -> int:
    return len(text)


@dispatch.task
async def aecho(text: str) -> int:
    return len(text)


@dispatch.task
def fail(text: str) -> int:
    raise ValueError(text)


def growth(samples):
    """From the middle third to the last, by their medians: what grows by every call has grown, whatever the noise."""
    third = len(samples) // 3
    return median(samples[-third:]) - median(samples[third:-third])


@pytest.mark.parametrize("task", [echo, aecho, fail], ids=["function", "coroutine", "failure"])
@pytest.mark.timeout(600)
def test_an_hour_of_local_calls_leaves_the_process_as_large_as_it_was(rounds, task):
    """A call that left 100 bytes behind would be found: a third of the hour would be 12 MB."""
    samples = []
    with Dispatcher(policy=parse(POLICY)) as one:
        sent = task.using(one)
        for _ in range(rounds(30, 360)):
            for handle in [sent.delay("x" * 100) for _ in range(1000)]:
                handle.exception(30)
            samples.append(resident())

    assert growth(samples) < 4 * MIB, [each // MIB for each in samples]


@pytest.mark.timeout(1800)
def test_calls_through_celery_leave_caller_worker_and_broker_as_large_as_they_were(
    rounds, project, private_redis, record_property
):
    """In the whole form, 36,000 calls and their results."""
    shop = project(SHOP, broker_url=private_redis.url, result_backend=private_redis.url)
    with shop.worker(pool="prefork", concurrency=2) as worker:
        words = {"name": shop.name, "worker": worker.pid, "broker": private_redis.pid, "batches": rounds(15, 360)}
        said = shop.run(PROGRAM.format(**words), timeout=1700).stdout
    caller, workers, broker = (list(each) for each in zip(*json.loads(said), strict=True))
    parts = {"caller": caller, "worker": workers, "broker": broker}
    print({name: (each[len(each) // 3] // MIB, each[-1] // MIB) for name, each in parts.items()}, "MiB")
    found = {name: growth(each) / MIB for name, each in parts.items()}

    assert all(grown < 4 for grown in found.values()), found
