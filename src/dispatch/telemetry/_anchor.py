"""One reading of both clocks, from which all times of a call are derived."""

from __future__ import annotations

from dispatch._clock import ticks, wall


class Anchor:
    """Turns moments of `ticks` into dates. Dates from one anchor keep the order of their moments.

    They do so even when the system's clock is stepped in between.
    """

    __slots__ = ("_ahead", "ticks")

    def __init__(self) -> None:
        self.ticks = ticks()
        """When it was made."""
        self._ahead = wall() - self.ticks

    @property
    def wall(self) -> int:
        """The date of `ticks`."""
        return self.at(self.ticks)

    def at(self, moment: int) -> int:
        """The date of `moment`, in nanoseconds since 1970."""
        return self._ahead + moment

    def moment(self, date: int) -> int:
        """The moment of `ticks` at a date: the way back."""
        return date - self._ahead
