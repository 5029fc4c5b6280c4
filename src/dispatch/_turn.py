"""A lock that is held for a few attribute accesses, and that a forked child finds open."""

from __future__ import annotations

import threading
from itertools import repeat, starmap

from dispatch._fork import renew_in_child


class Turn:
    """Holds a lock; a fork replaces it, since another thread of the parent may have been holding it.

    For the few locks of a module, never for one per object: what is registered for forks stays for ever.

    Where `with turn.lock:` would be half of the cost, write

        for _ in turn.mine:
            break
        ...  # attribute accesses, and nothing else
        turn.over()

    An interrupt cannot leave the lock closed: handlers run after a call, where a function starts and where a loop
    turns, and none of these stands between the two (channel/_taking.py says more).
    """

    __slots__ = ("lock", "mine", "over")

    def __init__(self) -> None:
        self._renew()
        renew_in_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()
        self.mine = starmap(self.lock.acquire, repeat(()))
        self.over = self.lock.release
