"""What goes into the ledger, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from dispatch._requirements import Durability


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says about the calls of one destination."""

    lease_ms: int = 30_000
    """How long a worker may be silent before somebody else may run the call."""
    remember_ms: int = 86_400_000
    """How long a settled call is recognized."""
    max_deliveries: int = 5
    """For each attempt."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A call as the publishing side hands it to the ledger. Raises `ValueError` for numbers that cannot be."""

    id: str
    task: str
    list_key: str
    """The Redis list that kombu would push it to, exactly as in its command: global prefix and priority included."""
    message: str
    """kombu's text for it, with the stamp's header; see `STAMP_HEADER`."""
    durability: Durability = "durable"
    attempt: int = 1
    """Counts from 1, and agrees with what the message says."""
    delay_ms: int = 0
    """From now, by the server's clock; until then it is in no queue. An ephemeral call is here only to be delayed."""
    lease_ms: int = 30_000
    """How long a worker may be silent before somebody else may run the call."""
    remember_ms: int = 86_400_000
    """How long a settled call is recognized."""
    max_deliveries: int = 5
    """For each attempt."""

    def __post_init__(self) -> None:
        for name in ("attempt", "lease_ms", "remember_ms", "max_deliveries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of call {self.id} is {getattr(self, name)}; it must be 1 or more")
        if self.delay_ms < 0:
            raise ValueError(f"delay_ms of call {self.id} is {self.delay_ms}; a call cannot wait less than 0")


class Entered(msgspec.Struct, frozen=True):
    """The answer to an `enter`."""

    fresh: bool
    """False: a call with this id was there before, and nothing was pushed."""
    state: Literal["entered", "waiting", "queued", "running", "settled"]
    outcome: str
    """Of one that has settled, else empty."""


class Claim(msgspec.Struct, frozen=True):
    """The right to run a call, for as long as it is renewed."""

    id: str
    owner: str
    attempt: int
    lease_ms: int
    deliveries: int
    """How often this attempt was claimed, this time included."""


class Dropped(msgspec.Struct, frozen=True):
    """The message is not to be run, and nothing more is to be done about it."""

    why: Literal["settled", "running", "older", "early", "dead"]
    """It has ended; somebody runs it; a further attempt was made since; that attempt is not due yet; it was claimed
    too often, and has just become a dead letter."""
    outcome: str = ""
    """Of a call that has ended."""


class Swept(msgspec.Struct, frozen=True):
    """What one step of the sweep found."""

    next_ms: int | None
    """Until something is due, 0 for at once; `None`: nothing is in the ledger."""
    looked: int
    pushed: int
    kept: int
    """Still in their queue, as far as can be told."""
    buried: int
    forgotten: int
    """Entries that were gone, or could not be read: somebody else's hand was in it."""
    stuck: int
    """Their list is no list; tried again later."""
    letters_gone: int
    """Old dead letters that made room."""
    letters: Sequence[str] = ()
    """The ids of those buried."""


class Size(msgspec.Struct, frozen=True):
    """How much is in the ledger."""

    kept: int
    """Entries of calls that have not ended: queued, running or delayed."""
    overdue: int
    """Those of them that a sweep should have looked at by now."""
    dead: int
    """Dead letters."""


class Elsewhere(msgspec.Struct, frozen=True):
    """Another sweeper is at work."""

    lock_ms: int
    """Until its lock ends, unless it renews it."""


Verdict: TypeAlias = Claim | Dropped
