"""Waiting with a deadline: bells, rung by whoever puts something on a queue."""

# A queue's own `get(timeout=…)` is of no use here. In CPython 3.11 and 3.12 it may wait for ever: woken just before
# its deadline and finding that another thread was faster, it goes on with a time left below zero, which means endless.
# So who has a deadline hangs up a bell, looks once more, and waits for the bell.
#
#   - a bell is a lock that its owner holds and waits to acquire again; ringing releases it;
#   - a bell hangs, or was taken down by the one who rings it, or by its owner;
#   - whoever puts anything on the queue afterwards rings one bell, if one hangs;
#   - who was rung looks at the queue; who goes away without a look rings for the next.
#
# So while something lies on the queue, nobody sleeps over it, and in no case beyond his deadline.

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from operator import methodcaller
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import Any, TypeAlias, TypeVar

from dispatch.channel._taking import endlessly

R = TypeVar("R")

Bells: TypeAlias = deque[threading.Lock]
Ringing: TypeAlias = Iterator[None]


def ringing(bells: Bells) -> Ringing:
    """Each turn rings the bell that hangs longest; raises `IndexError` when none does."""
    return map(methodcaller("release"), endlessly(bells.popleft))


def ring(ringing: Ringing) -> None:
    """Ring one bell, if one hangs."""
    try:
        for _ in ringing:
            return
    except IndexError:
        pass


def within(timeout: float, looking: Iterator[R], queue: SimpleQueue[Any], bells: Bells) -> Iterator[R]:
    """What `looking` finds on `queue`, as it comes; raises `Empty` when nothing did for `timeout` seconds in all."""
    deadline = time.monotonic() + timeout
    while True:
        try:  # noqa: SIM105 - `suppress` would be called on the way out, with a thing in the hand
            yield from looking
        except Empty:
            pass
        time_left = deadline - time.monotonic()
        if time_left <= 0:
            raise Empty
        _wait(time_left, queue, bells)


def _wait(time_left: float, queue: SimpleQueue[Any], bells: Bells) -> None:
    """Wait until something was put on `queue`, or the time is up, or perhaps less."""
    bell = threading.Lock()
    bell.acquire()
    try:
        bells.append(bell)
        if not queue.qsize():
            bell.acquire(timeout=min(time_left, TIMEOUT_MAX))
    except BaseException:
        if not _taken_down(bell, bells):
            ring(ringing(bells))
        raise
    _taken_down(bell, bells)


def _taken_down(bell: threading.Lock, bells: Bells) -> bool:
    """Take our bell down; false when it was rung."""
    try:
        bells.remove(bell)
    except ValueError:
        return False
    return True
