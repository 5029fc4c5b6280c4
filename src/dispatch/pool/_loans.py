"""A coroutine that waits for another one of its own pool lends it its slot.

With every slot taken by somebody who waits for an item behind it, nobody would be left to run one. So the item that is
waited for is started at once, out of its turn; the waiter does nothing meanwhile, and no more than `limit` are at work.
A slot is lent once at a time: of many items that its holder waits for, the next starts when the one before has ended.
What is delayed, or is to run again, has the slot when its time has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")

_DEEPEST = 32
"""Loans of loans; beyond, a coroutine waits like anybody else."""

_FEW = 64
"""Items that have ended are not worth looking for among so few."""


class Loans(Generic[T]):
    """Who runs in whose slot, on one loop, in whose thread all of this is called."""

    def __init__(self, start: Callable[[T], bool], wanted: Callable[[T], bool]) -> None:
        """`start` starts an item out of its turn; false when it does not wait, any more or yet. `wanted` says whether
        anything is still to come of an item.
        """
        self.lent: dict[T, T] = {}
        """The lender of each item that runs in a slot which is not its own."""
        self._later: dict[T, T] = {}
        """Who is to lend to an item that does not wait yet; it may have ended meanwhile, as may the item."""
        self._start = start
        self._is_wanted = wanted
        self._many = _FEW
        self._wanted: dict[T, deque[T]] = {}
        """What else each lender waits for; an entry for each of them while it lends."""

    def may(self, lender: T) -> bool:
        """Whether a slot may be lent that is lent itself, perhaps."""
        depth = 0
        while (up := self.lent.get(lender)) is not None:
            lender = up
            depth += 1
        return depth < _DEEPEST

    def ask(self, lender: T, item: T) -> None:
        """`lender` is about to wait for `item`: have it run in its slot, now or after others."""
        if lender in self._wanted:
            self._wanted[lender].append(item)
        elif self.may(lender):
            self._wanted[lender] = deque([item])
            self._go_on(lender)

    def ended(self, item: T) -> None:
        """To be told of each item that ends while anything is lent."""
        self._wanted.pop(item, None)
        lender = self.lent.pop(item, None)
        if lender is not None and self._is_wanted(item):
            self._postpone(lender, item)  # it is to run again
        if lender in self._wanted:
            self._go_on(lender)

    def came(self, item: T, runs: Container[T]) -> None:
        """The time of `item` has come, and it waits; `runs` are those that hold a slot."""
        lender = self._later.pop(item, None)
        if lender is not None and lender in runs:
            self.ask(lender, item)

    def _go_on(self, lender: T) -> None:
        wanted = self._wanted[lender]
        while wanted:
            item = wanted.popleft()
            self.lent[item] = lender
            if self._start(item):
                return
            del self.lent[item]
            if self._is_wanted(item):
                self._postpone(lender, item)
        del self._wanted[lender]

    def _postpone(self, lender: T, item: T) -> None:
        self._later[item] = lender
        if len(self._later) > self._many:
            self._later = {each: its for each, its in self._later.items() if self._is_wanted(each)}
            self._many = max(_FEW, 2 * len(self._later))


class Lending(Protocol):
    """A pool of coroutines."""

    name: str

    def is_mine(self) -> bool:
        """Whether the running coroutine holds one of its slots, or was started by one that does."""

    def stand_aside(self, item: Any) -> None:
        """The running coroutine is about to wait for `item`: if it holds a slot here and `item` waits, lend it."""


class Slot(msgspec.Struct, eq=False):
    """A pool, and the item that runs there; whoever runs the item takes it out at its end."""

    pool: Lending
    item: Any
    """`None` at its end: what a task leaves behind shares its context, and must not keep it alive."""


slot: ContextVar[Slot | None] = ContextVar("dispatch.slot", default=None)
"""Set in each item's own context, so that the tasks which it starts know whose slot they share."""
