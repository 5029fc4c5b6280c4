"""Whether memory is short: above a high mark it is, and until it is below a low one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import msgspec

from dispatch._memory import resident
from dispatch._memory_limit import MemoryUse, memory_use
from dispatch._units import share, show_size, size

_LOW = 8 / 9
"""Of the high mark: 80 % where that is 90 %."""


class Marks(msgspec.Struct, frozen=True):
    """Both are shares of the limit, or both bytes of this process itself."""

    high: float
    low: float
    shares: bool

    @classmethod
    def read(cls, high: str, low: str | None) -> Self | None:
        """From the settings, which were checked; `None`: they are off."""
        if high == "off":
            return None
        shares = share(high) is not None
        top, under = _amount(high), low and _amount(low)
        return cls(top, under or top * _LOW, shares)

    def show(self, mark: float) -> str:
        return f"{100 * mark:.4g} %" if self.shares else show_size(int(mark))


def _amount(mark: str) -> float:
    part = share(mark)
    return size(mark) if part is None else part


class Pressure:
    """Looks when it is asked. Used by one thread."""

    def __init__(
        self,
        marks: Marks,
        *,
        use: Callable[[], MemoryUse | None] = memory_use,
        own: Callable[[], int] = resident,
    ) -> None:
        """`use` and `own` say what is in use of the limit, and by this process."""
        self._marks = marks
        self._use = use
        self._own = own
        self.is_high = False

    def look(self) -> str | None:
        """Why nothing new is to be let in, in figures; `None`: memory suffices, or nobody can tell."""
        seen = self._seen()
        if seen is None:
            self.is_high = False
            return None
        amount, told = seen
        marks = self._marks
        if amount >= marks.high:
            self.is_high = True
            return f"{told}, over the mark of {marks.show(marks.high)}"
        self.is_high = self.is_high and amount >= marks.low
        if not self.is_high:
            return None
        return f"{told}, was over the mark of {marks.show(marks.high)}, and is not under {marks.show(marks.low)} yet"

    def _seen(self) -> tuple[float, str] | None:
        if not self._marks.shares:
            own = self._own()
            return own, f"memory of this process is at {show_size(own)}"
        use = self._use()
        if use is None:
            return None
        return use.share, f"memory is at {100 * use.share:.3g} % of {show_size(use.limit)} ({use.source})"
