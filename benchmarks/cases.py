"""What is measured: each case sends `count` tasks of `a + b` one way, and is timed as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from benchmarks import shop

LOCAL = 10_000
PUBLISHED = 1_000
ROUND_TRIPS = 300

CELERY = "Celery on Redis"
THROUGH_CELERY = "dispatch through Celery on Redis"

Way: TypeAlias = tuple[str, Callable[[int], list[Any]], Callable[[list[Any]], object]]
"""A name, how it sends so many tasks, and how what was sent is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table. `run` sends and returns what has to be read; `read` waits for all of it."""

    name: str
    count: int
    to_result: bool
    """Whether the clock runs until every result is there."""
    send: Callable[[int], Any]
    read: Callable[[Any], object]
    against: str
    """The case whose time is 1.0 for this one."""

    def seconds(self) -> float:
        began = perf_counter()
        sent = self.send(self.count)
        if self.to_result:
            self.read(sent)
        took = perf_counter() - began
        if not self.to_result:
            self.read(sent)
        return took


def _results(handles: list[Any]) -> None:
    for handle in handles:
        handle.result(timeout=60)


def _gets(results: list[Any]) -> None:
    for result in results:
        result.get(timeout=60)


def _nothing(_sent: list[Any]) -> None:
    pass


@contextmanager
def local() -> Iterator[list[Case]]:
    """This process alone: our pool under the default policy, and `ThreadPoolExecutor` with as many threads."""
    with ThreadPoolExecutor() as executor:

        def submit(count: int) -> list[Any]:
            return [executor.submit(shop.routed.spec.function, i, i) for i in range(count)]

        def delay(count: int) -> list[Any]:
            return [shop.routed.delay(i, i) for i in range(count)]

        mapped = Case(
            name="dispatch local map, to result",
            count=LOCAL,
            to_result=True,
            send=lambda count: shop.routed.map(range(count), 1),
            read=lambda batch: batch.results(timeout=60),
            against="ThreadPoolExecutor, to result",
        )
        yield [
            *_pair("submit", LOCAL, ("ThreadPoolExecutor", submit, _results), ("dispatch local", delay, _results)),
            *_pair("to result", LOCAL, ("ThreadPoolExecutor", submit, _results), ("dispatch local", delay, _results)),
            mapped,
        ]


def published() -> list[Case]:
    """One caller and a broker, no worker, no result wanted."""
    remote = shop.routed_unread.options(only="celery")

    def plain(count: int) -> list[Any]:
        return [shop.plain_unread.apply_async((i, i), queue="idle") for i in range(count)]

    def routed(count: int) -> list[Any]:
        return [remote.delay(i, i) for i in range(count)]

    return _pair("publish", PUBLISHED, (CELERY, plain, _nothing), (THROUGH_CELERY, routed, _nothing))


def round_trips() -> list[Case]:
    """One caller, a broker, and one worker process; results in the broker."""
    remote = shop.routed.options(only="celery")

    def plain(count: int) -> list[Any]:
        return [shop.plain.delay(i, i) for i in range(count)]

    def routed(count: int) -> list[Any]:
        return [remote.delay(i, i) for i in range(count)]

    return _pair("to result", ROUND_TRIPS, (CELERY, plain, _gets), (THROUGH_CELERY, routed, _results))


def _pair(what: str, count: int, theirs: Way, ours: Way) -> list[Case]:
    """The same work both ways; theirs is 1.0."""
    return [
        Case(
            name=f"{name}, {what}",
            count=count,
            to_result=what == "to result",
            send=send,
            read=read,
            against=f"{theirs[0]}, {what}",
        )
        for name, send, read in (theirs, ours)
    ]
