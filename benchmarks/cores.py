"""Tasks of ten milliseconds that burn CPU: one thread, and two processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import dispatch
from benchmarks.case import Bar, Case, Skipped, results, to_result

THREAD = "ten milliseconds of CPU, one thread"
PROCESSES = "ten milliseconds of CPU, two processes"

BARS = (Bar(PROCESSES, 1 / 1.6, THREAD),)

_POLICY = Path(__file__).parent / "policies" / "processes.yaml"
_CALLS = 40


@dispatch.task(name="benchmarks.burn", kind="cpu")
def _burn(turns: int) -> int:
    return sum(range(turns))


@contextmanager
def cases() -> Iterator[list[Case | Skipped]]:
    if (os.cpu_count() or 1) < 2:
        yield [Skipped(PROCESSES, "this machine has one core")]
        return
    turns = _turns_in(0.01)
    with dispatch.Dispatcher(policy=_POLICY) as dispatcher:
        burn = _burn.using(dispatcher)

        def alone(count: int) -> float:
            began = perf_counter()
            for _ in range(count):
                _burn(turns)
            return perf_counter() - began

        yield [
            Case(name=THREAD, count=_CALLS, take=alone),
            Case(
                name=PROCESSES,
                count=_CALLS,
                take=to_result(lambda count: [burn.delay(turns) for _ in range(count)], results),
            ),
        ]


def _turns_in(seconds: float) -> int:
    turns = 100_000
    best = min(_timed(turns) for _ in range(5))
    return int(turns * seconds / best)


def _timed(turns: int) -> float:
    began = perf_counter()
    _burn(turns)
    return perf_counter() - began
