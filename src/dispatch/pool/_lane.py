"""What one event loop runs and holds, for whoever sends coroutines to the loop that they are on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from dispatch.pool._loans import Loans

T = TypeVar("T")


class Lane(Generic[T]):
    """One loop's. Used in that loop's thread alone, but for `held` and `take_waiting`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        start_ahead: Callable[[Lane[T], T], bool],
        wanted: Callable[[T], bool],
    ) -> None:
        """`start_ahead` starts an item out of its turn; false when it does not wait, any more or yet."""
        self.loop = loop
        self.loans = Loans[T](partial(start_ahead, self), wanted)
        self.lent = self.loans.lent
        self.waiting: deque[T] = deque()
        self.running: dict[T, asyncio.Task[None]] = {}
        self.hoping: deque[asyncio.Future[None]] = deque()
        """Coroutines that wait for room."""

    def held(self) -> int:
        return len(self.waiting) + len(self.running)

    def take_waiting(self) -> Iterator[T]:
        """Take out what has not started, one by one."""
        with suppress(IndexError):
            while True:
                yield self.waiting.popleft()

    async def hope(self, deadline: float) -> None:
        """Wait for room, which somebody else may take. Raises `TimeoutError` at that `loop.time()`."""
        room = self.loop.create_future()
        self.hoping.append(room)
        try:
            async with asyncio.timeout_at(deadline):
                await room
        except BaseException:
            if not room.cancelled() and room.done():
                self.tell_of_room()  # it was told, and leaves the room to the next
            elif room in self.hoping:
                self.hoping.remove(room)
            raise

    def tell_of_room(self) -> None:
        while self.hoping:
            hoping = self.hoping.popleft()
            if not hoping.done():
                hoping.set_result(None)
                return

    def tell_all_of_room(self) -> None:
        """There may be more of it than one place; who finds none hopes again."""
        for _ in range(len(self.hoping)):
            self.tell_of_room()
