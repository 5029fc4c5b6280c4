"""A call on disk: as it is handed in, as a forwarder gets it, and as a list shows it.

Moments are nanoseconds since 1970.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["waiting", "leased", "unknown", "dead"]
"""`leased`: a forwarder has it. `unknown`: the broker may have it already. `dead`: set aside, never taken again."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept. The spool reads neither the arguments nor the headers."""

    id: str
    """The call's own; whoever hands the same id in twice has one row."""
    broker: str
    """Where it is bound; each such name has its own forwarder."""
    task: str
    arguments: bytes
    headers: dict[str, Any] = {}
    """Anything that JSON can carry."""
    durability: str = "durable"
    entered: int = 0
    """`delay` was called."""
    attempt: int = 1
    not_before: int = 0
    doubtful: bool = False
    """The broker may have it already: what was sent before had no answer."""
    trace: str = ""
    """The id of its trace, for whoever looks at the list."""


class Row(Entry, frozen=True, kw_only=True):
    """An entry that a forwarder has taken."""

    application: str
    added: int
    """It was handed in here."""
    tries: int
    """How often it was given back."""
    last_error: str | None
    unended: int
    """How often it was taken, before this time, and never given back: whoever had it is gone."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list: everything but the arguments and headers."""

    id: str
    broker: str
    task: str
    durability: str
    attempt: int
    added: int
    due: int | None
    """It may be taken from then on; of a leased row, the end of the lease; `None` for a dead one."""
    state: State
    tries: int
    last_error: str | None
    size: int
    """Bytes that it counts for, against `max_bytes`."""
    trace: str
    traceback: str | None
    """Of a dead one that was run here and failed."""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one row that was forwarded."""

    id: str
    what: Literal["accepted", "refused", "unknown", "never"]
    """`accepted`: its row goes. `refused`: later again. `unknown`: later again, under the same id, for it may have
    arrived. `never`: no repetition will help; it is set aside as `dead`."""
    detail: str = ""
    traceback: str = ""
    ended: bool = True
    """False: it was begun and came to no end, as when its process dies; this counts in `Row.unended`."""
