"""A pool whose items are bounded by their bytes, besides their number.

Bytes come first, then a slot: what waits for a slot is counted already, so that memory is bounded all the way.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from dispatch.pool._allowance import Allowance
from dispatch.pool._bounded import Bounded
from dispatch.pool._callers_loop import CallersLoop
from dispatch.pool._statistics import Drained, PoolStatistics

T = TypeVar("T")


class Weighed(Generic[T]):
    """`pool` behind an allowance. Who runs the items gives their bytes back; of what is not run, this does."""

    def __init__(self, pool: Bounded[T], allowance: Allowance[T]) -> None:
        self._pool = pool
        self._allowance = allowance
        self.name = pool.name

    @property
    def capacity(self) -> int:
        return self._pool.capacity

    @property
    def closed(self) -> bool:
        return self._pool.closed

    @property
    def pressure(self) -> str | None:
        return self._pool.pressure

    def try_send(self, item: T) -> bool:
        return self._allowance.try_take(item) and self._sent(item, self._pool.try_send)

    def send(self, item: T, timeout: float) -> bool:
        deadline = monotonic() + timeout

        def send(item: T) -> bool:
            # `try_send` first: a pool of threads starts its workers there.
            return self._pool.try_send(item) or self._pool.send(item, max(0.0, deadline - monotonic()))

        return self._allowance.take(item, timeout) and self._sent(item, send)

    def send_later(self, item: T, due: int) -> bool:
        if not self._allowance.try_take(item) or not self._sent(item, lambda item: self._pool.send_later(item, due)):
            return False
        self._allowance.give_at_end(item)
        return True

    def send_again(self, item: T, due: int) -> None:
        self._allowance.retake(item)
        self._allowance.give_at_end(item)
        self._pool.send_again(item, due)

    def resize(self, capacity: int) -> None:
        self._pool.resize(capacity)

    def press(self, why: str | None) -> None:
        self._pool.press(why)

    def is_mine(self) -> bool:
        return self._pool.is_mine()

    def expected_wait_ns(self) -> int:
        return self._pool.expected_wait_ns()

    def statistics(self) -> PoolStatistics:
        return self._pool.statistics()

    def oldest(self) -> T | None:
        return self._pool.oldest()

    def close(self, grace: float, *, drop: Callable[[T], object] | None = None) -> Drained:
        self._allowance.close()
        return self._pool.close(grace, drop=None if drop is None else self._allowance.giving(drop))

    def _sent(self, item: T, send: Callable[[T], bool]) -> bool:
        sent = False
        try:
            sent = send(item)
        finally:
            if not sent:
                self._allowance.give(item)
        return sent

    def __repr__(self) -> str:
        return f"{self._pool!r} [{self._allowance.held} of {self._allowance.limit} bytes]"


class WeighedCallersLoop(Weighed[T]):
    """A caller's loop behind an allowance, which all loops share."""

    def __init__(self, pool: CallersLoop[T], allowance: Allowance[T]) -> None:
        super().__init__(pool, allowance)
        self._loops = pool

    async def asend(self, item: T, timeout: float) -> bool:  # noqa: ASYNC109 - its end is no error
        """`send` that leaves the event loop free."""
        deadline = monotonic() + timeout
        if not await self._allowance.atake(item, timeout):
            return False
        sent = False
        try:
            sent = await self._loops.asend(item, max(0.0, deadline - monotonic()))
        finally:
            if not sent:
                self._allowance.give(item)
        return sent
