"""How many bytes may wait: taken when an item is accepted, given back when it is taken up, dropped or lost.

Invariants, kept by `_turn`:

- `held` is the sum of what `_taken` says, and never more than `limit` but for what was let in before (`retake`);
- while somebody stands in line, nobody takes anything but the first in line.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from dispatch._waiting import block, leave_free
from dispatch.pool._renewal import renew_in_children

T = TypeVar("T")
R = TypeVar("R")


def _never(_item: object, _wake: Callable[[], object]) -> bool:
    """Whose items nobody ends before they are run."""
    return True


class Allowance(Generic[T]):
    """At most `limit` bytes, first come first served.

    Whoever finds no room for his item stands in line, and nobody passes him: small items that would still fit must
    not keep a large one waiting for ever.
    """

    def __init__(
        self, limit: int, weigh: Callable[[T], int], tell: Callable[[T, Callable[[], object]], bool] = _never
    ) -> None:
        """`weigh` says how many bytes an item counts for; one that counts for more than `limit` never gets in.

        `tell(item, wake)` has `wake` called at the end of an item, whatever ends it; false: it has ended.
        """
        self.limit = limit
        self._weigh = weigh
        self._tell = tell
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self._turn = threading.Lock()
        self._taken: dict[T, int] = {}
        self._line: deque[_Wish[T]] = deque()
        self._closed = False
        self.held = 0

    def try_take(self, item: T) -> bool:
        """Take the bytes of `item` if there is room at once, and nobody stands in line."""
        with self._turn:
            return not self._line and self._took(item)

    def take(self, item: T, timeout: float) -> bool:
        """`try_take` that stands in line up to `timeout` seconds, and not after `close`."""
        wish = _Wish(self, item)
        try:
            block(wish, timeout)
        except BaseException:
            self.give(item)
            raise
        return wish.granted

    async def atake(self, item: T, timeout: float) -> bool:  # noqa: ASYNC109 - its end is no error
        """`take` that leaves the event loop free."""
        wish = _Wish(self, item)
        try:
            await leave_free(wish, timeout)
        except BaseException:
            self.give(item)
            raise
        return wish.granted

    def retake(self, item: T) -> None:
        """Take the bytes of an item that was let in before, and waits again, whether there is room or not."""
        with self._turn:
            self._count(item, self._weigh(item))

    def give_at_end(self, item: T) -> None:
        """`give`, if nobody else does: who waits for his time may be forgotten before, where nobody wants him."""
        if not self._tell(item, partial(self.give, item)):
            self.give(item)

    def give(self, item: T) -> None:
        """Give back the bytes of `item`. Twice is once; never taken is fine."""
        with self._turn:
            self.held -= self._taken.pop(item, 0)
            admitted = self._admit()
        for wish in admitted:
            wish.wake()

    def giving(self, run: Callable[[T], R]) -> Callable[[T], R]:
        """`run`, after the bytes of its item were given back."""

        def give_and_run(item: T) -> R:
            self.give(item)
            try:
                return run(item)
            finally:
                del item  # a failure's traceback leads to this frame

        return give_and_run

    def become(self, limit: int) -> None:
        """Let so many bytes wait from now on. What is in stays; who stands in line and is too big is sent away."""
        with self._turn:
            self.limit = limit
            gone = [wish for wish in self._line if self._weigh(wish.item) > limit]
            self._line = deque(wish for wish in self._line if wish not in gone)
            admitted = self._admit()
        for wish in (*gone, *admitted):
            wish.wake()

    def close(self) -> None:
        """Send everybody in line away."""
        with self._turn:
            self._closed = True
            line, self._line = self._line, deque()
        for wish in line:
            wish.wake()

    # ---- under `_turn`

    def _took(self, item: T) -> bool:
        size = self._weigh(item)
        if self.held + size > self.limit:
            return False
        self._count(item, size)
        return True

    def _count(self, item: T, size: int) -> None:
        self.held += size
        self._taken[item] = size

    def _admit(self) -> list[_Wish[T]]:
        admitted = []
        while self._line and self._took(self._line[0].item):
            wish = self._line.popleft()
            wish.granted = True
            admitted.append(wish)
        return admitted

    # ---- a wish

    def enter(self, wish: _Wish[T]) -> bool:
        """Stand in line. False when there is nothing to wait for: it is granted, or never will be."""
        with self._turn:
            wish.granted = not self._line and self._took(wish.item)
            if wish.granted or self._closed or self._weigh(wish.item) > self.limit:
                return False
            self._line.append(wish)
            return True

    def leave(self, wish: _Wish[T]) -> None:
        """Stand in line no longer; who stood behind may fit now."""
        with self._turn:
            if wish in self._line:
                self._line.remove(wish)
            admitted = self._admit()
        for each in admitted:
            each.wake()


class _Wish(Generic[T]):
    """Somebody who wants the bytes of `item`: something that happens once (`Once`)."""

    __slots__ = ("_allowance", "granted", "item", "wake")

    def __init__(self, allowance: Allowance[T], item: T) -> None:
        self._allowance = allowance
        self.item = item
        self.granted = False

    def tell(self, wake: Callable[[], object]) -> bool:
        self.wake = wake
        return self._allowance.enter(self)

    def forget(self, _wake: Callable[[], object]) -> bool:
        self._allowance.leave(self)
        return True
