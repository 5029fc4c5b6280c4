"""The end of a dispatcher: one at a time, whoever asks for it and however often."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict
from time import monotonic

from dispatch._compose import CelerySide
from dispatch._log import logger
from dispatch._waiting import in_event_loop
from dispatch.pool import Drained, is_worker
from dispatch.transports import Destination

_ORDER = {"local": 0, "spool": 1, "celery": 2}
"""A task that is still finishing may have something to spool or to publish, and what forwards needs the publisher."""


class Shutdown:
    """Closes what a dispatcher has, local destinations first. Whoever comes second finds everything closed."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        # Reentrant: a signal handler of the application's may ask for it in the middle of one.
        self._turn = threading.RLock()

    def __call__(self, destinations: Iterable[Destination], celery: CelerySide, deadline: float) -> Drained | None:
        """Wait until `deadline` at most, and log what became of the calls. `None`: somebody else is still at it."""
        # The one under way may wait for the very task, or the very loop, that asks for another.
        patience = 0.0 if is_worker() or in_event_loop() else _left(deadline)
        if not self._turn.acquire(timeout=patience):
            return None
        try:
            return self._close(destinations, celery, deadline)
        finally:
            self._turn.release()

    def _close(self, destinations: Iterable[Destination], celery: CelerySide, deadline: float) -> Drained:
        in_order = sorted(destinations, key=lambda each: _ORDER.get(each.transport, 0))
        ended = [destination.close(_left(deadline)) for destination in in_order]
        celery.close(_left(deadline))
        total = Drained(
            finished=sum(each.finished for each in ended),
            dropped=sum(each.dropped for each in ended),
            left=sum(each.left for each in ended),
        )
        if total != Drained():
            logger("shutdown").info("calls at shutdown", **asdict(total))
        return total


def _left(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
