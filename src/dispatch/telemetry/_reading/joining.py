"""Calls as their spans arrive, while they are still being written."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.telemetry._reading.call_record import CallRecord, record_of
from dispatch.telemetry._reading.span import DEAD_LETTER, Span

_MOST = 10_000
"""So many calls are kept that have not ended well, at most: of those that never will, the oldest are forgotten."""


class _Known:
    """What has arrived of one call."""

    __slots__ = ("call", "is_new", "later", "turns")

    def __init__(self) -> None:
        self.call: Span | None = None
        self.later: list[Span] = []
        self.is_new = True
        self.turns = 0

    @property
    def is_over(self) -> bool:
        """As far as one can know: after a failed attempt there may be another."""
        return self.call is not None and (bool(self.later) or self.call.status == "error")

    def record(self) -> CallRecord:
        self.later.sort(key=lambda span: span.start_ns)
        return record_of(self.call, self.later)


class Joining:
    """Each call once, when it has run or nobody took it; what is slower than that once as it stands, and again then."""

    def __init__(self, patience: int) -> None:
        """`patience`: after so many turns a call that is not over is told as it stands."""
        self._patience = patience
        self._known: dict[str, _Known] = {}

    def add(self, span: Span) -> None:
        """Take one span; those that tell of no call are left alone."""
        is_later = span.is_run or DEAD_LETTER in span.attributes
        if not span.call_id or not (span.is_call or is_later):
            return
        known = self._known.setdefault(span.call_id, _Known())
        known.is_new = True
        if span.is_call:
            known.call = span
        if is_later:
            known.later.append(span)

    def turn(self, *, impatient: bool = False) -> Iterator[CallRecord]:
        """The calls that can be told now, in the order in which they were made; `impatient`: all that are known."""
        told = []
        for call_id, known in list(self._known.items()):
            known.turns += 1
            if known.is_new and (impatient or known.is_over or known.turns >= self._patience):
                record = known.record()
                told.append(record)
                known.is_new = False
                if known.is_over and record.error is None:
                    del self._known[call_id]
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return iter(sorted(told, key=lambda record: record.started_ns))
