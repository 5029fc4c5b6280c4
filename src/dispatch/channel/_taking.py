"""Taking something off a queue so that no interrupt comes between taking it and knowing it."""

# A signal handler may raise; Ctrl-C does. CPython runs handlers after a call, where a function starts and where a loop
# turns. So in `item = queue.get()` one may run when the item has left the queue and has not reached `item`, and then
# it is gone, with its permit. That is no rare accident: a consumer that is never kept waiting spends a good part of its
# time in that gap. Between a `for` and its variable no handler runs, nor between `return` and the caller's assignment.
#
# So the channel takes with `for item in …:`, one turn of which is one call of `get`, and does what must follow with
# a `for` as well, or with a call into C, which is over before a handler gets its turn.
#
# `endlessly` makes iterators that a channel keeps and all its threads share. They may: `starmap` over an endless
# `repeat` has no state of its own, a turn of it is nothing but the call. It is also the fastest way to make one.

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat, starmap
from typing import Any, Final, TypeVar

R = TypeVar("R")

WAIT: Final = True
LOOK: Final = False
"""The first argument of a queue's `get`: stay until there is something, or only look."""


def endlessly(call: Callable[..., R], *arguments: Any) -> Iterator[R]:
    """Each turn calls `call(*arguments)`; may be shared between threads. What `call` raises, the `for` raises."""
    return starmap(call, repeat(arguments))
