"""The source of a spooled call that is run on this machine: by this process, or by another one of its application."""

from __future__ import annotations

import threading

from dispatch._call import Call
from dispatch._log import logger
from dispatch._outcome import Failure
from dispatch.errors import CallFailed, DispatchError
from dispatch.spool import Spool

_EVERY = 1.0
"""Seconds between two looks. What runs in this process is settled at once, without one."""


class Lookout:
    """For one call. Whoever runs it here settles it; that another process did is seen by its row, which is gone."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._over: threading.Event | None = None

    def watch(self, call: Call) -> None:
        if self._over is None:
            self._over = threading.Event()
            looking = threading.Thread(
                target=self._look_out, args=(call, self._over), name="dispatch-lookout", daemon=True
            )
            looking.start()

    def unwatch(self, call: Call) -> None:
        over, self._over = self._over, None
        if over is not None:
            over.set()

    def peek(self, call: Call) -> None:
        try:
            state = self._spool.state(call.id)
        except DispatchError as error:
            logger("spool").debug("no look at the spool", dispatch_call_id=call.id, error=str(error))
            return
        if state is None:
            call.settle(Failure(_elsewhere(call)))

    def revoke(self, call: Call) -> bool:
        return self._spool.withdraw(call.id)

    def _look_out(self, call: Call, over: threading.Event) -> None:
        while not over.wait(_EVERY) and call.outcome is None:
            self.peek(call)


def _elsewhere(call: Call) -> CallFailed:
    return CallFailed(
        f"call {call.id} of {call.spec.name} has left the spool by another process: it ran there, which alone knows "
        "its outcome, or was dropped by hand"
    )
