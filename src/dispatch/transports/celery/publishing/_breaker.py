"""When to stop asking a broker that fails, so that nobody else waits for it, and when to ask it again."""

from __future__ import annotations

import random
from typing import Literal, TypeAlias

import msgspec

from dispatch._log import logger

Phase: TypeAlias = Literal["closed", "half_open", "open"]


class Limits(msgspec.Struct, frozen=True):
    """`failures` in a row open the breaker; pauses in seconds, doubling from `open_for` up to `max_open`."""

    failures: int = 5
    open_for: float = 5.0
    max_open: float = 60.0

    def stricter(self, other: Limits) -> Limits:
        """Destinations share their broker, and so its breaker: the least patience holds, and the shortest pauses."""
        return Limits(
            failures=min(self.failures, other.failures),
            open_for=min(self.open_for, other.open_for),
            max_open=min(self.max_open, other.max_open),
        )


class Breaker:
    """Changed by the publisher's thread alone, read by everybody.

        closed ── `failures` refusals in a row, or a lost exchange and then a failed ping ──▶ open
           ▲                                                                                   │
           └───────────────────────── a probe has reached the broker ──────────────────────────┘

    A lost exchange alone does not open it: a busy process is not a broken broker. Probes are the publisher's own
    connections, never somebody's call. The pauses start from the beginning once a message was accepted, not when a
    probe succeeds: a broker that answers and takes nothing is still broken.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._failures = 0
        self._pauses = 0
        self._probing = False
        self.obstacle: str | None = None
        """What is wrong, while the breaker is open."""

    @property
    def phase(self) -> Phase:
        """Half open: the broker is being tried, and nobody is let through yet."""
        if self.obstacle is None:
            return "closed"
        return "half_open" if self._probing else "open"

    def accepted(self) -> None:
        """The broker took a message."""
        self._failures = self._pauses = 0

    def failed(self, why: str) -> None:
        """The broker could not be reached, or takes nothing from anybody."""
        self._failures += 1
        if self._failures >= self.limits.failures:
            self.open(why)

    def open(self, why: str) -> None:
        """Let nobody through. Once more while open: the next pause is longer."""
        if self.obstacle is None:
            logger("celery").warning("the broker fails, and is left alone for a while", why=why)
        self._pauses += 1
        self._probing = False
        self.obstacle = why

    def probe(self) -> None:
        """The broker is tried from now on, until `open` or `close`."""
        self._probing = True

    def close(self) -> None:
        """A probe has reached the broker: let everybody through."""
        self.obstacle = None
        self._probing = False
        self._failures = 0
        logger("celery").info("the broker answers again")

    def pause(self) -> float:
        """Seconds until the next probe; jittered, so that not every process comes back at the same moment."""
        longest = min(self.limits.max_open, self.limits.open_for * 2.0 ** min(self._pauses - 1, 64))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy

    def __repr__(self) -> str:
        if self.obstacle is not None:
            return f"<Breaker open: {self.obstacle}>"
        return f"<Breaker closed [{self._failures} of {self.limits.failures} failures]>"
