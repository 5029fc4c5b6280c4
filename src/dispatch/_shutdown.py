"""The end of a dispatcher: one at a time, whoever asks for it and however often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic

from msgspec.structs import asdict

from dispatch._call import Call
from dispatch._celery_side import CelerySide
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

    def __call__(
        self,
        destinations: Mapping[str, Destination],
        celery: CelerySide,
        deadline: float,
        hand_on: Callable[[Call, str], bool],
    ) -> Drained | None:
        """Wait until `deadline` at most, and log what became of the calls. `None`: somebody else is still at it.

        `hand_on(call, name)` offers a call that waits in the destination of that name to others.
        """
        # The one under way may wait for the very task, or the very loop, that asks for another.
        patience = 0.0 if is_worker() or in_event_loop() else _left(deadline)
        if not self._turn.acquire(timeout=patience):
            return None
        try:
            return self._close(destinations, celery, deadline, hand_on)
        finally:
            self._turn.release()

    def _close(
        self,
        destinations: Mapping[str, Destination],
        celery: CelerySide,
        deadline: float,
        hand_on: Callable[[Call, str], bool],
    ) -> Drained:
        in_order = sorted(destinations.items(), key=lambda each: _ORDER.get(each[1].transport, 0))
        total = Drained.sum(
            destination.close(_left(deadline), partial(_until, deadline, hand_on, name))
            for name, destination in in_order
        )
        celery.close(_left(deadline))
        if total != Drained():
            logger("shutdown").info("calls at shutdown", **asdict(total))
        return total


def _until(deadline: float, hand_on: Callable[[Call, str], bool], away_from: str, call: Call) -> bool:
    return monotonic() < deadline and hand_on(call, away_from)


def _left(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
