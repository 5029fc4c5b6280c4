"""A look at what waits longest in a channel, without taking it: for figures, not for decisions."""

from __future__ import annotations

import gc
from queue import SimpleQueue
from typing import TypeVar

from dispatch.channel._channel import Channel
from dispatch.channel._marks import END

T = TypeVar("T")


def oldest(channel: Channel[T]) -> T | None:
    """The item that waits longest in a buffered channel, a moment ago; `None`: none does, or it cannot be told.

    Costs those who send and receive nothing. In C, CPython's `SimpleQueue` keeps its items in a list, where those that
    were taken are `None`, and shows that list to the garbage collector (`Modules/_queuemodule.c`, 3.11 and 3.12).
    Where the queue is another one, gevent's or a later CPython's, there may be no such list, and nothing is told.
    Nothing is told of items that are `None` either.
    """
    queue: SimpleQueue[object] = channel._items  # type: ignore[assignment] # noqa: SLF001 - one room
    lists = [each for each in gc.get_referents(queue) if type(each) is list]
    if type(queue) is not SimpleQueue or len(lists) != 1:
        return None
    found: T | None = next((each for each in lists[0] if each is not None and each is not END), None)
    return found
