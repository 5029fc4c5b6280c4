"""How often a task's call is attempted again, and when."""

from __future__ import annotations

import random

import msgspec

from dispatch._requirements import Duration
from dispatch._units import as_duration_ns


class Retry(msgspec.Struct, frozen=True):
    """Attempt a failed call again: `retry=dispatch.Retry(attempts=5, on=ConnectionError)`.

    `attempts`     at most so many in all, the first one included.
    `on`           the exceptions, or their bases, that are worth another attempt; any other ends the call.
    `backoff`      the pause before the second attempt; it doubles with each further one.
    `max_backoff`  the longest pause.
    `jitter`       the pause is drawn between nothing and its full length, so that calls that failed together do not
                   come back together ("full jitter": AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    All attempts are one call: one id, one handle, which hears of the last one. Raises `ValueError` or `TypeError`
    naming the parameter.
    """

    attempts: int = 3
    on: type[Exception] | tuple[type[Exception], ...] = Exception
    backoff: Duration = "1s"
    max_backoff: Duration = "10m"
    jitter: bool = True

    def __post_init__(self) -> None:
        # Not every caller has a type checker.
        attempts: object = self.attempts
        kinds: tuple[object, ...] = self.kinds
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ValueError(f"attempts={attempts!r}: it takes a whole number from 1 on, the first attempt included")
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise TypeError(f"on={self.on!r}: it takes a subclass of Exception, or a tuple of them")
        for name in ("backoff", "max_backoff"):
            try:
                as_duration_ns(getattr(self, name), or_none=True)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None

    @property
    def kinds(self) -> tuple[type[Exception], ...]:
        return self.on if isinstance(self.on, tuple) else (self.on,)

    def wants(self, error: BaseException, attempt: int) -> bool:
        """Whether the attempt with this number, counted from 1, is to be followed by another after `error`."""
        return attempt < self.attempts and isinstance(error, self.kinds)

    def pause_ns(self, attempt: int) -> int:
        """Nanoseconds between the failure of the attempt with this number and the next one."""
        first, longest = as_duration_ns(self.backoff, or_none=True), as_duration_ns(self.max_backoff, or_none=True)
        # Beyond 64 doublings every pause is the longest, and a float could not hold it.
        pause = min(longest, first << min(attempt - 1, 64))
        return random.randint(0, pause) if self.jitter else pause  # noqa: S311 - spread, not secrecy
