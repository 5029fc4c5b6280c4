"""What a dispatcher says of itself and its process."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections import Counter

import pytest

import dispatch
from dispatch import _unread
from dispatch.channel import Channel
from dispatch.channel._oldest import oldest
from servers.patience import eventually

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 100, max_bytes: 1MiB}
  loop: {transport: local, runner: asyncio, workers: 1, capacity: 10, reached_by: pins}
  queue: {transport: celery}
defaults: {durability: ephemeral}
rules:
  - {name: loops, match: {kind: async}, route_to: loop}
otherwise: {route_to: fast, fallback: [queue]}
"""


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def stop(gate: threading.Event, started: threading.Semaphore):
    @dispatch.task(name="house.statistics_stop")
    def wait_here(_text: str = "") -> None:
        started.release()
        assert gate.wait(10)

    return wait_here


def test_it_says_what_runs_and_what_waits(dispatcher, gate):
    """Calls, bytes, workers, and for how long the oldest waiting call has waited."""
    one = dispatcher(POLICY)
    started = threading.Semaphore(0)
    task = stop(gate, started)
    for _ in range(2):
        task.delay()
        assert started.acquire(timeout=5)
    before = one.statistics().destinations["fast"]
    handles = [task.delay("x" * 100) for _ in range(3)]

    figures = one.statistics().destinations["fast"]

    assert (0, None) == (before.waiting, before.oldest_waiting_ns)
    assert (3, 100, 2, 2, 2, 0) == (
        figures.waiting, figures.capacity, figures.busy, figures.workers, figures.limit, figures.finished
    )  # fmt: skip
    assert 300 <= figures.bytes <= 400
    assert 1 << 20 == figures.max_bytes
    assert (0, 0, 0) == (figures.abandoned, figures.timers, figures.errors)
    later = one.statistics().destinations["fast"].oldest_waiting_ns
    assert 0 < figures.oldest_waiting_ns < later
    gate.set()
    for handle in handles:
        handle.result(timeout=5)
    eventually(lambda: one.statistics().destinations["fast"].finished == 5)


def test_it_says_what_waits_for_a_loop(dispatcher):
    """The same words for coroutines."""
    one = dispatcher(POLICY)
    opened = threading.Event()

    @dispatch.task(name="house.statistics_astop")
    async def wait_here() -> None:
        while not opened.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.001)

    handles = [wait_here.delay() for _ in range(3)]
    eventually(lambda: one.statistics().destinations["loop"].busy == 1)
    figures = one.statistics().destinations["loop"]
    opened.set()
    for handle in handles:
        handle.result(timeout=5)

    assert (2, 10, 1) == (figures.waiting, figures.capacity, figures.limit)
    assert figures.oldest_waiting_ns > 0
    assert figures.bytes is None


def test_a_destination_that_nobody_set_up_holds_nothing(dispatcher):
    """It is there, with its transport, so that a dashboard has every name of the policy."""
    figures = dispatcher(POLICY).statistics()

    assert ["fast", "loop", "queue"] == list(figures.destinations)
    assert dispatch.DestinationStatistics(transport="celery") == figures.destinations["queue"]


def test_it_says_what_the_process_holds(dispatcher, monkeypatch):
    """Memory, threads, and failures that nobody read."""
    monkeypatch.setattr(_unread, "counts", Counter({("shop.pay", "ValueError"): 3}))
    dispatcher(POLICY)

    figures = dispatch.statistics()

    assert 1 << 20 < figures.rss < 1 << 40
    assert figures.threads >= 1
    assert {("shop.pay", "ValueError"): 3} == figures.unread


def test_a_snapshot_does_not_change(dispatcher):
    """Neither by itself nor by whoever holds it."""
    figures = dispatcher(POLICY).statistics()

    with pytest.raises(TypeError):
        figures.destinations["fast"] = None
    with pytest.raises(AttributeError):
        figures.rss = 0


def test_it_reads_well(dispatcher):
    """One line for the process, one for each destination."""
    dispatcher(POLICY)

    lines = repr(dispatch.statistics()).splitlines()

    assert lines[0].startswith("<Statistics ")
    assert "  fast: <local: 0 waiting of 100, 0 B of 1 MiB, 0 busy of 2>" == lines[1]
    assert "  queue: <celery: 0 waiting>>" == lines[3]


# ---- the look at what waits longest


def test_the_oldest_item_of_a_channel_is_seen_and_not_taken():
    """As items come and go, it is always the next that a receiver gets."""
    channel: Channel[str] = Channel(100)
    assert oldest(channel) is None
    for number in range(60):
        channel.send(f"item {number}")

    for number in range(60):
        assert f"item {number}" == oldest(channel) == channel.receive()
    assert oldest(channel) is None
    channel.close()
    assert oldest(channel) is None


def test_where_the_queue_does_not_show_its_items_nothing_is_told(monkeypatch):
    """Other queues than CPython's own: no age rather than a wrong one."""
    channel: Channel[str] = Channel(3)
    channel.send("item")

    monkeypatch.setattr(gc, "get_referents", lambda *_: [])
    assert oldest(channel) is None
    monkeypatch.undo()
    monkeypatch.setattr(queue, "SimpleQueue", queue._PySimpleQueue)
    other: Channel[str] = Channel(3)
    other.send("item")
    assert oldest(other) is None
