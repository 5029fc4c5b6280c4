"""In a forked child every pool is new and empty: its workers, and what they held, are the parent's."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

from dispatch._fork import renew_in_child


class Renewable(Protocol):
    def renew(self) -> None:
        """Begin anew, as if just made."""


_pools: WeakSet[Renewable] = WeakSet()


def renew_in_children(pool: Renewable) -> None:
    """Have `pool` renewed in each process that is forked from this one, for as long as it lives."""
    _pools.add(pool)


def _renew_all() -> None:
    for pool in tuple(_pools):
        pool.renew()


renew_in_child(_renew_all)
