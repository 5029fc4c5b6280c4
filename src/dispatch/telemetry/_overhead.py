"""What the caller of a call paid until a destination had it."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self


class Moments(Protocol):
    """A call, or what was taken down of one."""

    @property
    def entered(self) -> int: ...
    @property
    def decided(self) -> int: ...
    @property
    def serialized(self) -> int: ...


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
    def of(cls, call: Moments, sent: int) -> Self:
        """Of a call that its destination has since the moment `sent`.

        One that never came (arguments that travel by reference are not encoded) took no time. A candidate that failed
        before the last decision leaves moments out of order; none of the parts is negative all the same.
        """
        decided = max(call.decided, call.entered)
        encoded = max(call.serialized, decided)
        return cls(decided - call.entered, encoded - decided, max(0, sent - encoded))
