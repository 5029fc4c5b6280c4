"""Faults of our own: whoever waits for the call is told, and the next call runs."""

from __future__ import annotations

import asyncio

import pytest

import dispatch
from servers.patience import eventually

POLICY = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 10, {runner}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast}}
"""


@dispatch.task
def echo(value: int) -> int:
    return value


@dispatch.task
async def aecho(value: int) -> int:
    await asyncio.sleep(0)
    return value


@dispatch.task
def outer() -> int:
    return echo.delay(1).result()


class Fault(Exception):
    """Of ours."""


@pytest.fixture
def faulty():
    """Make one of our own functions fail once."""
    with pytest.MonkeyPatch.context() as patches:  # its own: `undo` is not to take back what other fixtures set

        def make(where: str) -> None:
            def fail(*_args):
                patches.undo()
                raise Fault

            patches.setattr(f"dispatch.transports.local.{where}", fail)

        yield make


def test_a_call_whose_worker_falls_fails_and_the_next_one_runs(dispatcher, faulty):
    """`CallFailed`, so that nobody waits for ever; counted, and another worker is there."""
    one = dispatcher(POLICY.format(runner="runner: thread"))
    faulty("_threads.execute")

    handle = echo.delay(1)

    with pytest.raises(dispatch.CallFailed, match="was lost when its worker met an internal error"):
        handle.result(timeout=5)
    assert "failed" == handle.status
    assert 2 == echo.delay(2).result(timeout=5)
    figures = one.statistics().destinations["fast"]
    assert (1, 1) == (figures.errors, figures.workers)


def test_a_call_run_in_place_that_meets_a_fault_is_answered_too(dispatcher, monkeypatch):
    """The fault goes on into the task that ran it, whose own outcome it is."""
    one = dispatcher(POLICY.format(runner="runner: thread"))
    real = dispatch.transports.local._threads.execute
    calls = []

    def second_fails(function, args, kwargs):
        calls.append(function)
        if len(calls) == 2:
            raise Fault
        return real(function, args, kwargs)

    monkeypatch.setattr("dispatch.transports.local._threads.execute", second_fails)

    with pytest.raises(Fault):
        outer.delay().result(timeout=5)
    assert 3 == echo.delay(3).result(timeout=5)
    assert 1 == one.statistics().destinations["fast"].errors


@pytest.mark.parametrize("loop", ["own", "caller"])
def test_a_coroutine_that_meets_a_fault_fails_and_the_next_one_runs(dispatcher, faulty, loop):
    """On either loop the item is answered for, and its slot is free again."""
    one = dispatcher(POLICY.format(runner=f"runner: asyncio, loop: {loop}"))
    faulty("_coroutines.execute_async")

    async def main():
        handle = await aecho.adelay(1)
        with pytest.raises(dispatch.CallFailed, match="broken off with its event loop"):
            await handle
        return await (await aecho.adelay(2))

    assert 2 == asyncio.run(main())
    eventually(lambda: one.statistics().destinations["fast"].errors == 1)
