"""Bells: who cannot simply wait on a queue is rung by whoever puts something there."""

# A queue's own `get(timeout=…)` is of no use here. In CPython 3.11 and 3.12 it may wait for ever: woken just before
# its deadline and finding that another thread was faster, it goes on with a time left below zero, which means endless.
# So who has a deadline hangs up a bell, looks once more, and waits for the bell.
#
#   - a bell is a lock that its owner holds and waits to acquire again; ringing releases it. (A coroutine's bell wakes
#     its loop, see _loops.py.) A select hangs one bell at several queues, so it may be rung more than once;
#   - ringing is C from end to end: it happens with an item in the hand, and no interrupt may come between;
#   - a bell hangs, or was taken down by the one who rings it, or by its owner;
#   - whoever puts anything on the queue afterwards rings one bell, if one hangs;
#   - who was rung looks at the queue; who goes away without a look rings for the next.
#
# So while something lies on the queue, nobody sleeps over it, and in no case beyond his deadline.
# Who waits without a deadline needs no bell, unless it is a select or a coroutine.

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from operator import methodcaller
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from dispatch.channel._taking import endlessly

R = TypeVar("R")


class Bell(Protocol):
    """Rung once by anybody; more often does no harm."""

    @property
    def release(self) -> Callable[[], object]:
        """Ring. May raise what `UNHEARD` lists; nothing of it in Python code, which could be interrupted."""


Bells: TypeAlias = deque[Bell]
Ringing: TypeAlias = Iterator[object]

UNHEARD: Final = (IndexError, RuntimeError, OSError)
"""What ringing raises when no bell hangs, when the bell was rung before, and when its loop is wide awake or gone."""


def ringing(bells: Bells) -> Ringing:
    """Each turn rings the bell that hangs longest; raises `IndexError` when none does."""
    return map(methodcaller("release"), endlessly(bells.popleft))


def ring(ringing: Ringing) -> None:
    """Ring one bell, if one hangs."""
    try:
        for _ in ringing:
            return
    except UNHEARD:
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
        if not taken_down(bell, bells):
            ring(ringing(bells))
        raise
    taken_down(bell, bells)


def taken_down(bell: Bell, bells: Bells) -> bool:
    """Take our bell down; false when it was rung."""
    try:
        bells.remove(bell)
    except ValueError:
        return False
    return True
