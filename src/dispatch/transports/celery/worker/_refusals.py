"""How many messages this worker has turned away, and why."""

from __future__ import annotations

import threading
from collections import Counter

from dispatch._fork import renew_in_child


class Refusals:
    """Counted where messages come in: in the worker's main process."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, why: str) -> None:
        with self._lock:
            self._counts[why] += 1

    def figures(self) -> dict[str, int]:
        """By the reason: `malformed`, `forged`, `stale` or `replayed`."""
        with self._lock:
            return dict(self._counts)


refusals = Refusals()
renew_in_child(refusals.renew)
