"""Items that come due after their pool's channel was closed, for the workers that would otherwise end with it."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Generic, TypeVar

from dispatch.errors import EndOfChannel
from dispatch.pool._delays import Delays

T = TypeVar("T")


class Stragglers(Generic[T]):
    """Taken until a deadline, and dropped afterwards."""

    def __init__(self, delays: Delays[T]) -> None:
        self.deadline = float("inf")
        """A reading of `monotonic`, set before the channel is closed."""
        self._delays = delays
        self._items: deque[T] = deque()

    def add(self, item: T) -> None:
        """In the delays' thread."""
        if monotonic() < self.deadline:
            self._items.append(item)
        else:
            self._delays.drop(item)

    def next(self) -> T:
        """The next one, waiting for it as long as anything is delayed. Raises `EndOfChannel` when nothing more comes.

        A worker whose item is to be run again meets it here: no other needs to wait for it.
        """
        while True:
            self._delays.wait(lambda: self._items, self.deadline)
            try:
                return self._items.popleft()
            except IndexError:
                if not self._delays.count or monotonic() >= self.deadline:
                    raise EndOfChannel("nothing is delayed that could still run") from None

    def drop(self) -> None:
        """The deadline has passed."""
        while self._items:
            self._delays.drop(self._items.popleft())

    def __len__(self) -> int:
        return len(self._items)
