"""What a call costs that waits behind many others: memory, and time, the garbage collector's share included."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any

import dispatch
from benchmarks.case import Bar, Case, results

HELD = "a queued call and its handle"
FEW = "dispatch local, 1,000 queued"
MANY = "dispatch local, 300,000 queued"

BARS = (Bar(HELD, 700), Bar(MANY, 2.5, FEW))

_POLICY = ("default", Path(__file__).parent / "policies" / "deep.yaml")
_HELD = 100_000
_FEW = 1_000
_MANY = 300_000


@dispatch.task(name="benchmarks.wait_for")
def _wait_for(gate: Event) -> None:
    gate.wait()


@dispatch.task(name="benchmarks.nothing")
def _nothing() -> None:
    pass


@contextmanager
def cases() -> Iterator[list[Case]]:
    with dispatch.Dispatcher(policy=_POLICY) as dispatcher:
        wait_for, nothing = _wait_for.using(dispatcher), _nothing.using(dispatcher)
        workers = dispatcher.destinations["fast"].statistics().limit

        @contextmanager
        def held_back() -> Iterator[None]:
            """Meanwhile every worker waits, and so does what is sent; at its end all of it runs."""
            gate = Event()
            for _ in range(workers):
                wait_for.delay(gate)
            try:
                yield
            finally:
                gate.set()

        def memory(count: int) -> float:
            handles: list[Any] = [None] * count
            with held_back():
                tracemalloc.start()
                for i in range(count):
                    handles[i] = nothing.delay()
                taken, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            results(handles)
            return taken

        def queued(at_once: int, count: int) -> float:
            took = 0.0
            for _ in range(count // at_once):
                with held_back():
                    began = perf_counter()
                    handles = [nothing.delay() for _ in range(at_once)]
                results(handles)
                took += perf_counter() - began
                del handles
            return took

        yield [
            Case(name=FEW, count=30 * _FEW, take=lambda count: queued(_FEW, count)),
            Case(name=MANY, count=_MANY, take=lambda count: queued(_MANY, count)),
            Case(name=HELD, count=_HELD, take=memory, unit="bytes"),
        ]
