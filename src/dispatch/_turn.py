"""A lock that is held for a few attribute accesses, and that a forked child finds open."""

from __future__ import annotations

import threading

from dispatch._fork import renew_in_child


class Turn:
    """Holds a lock; a fork replaces it, since another thread of the parent may have been holding it.

    For the few locks of a module, never for one per object: what is registered for forks stays for ever.
    """

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self._renew()
        renew_in_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()
