"""Calls through Celery on Redis, sent by Celery alone and through dispatch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks import local, shop
from benchmarks.case import Bar, Case, results, sending, to_result

PUBLISHED = "Celery on Redis, publish"
OURS_PUBLISHED = "dispatch through Celery on Redis, publish"
THERE_AND_BACK = "Celery on Redis, to result"

BARS = (
    Bar(OURS_PUBLISHED, 1.0, PUBLISHED),
    Bar(local.LOCAL, 1 / 100, THERE_AND_BACK),
)

_PUBLISHES = 1_000
_ROUND_TRIPS = 300


def publishes() -> list[Case]:
    """One caller and a broker, no worker, no result wanted."""
    remote = shop.routed_unread.options(only="celery")

    def plain(count: int) -> list[Any]:
        return [shop.plain_unread.apply_async((i, i), queue="idle") for i in range(count)]

    def routed(count: int) -> list[Any]:
        return [remote.delay(i, i) for i in range(count)]

    return [
        Case(name=PUBLISHED, count=_PUBLISHES, take=sending(plain, _nothing)),
        Case(name=OURS_PUBLISHED, count=_PUBLISHES, take=sending(routed, _nothing)),
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


def _nothing(_sent: Iterable[Any]) -> None:
    pass
