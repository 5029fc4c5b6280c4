"""A task that leaks is named by the figures, and its worker process is replaced before the leak matters."""

from __future__ import annotations

import pytest

import dispatch
from dispatch import _growth
from dispatch._growth import Growth
from house.policies import ONE_POOL

MIB = 1 << 20
LEAK = 4 * MIB
POLICY = """
version: 1
destinations:
  cpu: {transport: local, runner: process, workers: 1, LIMIT}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: cpu}
"""
JOBS = f"""
    import os
    import dispatch
    from dispatch._memory import resident

    kept = []

    @dispatch.task
    def leak(number):
        kept.append(bytearray(b"x") * {LEAK})
        return number, os.getpid(), resident()

    @dispatch.task
    def tidy(number):
        return number, os.getpid(), resident()
"""


@pytest.fixture(autouse=True)
def new_growth():
    _growth.growth.renew()
    return _growth.growth


@pytest.fixture
def jobs(project):
    return project(JOBS).load()


def test_a_leaking_task_in_worker_processes_is_named(dispatcher, jobs):
    """And its neighbour in the same process is not."""
    one = dispatcher(POLICY.replace(", LIMIT", ""))
    for number in range(8):
        jobs.leak.delay(number).result(20)
        jobs.tidy.delay(number).result(20)
    grown = one.statistics().growth

    assert grown[jobs.leak.name] >= 7 * LEAK
    assert grown.get(jobs.tidy.name, 0) < LEAK


def test_a_leaking_task_in_worker_processes_stays_bounded_and_every_call_ends(dispatcher, jobs):
    dispatcher(POLICY.replace("LIMIT", "max_memory_per_child: 128MiB"))
    results = [handle.result(30) for handle in [jobs.leak.delay(number) for number in range(40)]]

    assert list(range(40)) == [number for number, _, _ in results]
    assert len({pid for _, pid, _ in results}) > 1
    assert max(resident for _, _, resident in results) < 128 * MIB + 2 * LEAK


@dispatch.task
def greedy() -> int:
    return sum(range(50_000))


@dispatch.task
def modest() -> None:
    pass


def test_of_this_process_what_changed_is_shared_among_those_that_ran(dispatcher):
    """By the time that they took; what went before counts for nobody, and what is given back is taken off."""
    dispatcher(ONE_POOL)
    growth = Growth()
    modest.delay().result(5)
    growth.look(100 * MIB)
    for handle in [greedy.delay() for _ in range(20)]:
        handle.result(5)
    modest.delay().result(5)
    growth.look(110 * MIB)
    growth.look(120 * MIB)

    assert abs(sum(growth.estimated.values()) - 10 * MIB) < 10
    assert growth.estimated[greedy.name] > 8 * MIB
