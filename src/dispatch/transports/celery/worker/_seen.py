"""Signatures of ephemeral calls that this worker has let run, so that a copy is known again."""

from __future__ import annotations

import threading

from dispatch._fork import renew_in_child

_MOST = 65_536
"""Signatures; the oldest make room. Some 10 MB."""


class Seen:
    """Of one process, and in memory: a copy that comes after a restart, or to another worker, is new there."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self.renew()

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, None] = {}

    def first(self, signature: str) -> bool:
        """Whether it was not seen before; from now on it was."""
        with self._lock:
            if signature in self._known:
                return False
            self._known[signature] = None
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
            return True


seen = Seen()
renew_in_child(seen.renew)
