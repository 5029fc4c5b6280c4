"""How long to leave something alone that has just failed."""

from __future__ import annotations

import random

import msgspec


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Doubles with each failure up to the longest, and is then drawn between a half and the whole of it, so that many
    who failed together do not come again together. Seconds.
    """

    first: float = 0.5
    longest: float = 60.0

    def after(self, failures: int) -> float:
        """`failures` in a row, at least one."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains by guessing it
