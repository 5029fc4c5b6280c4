"""What every pool does, whatever runs its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from dispatch.pool._statistics import Drained, PoolStatistics

T = TypeVar("T")


class Bounded(Protocol[T]):
    """Runs items, of which only so many may wait. Safe from any thread."""

    @property
    def name(self) -> str: ...

    @property
    def capacity(self) -> int: ...

    @property
    def closed(self) -> bool: ...

    @property
    def pressure(self) -> str | None:
        """Why it is as if full just now; `None`: it is as full as it is."""

    def try_send(self, item: T) -> bool:
        """Take `item` if there is room at once, and never after `close`."""

    def send(self, item: T, timeout: float) -> bool:
        """Take `item`, waiting up to `timeout` seconds for room; never after `close`."""

    def send_later(self, item: T, due: int) -> bool:
        """Take `item` and run it not before `due`, in `ticks`; not when as many are delayed as may wait."""

    def send_again(self, item: T, due: int) -> None:
        """`send_later` for an item that was run just now: there is always room for it, until the pool has ended."""

    def resize(self, capacity: int) -> None:
        """Let so many items wait from now on; none is sent away. Never waits. Threads: not from 0, nor to it."""

    def press(self, why: str | None) -> None:
        """Be as if full from now on, because of `why`; `None`: no more. What is in goes on. Never waits."""

    def is_mine(self) -> bool:
        """Whether the caller holds one of the pool's own slots, so that room may never come while it waits."""

    def expected_wait_ns(self) -> int:
        """How long an item sent now would wait for its turn."""

    def statistics(self) -> PoolStatistics: ...

    def oldest(self) -> T | None:
        """The item that has waited longest, still waiting; `None`: none does, or it cannot be told."""

    def close(self, grace: float, *, drop: Callable[[T], object] | None = None) -> Drained:
        """Take nothing new, and wait up to `grace` seconds for what is held. Twice is once."""
