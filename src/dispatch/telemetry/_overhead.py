"""What the caller of a call paid until a destination had it."""

from __future__ import annotations

from typing import NamedTuple, Self


class Overhead(NamedTuple):
    """In nanoseconds."""

    decide: int
    serialize: int
    enqueue: int
    """On Celery: the publish."""

    @property
    def total(self) -> int:
        return self.decide + self.serialize + self.enqueue

    @classmethod
    def of(cls, entered: int, decided: int, serialized: int, sent: int) -> Self:
        """From the moments of a call.

        One that never came (arguments that travel by reference are not encoded) took no time. A candidate that failed
        before the last decision leaves moments out of order; none of the parts is negative all the same.
        """
        decided = max(decided, entered)
        encoded = max(serialized, decided)
        return cls(decided - entered, encoded - decided, max(0, sent - encoded))
