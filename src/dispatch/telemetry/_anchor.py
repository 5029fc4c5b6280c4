"""One reading of both clocks, from which all times of a call are derived."""

from __future__ import annotations

from dispatch._clock import ticks, wall, wall_of


class Anchor:
    """Turns moments of `ticks` into dates. Dates from one anchor keep the order of their moments."""

    __slots__ = ("ticks", "wall")

    def __init__(self) -> None:
        self.ticks = ticks()
        self.wall = wall()

    def at(self, moment: int) -> int:
        """The date of `moment`, in nanoseconds since 1970."""
        return wall_of(moment, now_wall=self.wall, now_ticks=self.ticks)
