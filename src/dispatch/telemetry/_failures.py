"""What went wrong inside telemetry: counted and dropped, never raised into a call."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from types import TracebackType

from dispatch._log import logger


class _Harmless:
    """`with harmless:` lets no `Exception` out. The first one is logged, all are counted."""

    __slots__ = ("_next", "noted")

    def __init__(self) -> None:
        self._next = count(1)
        self.noted = 0

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        # `KeyboardInterrupt` and its kin are not telemetry's, wherever they strike.
        if not isinstance(error, Exception):
            return False
        self.note(error)
        return True

    def note(self, error: Exception) -> None:
        # `next` on a counter is one step for the interpreter: two threads cannot draw the same number.
        number = next(self._next)
        self.noted = max(self.noted, number)
        if number == 1:
            # One line is enough to find the cause; one line a call would be a second fault.
            with suppress(Exception):
                logger("telemetry").warning("telemetry failed; calls are not affected", exc_info=error)


harmless = _Harmless()


def failures() -> int:
    """How many times telemetry failed in this process and said nothing."""
    return harmless.noted
