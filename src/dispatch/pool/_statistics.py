"""What a pool looks like at one moment, and what became of it at its end."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class PoolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot; each figure is true of some moment close to the others."""

    waiting: int
    """Items in the channel."""
    capacity: int
    busy: int
    """Workers that run an item right now."""
    workers: int
    """Workers started so far; they start as work arrives."""
    limit: int
    """The most there will ever be."""
    finished: int
    errors: int
    """Errors of the pool's own code, each logged: its item was answered for with an error, its worker replaced."""
    delayed: int = 0
    """Items whose time has not come, beside those that wait."""
    next_due_ns: int | None = None
    """Nanoseconds until the next of them is due."""
    abandoned: int = 0
    """Threads, beside the workers, that still run an item whose time was up."""
    service_ns: int = 0
    """How long one item takes, as the expected wait reckons it."""


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the items that were waiting or running when the pool was closed."""

    finished: int = 0
    handed_over: int = 0
    """To another destination."""
    dropped: int = 0
    left: int = 0
    """Still running, or still waiting, when the grace was over."""

    @classmethod
    def sum(cls, each: Iterable[Drained]) -> Drained:
        some = tuple(each)
        return cls(**{name: sum(getattr(one, name) for one in some) for name in cls.__struct_fields__})
