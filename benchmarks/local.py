"""Calls in this process: our pool under the default policy, and `ThreadPoolExecutor` with as many threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from benchmarks import shop
from benchmarks.case import Bar, Case, results, sending, to_result
from dispatch import Dispatcher

SUBMITTED = "ThreadPoolExecutor, submit"
EXECUTED = "ThreadPoolExecutor, to result"
DECIDING = "deciding alone"
LOCAL = "dispatch local, to result"

BARS = (Bar(LOCAL, 1 / 3, EXECUTED), Bar(DECIDING, 0.15, SUBMITTED))

_CALLS = 10_000


@contextmanager
def cases(dispatcher: Dispatcher) -> Iterator[list[Case]]:
    with ThreadPoolExecutor() as executor:

        def submit(count: int) -> list[Any]:
            return [executor.submit(shop.routed.spec.function, i, i) for i in range(count)]

        def delay(count: int) -> list[Any]:
            return [shop.routed.delay(i, i) for i in range(count)]

        def decide(count: int) -> float:
            # What `Dispatcher` asks before it makes a call.
            plan = dispatcher.policy.bind(shop.routed.spec, dispatcher.destinations)
            began = perf_counter()
            for i in range(count):
                plan.only or plan.route(plan.measure((i, i), {}))
            return perf_counter() - began

        yield [
            Case(name=SUBMITTED, count=_CALLS, take=sending(submit, results)),
            Case(name="dispatch local, submit", count=_CALLS, take=sending(delay, results)),
            Case(name=EXECUTED, count=_CALLS, take=to_result(submit, results)),
            Case(name=LOCAL, count=_CALLS, take=to_result(delay, results)),
            Case(
                name="dispatch local map, to result",
                count=_CALLS,
                take=to_result(
                    lambda count: shop.routed.map(range(count), 1),
                    lambda group: group.results(timeout=60),
                ),
            ),
            Case(name=DECIDING, count=_CALLS, take=decide),
        ]
