"""Dead letters: durable calls that failed for good, kept whole until somebody decides about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal, Protocol, TypeAlias

import msgspec


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, as its place knows it; what a place does not know is empty, or 0."""

    id: str
    task: str
    reason: str
    """`failed`: its last attempt raised. `max_deliveries`: it was delivered too often without coming to an end.
    Else the place's own word for it."""
    error: str
    traceback: str
    attempts: int
    """Counted from 1."""
    deliveries: int
    """Of the last attempt."""
    trace_id: str
    queue: str
    """Where it was, and where it goes when it is retried."""
    at_ms: int
    """When it came here: milliseconds since the epoch."""
    arguments: str
    """As they travel: positional, by name, and Celery's links; what is no text is only described."""


Retried: TypeAlias = Literal["sent", "known"]
"""`known`: a call with this id is under way already."""


class DeadLetters(Protocol):
    """A place that keeps them. Every method may wait for the place, and raises `DispatchError` where it fails."""

    place: str
    """What it is called: `redis`, `rabbitmq`."""

    def letters(self) -> Iterator[DeadLetter]:
        """All of them, the newest first."""

    def show(self, call_id: str) -> DeadLetter | None:
        """`None`: there is no such letter."""

    def retry(self, ids: Collection[str]) -> dict[str, Retried]:
        """Send the calls again, each under its id, as a first attempt. Who is not in the answer was not here."""

    def drop(self, ids: Collection[str]) -> set[str]:
        """Throw them away. Returns those that were here."""

    def close(self) -> None: ...
