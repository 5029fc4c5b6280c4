"""The two clocks: one that only goes forward, for durations, and one that tells the date, for traces."""

from __future__ import annotations

from time import perf_counter_ns as ticks
from time import time_ns as wall

__all__ = ["ticks", "wall", "wall_of"]


def wall_of(moment: int, *, now_wall: int, now_ticks: int) -> int:
    """The date, in nanoseconds since 1970, of a moment that was read from `ticks`.

    Both readings of now come from the caller, so that the moments of one call share them and keep their order
    even when the system's clock is stepped in between.
    """
    return now_wall - (now_ticks - moment)
