"""What a pool looks like at one moment, and what became of it at its end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
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
    abandoned: int = 0
    """Workers whose item has failed already, and that cannot be stopped before it returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What became of the items that were waiting or running when the pool was closed."""

    finished: int = 0
    dropped: int = 0
    left: int = 0
    """Still running, or still waiting, when the grace was over."""
