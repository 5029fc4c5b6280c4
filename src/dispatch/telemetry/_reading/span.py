"""A finished span, as it is read from a file."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from dispatch.telemetry import _names as n

Kind: TypeAlias = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]

StatusWord: TypeAlias = Literal["unset", "ok", "error"]

DEAD_LETTER = "dispatch.dead_letter"
"""Why a call was given up for good and kept aside."""


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

    @property
    def is_call(self) -> bool:
        """Whether this is the caller's side of a call: deciding, and handing it over."""
        return self.scope == n.SCOPE and (n.OVERHEAD in self.attributes or self.name.startswith("dispatch "))

    @property
    def is_run(self) -> bool:
        """Whether a call's body ran in it: `execute`, `process`, or a span of another instrumentation that carries our
        attributes. At the detail `compact` a local call's only span is both.
        """
        return n.START in self.attributes or n.WAIT in self.attributes

    @property
    def said(self) -> dict[str, Any]:
        """The attributes, with those that go without saying: a local call's only span, at the detail `compact`, leaves
        out what most calls are.
        """
        if not (self.is_call and self.is_run):
            return self.attributes
        reason = "otherwise" if self.attributes.get(n.RULE) == "otherwise" else "rule"
        return {n.DURABILITY: "ephemeral", n.REASON: reason, **self.attributes}

    @property
    def call_id(self) -> str:
        """Of which call it tells; empty where of none."""
        return str(self.attributes.get(n.CALL, ""))
