"""What becomes of a call that waits where everything ends: somebody else takes it, or it is dropped."""

from __future__ import annotations

from collections.abc import Callable

from dispatch._call import Call
from dispatch._outcome import Failure
from dispatch.errors import CallCancelled


class Leave:
    """Called with each call that has to leave; counts those that others took."""

    def __init__(self, hand_on: Callable[[Call], bool] | None) -> None:
        """Without `hand_on`, all are dropped."""
        self.handed_over = 0
        self._hand_on = hand_on

    def __call__(self, call: Call) -> None:
        # One that was attempted here already has fewer attempts left, and nobody else would know.
        if self._hand_on is not None and call.attempt == 1 and call.outcome is None and self._hand_on(call):
            self.handed_over += 1
        else:
            call.settle(Failure(CallCancelled(f"call {call.id} of {call.spec.name} was dropped at shutdown")))
