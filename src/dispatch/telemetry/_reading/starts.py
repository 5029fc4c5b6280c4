"""How long calls took to start, beside what was predicted: what the latency budget's ranking is worth."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dispatch.telemetry._reading.call_record import CallRecord
from dispatch.telemetry._reading.summary import quantile


class Starts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The calls of one destination. Times are microseconds, from the decision to the task's first line.

    Percentiles are of the calls that say; `None` when none does.
    """

    destination: str | None
    """`None`: calls that no destination took."""
    transport: str | None
    calls: int
    failed: int
    started: int
    """Calls whose start is known."""
    start_median_us: float | None
    start_p99_us: float | None
    predicted: int
    """Of those, calls whose start had been predicted, since a budget ranked the candidates."""
    predicted_median_us: float | None
    error_p10_us: float | None
    """What it took less what was predicted: negative where the call started sooner."""
    error_median_us: float | None
    error_p90_us: float | None
    error_p99_us: float | None
    late: int
    """Of the started, calls that had a budget and started after it."""


def starts(calls: Iterable[CallRecord]) -> list[Starts]:
    """One row for each destination, the busiest first."""
    rows: dict[tuple[str | None, str | None], _Row] = {}
    for call in calls:
        rows.setdefault((call.destination, call.transport), _Row()).add(call)
    return sorted((row.summed(*key) for key, row in rows.items()), key=lambda each: -each.calls)


class _Row:
    """What is kept of a destination's calls: numbers alone, since there may be very many."""

    def __init__(self) -> None:
        self.calls = self.failed = self.late = 0
        self.starts: list[float] = []
        self.predictions: list[float] = []
        self.errors: list[float] = []

    def add(self, call: CallRecord) -> None:
        self.calls += 1
        self.failed += call.error is not None
        start, predicted, budget = call.actual_start_us, call.predicted_start_us, call.latency_budget_us
        if start is None:
            return
        self.starts.append(start)
        self.late += budget is not None and start > budget
        if predicted is not None:
            self.predictions.append(predicted)
            self.errors.append(start - predicted)

    def summed(self, destination: str | None, transport: str | None) -> Starts:
        for each in (self.starts, self.predictions, self.errors):
            each.sort()
        return Starts(
            destination=destination,
            transport=transport,
            calls=self.calls,
            failed=self.failed,
            started=len(self.starts),
            start_median_us=quantile(self.starts, 0.5),
            start_p99_us=quantile(self.starts, 0.99),
            predicted=len(self.errors),
            predicted_median_us=quantile(self.predictions, 0.5),
            error_p10_us=quantile(self.errors, 0.1),
            error_median_us=quantile(self.errors, 0.5),
            error_p90_us=quantile(self.errors, 0.9),
            error_p99_us=quantile(self.errors, 0.99),
            late=self.late,
        )
