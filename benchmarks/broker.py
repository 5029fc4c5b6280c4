"""Calls through Celery on Redis, sent by Celery alone and through dispatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from redis import Redis

from benchmarks import local, shop
from benchmarks.case import Bar, Case, results, sending, to_result
from benchmarks.threads import together

PUBLISHED = "Celery on Redis, delay"
OURS_PUBLISHED = "dispatch through Celery on Redis, delay"
OURS_DURABLE = "dispatch through Celery on Redis, durable delay"
OURS_MAPPED = "dispatch through Celery on Redis, map"
CROWDED = "Celery on Redis, sixteen threads"
OURS_CROWDED = "dispatch through Celery on Redis, sixteen threads"
THERE_AND_BACK = "Celery on Redis, to result"

BARS = (
    Bar(OURS_PUBLISHED, 1.0, PUBLISHED),
    Bar(OURS_DURABLE, 1.2, PUBLISHED),
    Bar(OURS_MAPPED, 1 / 5, PUBLISHED),
    Bar(OURS_CROWDED, 1 / 3, CROWDED),
    Bar(local.LOCAL, 1 / 100, THERE_AND_BACK),
)

_PUBLISHES = 1_000
_MAPPED = 10_000
_CROWDED = 1_600
_ROUND_TRIPS = 300


def publishes(url: str) -> list[Case]:
    """A broker with its append-only file, no worker, no result wanted. `url` is that of a server of our own."""
    server = Redis.from_url(url)
    remote = shop.routed_unread.options(only="celery")
    durable = shop.routed_unread.options(only="celery", durability="durable")

    def one_by_one(delay: Callable[[int, int], object]) -> Callable[[int], object]:
        return lambda count: [delay(i, i) for i in range(count)]

    def forgotten(_sent: object) -> None:
        """Nobody is to publish into the heap that somebody else has left."""
        server.flushdb()

    def crowded(delay: Callable[[int, int], object]) -> Callable[[int], float]:
        def take(count: int) -> float:
            took = together(lambda i: delay(i, i), count)
            server.flushdb()
            return took

        return take

    return [
        Case(name=PUBLISHED, count=_PUBLISHES, take=sending(one_by_one(shop.plain_unread.delay), forgotten)),
        Case(name=OURS_PUBLISHED, count=_PUBLISHES, take=sending(one_by_one(remote.delay), forgotten)),
        Case(name=OURS_DURABLE, count=_PUBLISHES, take=sending(one_by_one(durable.delay), forgotten)),
        Case(
            name=OURS_MAPPED,
            count=_MAPPED,
            take=sending(lambda count: remote.map(range(count), 1), forgotten),
        ),
        Case(name=CROWDED, count=_CROWDED, take=crowded(shop.plain_unread.delay)),
        Case(name=OURS_CROWDED, count=_CROWDED, take=crowded(remote.delay)),
    ]


def round_trips() -> list[Case]:
    """One caller, a broker, and one worker process; results in the broker."""
    remote = shop.routed.options(only="celery")

    def plain(count: int) -> list[Any]:
        return [shop.plain.delay(i, i) for i in range(count)]

    def routed(count: int) -> list[Any]:
        return [remote.delay(i, i) for i in range(count)]

    return [
        Case(name=THERE_AND_BACK, count=_ROUND_TRIPS, take=to_result(plain, _gets)),
        Case(name="dispatch through Celery on Redis, to result", count=_ROUND_TRIPS, take=to_result(routed, results)),
    ]


def _gets(sent: Iterable[Any]) -> None:
    for each in sent:
        each.get(timeout=60)
