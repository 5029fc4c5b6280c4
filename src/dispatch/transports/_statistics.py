"""What one destination holds at one moment, as far as this process knows."""

from __future__ import annotations

from typing import Literal

import msgspec

from dispatch._decision import Transport
from dispatch._units import show_duration, show_size


class DestinationStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot; each figure is true of some moment close to the others. `None`: there is no such thing here."""

    transport: Transport
    waiting: int = 0
    """Local: accepted and not started. Celery: given to the broker by this process, and not answered yet."""
    capacity: int | None = None
    """How many may wait; on a caller's loop, on each."""
    bytes: int | None = None
    """Estimated payload of what waits; counted where the policy bounds it."""
    max_bytes: int | None = None
    oldest_waiting_ns: int | None = None
    """Since its `delay`, of the call that has waited longest; also `None` where that cannot be told."""
    timers: int = 0
    """Calls whose time has not come yet, beside those that wait: delayed, or between two attempts."""
    next_due_ns: int | None = None
    """Until the time of the next of them."""
    busy: int = 0
    """Workers, or coroutines, that run a call right now."""
    workers: int = 0
    """Threads started so far, or coroutines running."""
    limit: int | None = None
    """The most workers there may be; on a caller's loop, on each."""
    abandoned: int = 0
    """Workers whose call has failed already, and that cannot be stopped before it returns."""
    finished: int = 0
    """Calls that were run, or given up, so far."""
    errors: int = 0
    """Internal errors so far, each logged."""
    alarm: str | None = None
    """Why it takes nothing just now, though it is neither full nor broken: memory is short, here or at its broker."""
    breaker: Literal["closed", "half_open", "open"] | None = None
    """Of the broker behind it; half open: it is being tried just now."""
    kept: int | None = None
    """Durable calls that Redis keeps and that have not ended: of the whole broker, as it was seconds ago."""
    overdue: int | None = None
    """Those of them that the sweep should have looked after by now."""
    dead: int | None = None
    """Calls that failed for good and are kept for somebody to look at: of the whole broker, or of the spool's file."""

    def __repr__(self) -> str:
        parts = [f"{self.waiting} waiting" + (f" of {self.capacity}" if self.capacity is not None else "")]
        if self.bytes is not None and self.max_bytes is not None:
            parts.append(f"{show_size(self.bytes)} of {show_size(self.max_bytes)}")
        if self.oldest_waiting_ns is not None:
            parts.append(f"oldest {show_duration(self.oldest_waiting_ns)}")
        if self.limit is not None:
            parts.append(f"{self.busy} busy of {self.limit}")
        counts = {
            "timers": self.timers, "abandoned": self.abandoned, "errors": self.errors,
            "kept": self.kept, "overdue": self.overdue, "dead": self.dead,
        }  # fmt: skip
        for what, count in counts.items():
            if count:
                parts.append(f"{count} {what}")
        if self.alarm is not None:
            parts.append(self.alarm)
        if self.breaker is not None and self.breaker != "closed":
            parts.append(f"breaker {self.breaker.replace('_', ' ')}")
        return f"<{self.transport}: {', '.join(parts)}>"
