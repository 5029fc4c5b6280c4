"""A coroutine that waits for another on its own loop: as a call, and as a task of asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import dispatch
from benchmarks.case import Bar, Case

TASK = "asyncio.create_task, awaited"
CALL = "dispatch on the caller's loop, awaited"

BARS = (Bar(CALL, 2.0, TASK),)

_POLICY = Path(__file__).parent / "policies" / "callers_loop.yaml"
_CALLS = 10_000


async def _nothing() -> None:
    pass


_routed = dispatch.task(name="benchmarks.nothing_awaited")(_nothing)


@contextmanager
def cases() -> Iterator[list[Case]]:
    with dispatch.Dispatcher(policy=_POLICY) as dispatcher:
        delay = _routed.using(dispatcher).delay

        async def tasks(count: int) -> float:
            began = perf_counter()
            for _ in range(count):
                await asyncio.create_task(_nothing())
            return perf_counter() - began

        async def calls(count: int) -> float:
            began = perf_counter()
            for _ in range(count):
                await delay()
            return perf_counter() - began

        yield [
            Case(name=TASK, count=_CALLS, take=lambda count: asyncio.run(tasks(count))),
            Case(name=CALL, count=_CALLS, take=lambda count: asyncio.run(calls(count))),
        ]
