"""Waiting for a call: whoever settles it from afar is asked to look, and its own pool does not wait for the waiter."""

from __future__ import annotations

from collections.abc import Callable

from dispatch._call import Call
from dispatch._clock import ticks
from dispatch._waiting import block
from dispatch.pool import is_worker_of, run_in_place, slot


class Attention:
    """A call, as long as somebody waits for it: something that happens once (`Once`)."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def tell(self, wake: Callable[[], object]) -> bool:
        call = self._call
        if not call.tell(wake):
            return False
        if call.source is not None:
            try:
                call.source.watch(call)
            except BaseException:
                self.forget(wake)
                raise
        return True

    def forget(self, wake: Callable[[], object]) -> bool:
        call = self._call
        nobody = call.forget(wake)
        if nobody and call.source is not None:
            call.source.unwatch(call)
        return nobody


def stand_in(call: Call, *, also_later: bool = False) -> None:
    """This thread is about to wait for `call`: as a worker of its pool it might wait for itself, so it runs it.

    `also_later`: it waits for nothing else, so that it runs the call each time that it is due.
    """
    while _may_wait_for_us(call):
        ahead = call.due - ticks()
        if ahead <= 0:
            if not run_in_place(call):
                return
        elif also_later:
            block(Attention(call), ahead / 1e9)
        else:
            return


def stand_aside(call: Call) -> None:
    """`stand_in` for the running coroutine: where its slot is one of the pool of `call`, it lends it instead."""
    held = slot.get()
    if held is not None and held.pool.name == call.decision.destination:
        held.pool.stand_aside(call)


def _may_wait_for_us(call: Call) -> bool:
    """Whether a call waits for a worker, and this thread is one of those."""
    return (
        call.stage == "waiting"
        and call.source is None
        and not call.spec.coroutine
        and is_worker_of(call.decision.destination)
    )
