"""A backlog that nobody works on is left alone, however long it waits, and runs once somebody comes."""

from __future__ import annotations

from threading import Event
from time import monotonic

import pytest
import redis

pytestmark = pytest.mark.slow

LEASE = 1.0


@pytest.mark.timeout(300)
def test_a_backlog_without_workers_is_not_published_again(redis_url, open_shop, rounds):
    """Three lease periods long its list is as long as it was, though the sweep has looked at every entry."""
    calls = rounds(1000, 10_000)
    shop = open_shop(redis_url, ledger="lease: 1s")
    for number in range(calls):
        shop.task("work").delay(number)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        due = {entry for entry, _ in client.zscan_iter("dispatch:due")}
        first = min(score for _, score in client.zscan_iter("dispatch:due"))
        lengths, until = set(), monotonic() + 3 * LEASE
        while monotonic() < until:
            lengths.add(client.llen(shop.project.name))
            Event().wait(0.1)  # nothing else tells that nothing happens
        looked = min(score for _, score in client.zscan_iter("dispatch:due"))

        assert ({calls}, calls) == (lengths, len(due))
        assert looked > first
        with shop.worker():
            account = shop.wait_for(range(calls))
        print(account)

        assert not account.missing
        assert not account.twice
