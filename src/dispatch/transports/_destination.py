"""The seam of the transports: what the dispatcher asks of a destination, beyond what the policy asks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeAlias

from dispatch._call import Call
from dispatch.errors import PassedOver
from dispatch.policy import Place
from dispatch.pool import Drained
from dispatch.transports._statistics import DestinationStatistics


class Pending(Protocol):
    """Something a hand-over has to wait for; bounded by its own deadline."""

    under_way: bool
    """The call has left, and only the answer is awaited: see `UnderWay`. Others may follow it meanwhile."""

    def wait(self) -> None:
        """Wait, blocking this thread."""

    async def wait_async(self) -> None:
        """Wait, leaving the event loop free."""


class UnderWay(Pending, Protocol):
    """The answer of a broker or a disk. They come in the order in which the calls have left."""

    def withdraw(self) -> bool:
        """Nobody waits for it any more. True when it is certain that nothing was sent or kept, or will be."""


HandOver: TypeAlias = Generator[Pending, None, PassedOver | None]
"""Yields what to wait for, and returns `None` when the call was accepted, else why not.

One implementation serves `delay` and `adelay`: they differ only in how they wait. A generator that is closed
before its end withdraws the call.
"""


class Destination(Place, Protocol):
    """A named place with a transport. Safe from any thread."""

    def try_now(self, call: Call) -> bool:
        """Take the call if that needs no waiting and no encoding. True: it will run, or its handle says why not."""

    def hand_over(self, call: Call, *, may_wait: bool) -> HandOver:
        """Take the call, encoding it and waiting for room or for the broker's answer where that is needed.

        `may_wait=False`: the caller may not wait for *room* (its event loop is running). An answer with `why`
        `unknown` says that the call may run all the same; every other one says that it will not.
        """

    def run_here(self, call: Call, *, awaiting: bool) -> Pending | None:
        """What runs the call where the caller is, if that is one of the destination's own workers; else `None`.

        `awaiting`: the caller is a coroutine that will wait for it.
        """

    def enforce(self) -> None:
        """Have its limits hold for all that it shares with the destination it was revised from. Never waits.

        A destination never changes: `revised` makes another one, of the same workers, for the next policy. Until this
        is called, nobody notices.
        """

    def statistics(self) -> DestinationStatistics:
        """What it holds at this moment."""

    def glance(self) -> DestinationStatistics:
        """The same for whoever must not wait: as it was when it could last be told, where now it cannot."""

    def close(self, grace: float, hand_on: Callable[[Call], bool]) -> Drained:
        """Take nothing new, finish what was started, then follow `on_shutdown`. Twice is once; unopened is fine.

        `hand_on` offers a call that waits to the other candidates of its rule; true: one of them has it.
        """
