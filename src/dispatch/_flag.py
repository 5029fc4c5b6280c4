"""A moment that comes once, for threads and for coroutines alike."""

from __future__ import annotations

from collections.abc import Callable

from dispatch._turn import Turn
from dispatch._waiting import block, leave_free


class Flag:
    """Down until it is raised, then up for ever.

    Cheap while nobody waits: a lock is made only by who does. Everybody in `_bells` is rung exactly once, after
    the flag is up, by the thread that raises it.
    """

    __slots__ = ("_bells", "up")

    def __init__(self) -> None:
        self.up = False
        self._bells: tuple[Callable[[], object], ...] = ()

    def hoist(self) -> None:
        """Up it goes, and whoever waits is woken. Twice is once."""
        with _turn.lock:
            self.up = True
            bells, self._bells = self._bells, ()
        for ring in bells:
            ring()

    def wait(self, timeout: float) -> bool:
        """Block this thread until the flag is up, at most `timeout` seconds; whether it is."""
        if not self.up and timeout > 0:
            block(self, timeout)
        return self.up

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - the end of it is no error
        """The same, leaving the event loop free."""
        if not self.up and timeout > 0:
            await leave_free(self, timeout)
        return self.up

    def tell(self, wake: Callable[[], object]) -> bool:
        """Call `wake` once, when the flag is up. False: it is."""
        with _turn.lock:
            if self.up:
                return False
            self._bells = (*self._bells, wake)
            return True

    def forget(self, wake: Callable[[], object]) -> bool:
        """Take back `tell`. True when nobody waits any more."""
        with _turn.lock:
            self._bells = tuple(each for each in self._bells if each != wake)
            return not self._bells


_turn = Turn()
