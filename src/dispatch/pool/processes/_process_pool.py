"""A pool whose threads each wait for a worker process."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from dispatch.pool._pool import Pool
from dispatch.pool._statistics import Drained
from dispatch.pool.processes._crew import Crew

T = TypeVar("T")

_HAND_OVER_NS = 150_000
"""To a process that waits: two more wake-ups, and the pickling."""


class ProcessPool(Pool[T]):
    """`Pool`, with a crew that ends when it does. `run` takes its processes from there."""

    def __init__(self, name: str, run: Callable[[T], int], lost: Callable[[T], None], crew: Crew, **words: Any) -> None:
        """`words` are the pool's own."""
        self._crew = crew
        super().__init__(name, run, lost, **words)

    def expected_wait_ns(self) -> int:
        starts_one = not self._crew.has_free and self._crew.size < self.limit
        return super().expected_wait_ns() + (self._crew.start_ns if starts_one else _HAND_OVER_NS)

    def close(self, grace: float, *, drop: Callable[[T], object] | None = None) -> Drained:
        deadline = monotonic() + grace
        drained = super().close(grace, drop=drop)
        self._crew.dismiss(max(0.0, deadline - monotonic()))
        return drained
