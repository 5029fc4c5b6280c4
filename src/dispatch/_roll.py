"""Everybody of a kind that is at work in this process, and who wants to hear of newcomers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Roll(Generic[T]):
    """Holds its members until they are struck off. Safe from any thread."""

    def __init__(self) -> None:
        self._members: dict[T, None] = {}
        self.on_arrival: Callable[[T], object] | None = None
        """Called with each newcomer. The seam of `dispatch.testing`: at work outside of tests it is `None`."""

    def add(self, member: T) -> None:
        self._members[member] = None
        if self.on_arrival is not None:
            self.on_arrival(member)

    def discard(self, member: T) -> None:
        self._members.pop(member, None)

    def clear(self) -> None:
        """Strike everybody off."""
        self._members.clear()

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._members))
