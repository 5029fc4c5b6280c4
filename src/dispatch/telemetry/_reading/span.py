"""A finished span, as it is read from a file."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]

StatusWord: TypeAlias = Literal["unset", "ok", "error"]


class Process(msgspec.Struct, frozen=True, gc=False):
    """Where a span was made."""

    service: str
    pid: int | None = None

    def __str__(self) -> str:
        return self.service if self.pid is None else f"{self.service} {self.pid}"


class Event(msgspec.Struct, frozen=True, gc=False):
    name: str
    time_ns: int
    attributes: dict[str, Any]


class Span(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Times are nanoseconds since 1970; ids are lowercase hex."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    """Empty for a root."""
    name: str
    kind: Kind = "unspecified"
    start_ns: int
    end_ns: int
    attributes: dict[str, Any] = {}
    status: StatusWord = "unset"
    message: str = ""
    """What the status says."""
    events: tuple[Event, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """The trace id and span id of each."""
    scope: str = ""
    process: Process

    @property
    def duration_ns(self) -> int:
        """Never negative, whatever a foreign clock did."""
        return max(0, self.end_ns - self.start_ns)
